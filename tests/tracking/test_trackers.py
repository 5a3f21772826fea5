"""Laws of every tracker: what was logged can be read back, no failure reaches the run, no secret reaches a file."""

from __future__ import annotations

import base64
import importlib
import importlib.util
import inspect
import json
import math
import re
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from configuration.schema import KEYS, WITHOUT_INFLUENCE
from tracking import TRACKERS, build_trackers, mlflow_store
from tracking.base import TrackedRun, Tracker, files_to_copy, filled_in
from utils.lookup import Entry, load_entry
from utils.types import shorten

SECRET = "marked-secret-0123456789"
PARAMS = {
    "loss_function": "CrossEntropyLoss",
    "optimizer_params.lr": 0.1,
    "batch_size": 64,
    "normalize": True,
    "dropout": None,
}
METRICS = {epoch: {"train/loss": 1 / (epoch + 1), "valid/accuracy": epoch / 10} for epoch in range(4)}
BLOCKED = {
    "mlflow": "mlflow.tracking",
    "tensorboard": "torch.utils.tensorboard",
    "wandb": "wandb",
    "neptune": "neptune",
}

# Of the readers below, not of the trackers.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:google"),
]


class Stored(NamedTuple):
    """What a tracker's own files or store say of a run."""

    params: dict[str, Any]
    metrics: dict[str, list[tuple[int, float]]]
    text: str
    """Everything else that is stored, for finding tags, notes and file names."""


@pytest.fixture(scope="session")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One output folder for all tests: creating an MLflow database takes seconds."""
    return tmp_path_factory.mktemp("output")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_MODE", "NEPTUNE_API_TOKEN", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NEPTUNE_RETRIES_TIMEOUT", "2")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=TRACKERS)
def name(request: pytest.FixtureRequest) -> str:
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"the package {request.param} is not installed")
    return request.param


@pytest.fixture
def run(output: Path, request: pytest.FixtureRequest) -> TrackedRun:
    folder = output / "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "best.ckpt").write_text("weights")
    (folder / "config.yml").write_text("seed: 0\n")
    return TrackedRun(folder, folder.name, PARAMS, {"runtime": "local"}, ("first", "second"), "a baseline")


def make_config(output: Path, **values: Any) -> SimpleNamespace:
    defaults = {
        "output_path": str(output),
        "experiment_name": "lossbench",
        "mlflow_uri": None,
        "neptune_mode": "offline",
        "neptune_username": "<you>",
        "neptune_project_name": "<project>",
        "neptune_api_token": "<token>",
    }
    return SimpleNamespace(**{**defaults, **values})


def build(name: str, run: TrackedRun, config: SimpleNamespace) -> Any:
    (tracker,) = build_trackers([name], run, config)
    return tracker


def read_mlflow(run: TrackedRun, config: SimpleNamespace) -> Stored:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{config.output_path}/mlflow.db")
    run_id = json.loads((run.folder / "trackers.json").read_text())["mlflow"]
    data = client.get_run(run_id).data
    histories = {key: client.get_metric_history(run_id, key) for key in data.metrics}
    metrics = {key: [(point.step, point.value) for point in history] for key, history in histories.items()}
    files = [file.path for file in client.list_artifacts(run_id)]
    return Stored(data.params, metrics, f"{data.tags} {files}")


def read_tensorboard(run: TrackedRun, config: SimpleNamespace) -> Stored:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2 as hparams

    events = EventAccumulator(str(run.folder / "tensorboard"))
    events.Reload()
    start = hparams.HParamsPluginData.FromString(  # pyright: ignore[reportAttributeAccessIssue]
        events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    ).session_start_info
    params = {key: getattr(value, str(value.WhichOneof("kind"))) for key, value in start.hparams.items()}
    metrics = {tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    texts = [
        events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"] if "text" in tag
    ]
    return Stored(params, metrics, " ".join(texts) + " ".join(file.name for file in files_to_copy(run.folder)))


def in_order_of_time(files: Iterable[Path]) -> list[Path]:
    return sorted(files, key=lambda file: file.stat().st_mtime_ns)


def wandb_records(file: Path) -> Iterator[bytes]:
    """Yield the records of a LevelDB log with a header of 7 bytes: blocks of 32 KiB, records may span several."""
    data, place, parts = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last of several
            yield parts
            parts = b""


def finished_records(file: Path, parse: Callable[[bytes], Any]) -> list[Any]:
    """Return a wandb file's records; the client's own process may write them a moment after the run was closed."""
    for _ in range(1200):
        records = [parse(record) for record in wandb_records(file)] if file.is_file() else []
        if records and records[-1].WhichOneof("record_type") == "exit":
            return records
        time.sleep(0.1)
    raise TimeoutError(f"{file} does not end")


def read_wandb(run: TrackedRun, config: SimpleNamespace) -> Stored:
    wandb_proto: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")
    params: dict[str, Any] = {}
    metrics: dict[str, list[tuple[int, float]]] = {}
    texts: list[str] = []
    run_id = json.loads((run.folder / "trackers.json").read_text())["wandb"]
    for folder in in_order_of_time((run.folder / "wandb").glob("offline-run-*")):
        for record in finished_records(folder / f"run-{run_id}.wandb", wandb_proto.Record.FromString):
            texts.append(str(record))
            params.update({item.key: json.loads(item.value_json) for item in record.config.update})
            params.update({item.key: json.loads(item.value_json) for item in record.run.config.update})
            history = {
                "/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item
            }
            for key in history.keys() & {"train/loss", "valid/accuracy"}:
                metrics.setdefault(key, []).append((history["epoch"], history[key]))
    return Stored(params, metrics, " ".join(texts))


def read_neptune(run: TrackedRun, config: SimpleNamespace) -> Stored:
    params: dict[str, Any] = {}
    metrics: dict[str, list[tuple[int, float]]] = {}
    texts: list[str] = []
    for file in in_order_of_time((run.folder / "neptune").glob("offline/*/data-1.log")):
        for record in map(json.loads, file.read_text().splitlines()):
            entry, path = record["obj"], "/".join(record["obj"]["path"])
            if path.startswith("parameters/"):
                params[path.removeprefix("parameters/")] = entry["value"]
            elif entry["type"] == "LogFloats":
                metrics.setdefault(path, []).extend((int(point["step"]), point["value"]) for point in entry["values"])
            else:
                texts.append(json.dumps(entry))
    return Stored(params, metrics, " ".join(texts))


READERS = {"mlflow": read_mlflow, "tensorboard": read_tensorboard, "wandb": read_wandb, "neptune": read_neptune}


def as_logged(metrics: dict[int, dict[str, float]]) -> dict[str, list[tuple[int, float]]]:
    names = {name for values in metrics.values() for name in values}
    return {name: [(epoch, metrics[epoch][name]) for epoch in sorted(metrics)] for name in names}


def as_text(value: Any) -> str:
    """Return a parameter as text: some trackers keep texts only, some no integers."""
    return str(value).removesuffix(".0")


def assert_same_metrics(stored: dict[str, list[tuple[int, float]]], logged: dict[int, dict[str, float]]) -> None:
    expected = as_logged(logged)
    assert stored.keys() == expected.keys()
    for name, points in expected.items():
        assert [step for step, _ in stored[name]] == [step for step, _ in points]
        assert [value for _, value in stored[name]] == pytest.approx([value for _, value in points], rel=1e-6)


def test_every_tracker_has_a_reader() -> None:
    assert READERS.keys() == TRACKERS.keys() == BLOCKED.keys()


def test_what_was_logged_is_read_back(name: str, run: TrackedRun, output: Path, tmp_path: Path) -> None:
    config = make_config(output)
    tracker = build(name, run, config)
    assert issubclass(type(tracker), Logger)
    assert tracker.name == run.name
    tracker.log_hyperparams({"num_parameters": 1234})
    for epoch, values in METRICS.items():
        tracker.log_metrics(values, epoch)
        if epoch in (1, 3):  # closed, it opens again, as for the metrics of the test
            tracker.log_files(run.folder)
            tracker.finalize("success")
    assert tracker.active
    stored = READERS[name](run, config)
    assert_same_metrics(stored.metrics, METRICS)
    expected = {**PARAMS, "num_parameters": 1234}
    assert {key: as_text(stored.params[key]) for key in expected} == {key: as_text(expected[key]) for key in expected}
    for text in ("first", "second", "a baseline", "config"):
        assert text in stored.text
    assert "best.ckpt" not in stored.text
    assert list(tmp_path.iterdir()) == []  # the working directory stays clean


@pytest.mark.parametrize("name", ["mlflow", "tensorboard"])
def test_resumed_run_shows_each_epoch_once(name: str, run: TrackedRun, output: Path) -> None:
    config = make_config(output)
    first = build(name, run, config)
    for epoch in range(3):
        first.log_metrics(METRICS[epoch], epoch)
    first.finalize("interrupted")
    second = build(name, run, config)
    for epoch in range(1, 4):
        second.log_metrics(METRICS[epoch], epoch)
    second.finalize("success")
    assert second.version == first.version
    assert_same_metrics(READERS[name](run, config).metrics, METRICS)


def test_mlflow_run_ends_with_its_status_and_is_resumed(run: TrackedRun, output: Path) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{output}/mlflow.db")
    versions = set()
    for status, stored in (("failed", "FAILED"), ("interrupted", "KILLED"), ("success", "FINISHED")):
        tracker = build("mlflow", run, make_config(output))
        versions.add(tracker.version)
        assert client.get_run(tracker.version).info.status == "RUNNING"
        tracker.finalize(status)
        assert client.get_run(tracker.version).info.status == stored
    assert len(versions) == 1


def test_mlflow_stores_values_within_its_limits(run: TrackedRun, output: Path) -> None:
    config = make_config(output)
    many = {f"transform_{number}": number for number in range(250)}
    metrics = {"nan": math.nan, "inf": math.inf, "a#b": 1.0}
    for params in ({"classes": "x" * 9000, "x#y": 1, **many}, {"batch_size": 32}):
        tracker = build("mlflow", run, config)
        tracker.log_hyperparams(params)
        tracker.log_metrics(metrics, 0)
        tracker.log_metrics(metrics, 0)
        tracker.finalize("success")
        assert tracker.active
    stored = read_mlflow(run, config)
    assert stored.params["classes"] == 5997 * "x" + "..."
    assert stored.params["x_y"] == "1"
    assert {key: stored.params[key] for key in many} == {key: str(value) for key, value in many.items()}
    assert {key: len(points) for key, points in stored.metrics.items()} == {"nan": 1, "inf": 1, "a_b": 1}
    assert math.isnan(stored.metrics["nan"][0][1])
    assert stored.metrics["inf"][0][1] > 1e308
    assert stored.params["batch_size"] == "64"
    assert "batch_size: 64 -> 32" in stored.text


def test_mlflow_experiment_brings_its_columns(run: TrackedRun, output: Path) -> None:
    from mlflow.tracking import MlflowClient

    other = "0123456789abcdef0123456789abcdef"  # of a store that is gone
    (run.folder / "trackers.json").write_text(json.dumps({"mlflow": other}))
    tracker = build("mlflow", run, make_config(output, experiment_name="of its own"))
    tracker.finalize("success")
    assert tracker.active
    assert tracker.version == json.loads((run.folder / "trackers.json").read_text())["mlflow"] != other
    experiment = MlflowClient(f"sqlite:///{output}/mlflow.db").get_experiment_by_name("of its own")
    assert experiment is not None
    columns = json.loads(experiment.tags["mlflow.sharedViewState.lossbench"])["selectedColumns"]
    assert {"params.`loss_function`", "metrics.`test/accuracy`"} <= {*columns}
    assert experiment.artifact_location == (output / "mlartifacts").as_uri()


def test_wandb_records_curves_over_the_epoch_and_nothing_of_the_machine(
    run: TrackedRun, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setattr(socket, "gethostname", lambda: "machine-of-mine")
    monkeypatch.setattr(sys, "argv", ["train.py", "run_name=set-on-the-command-line"])
    tracker = build("wandb", run, make_config(output))
    tracker.log_metrics({"train/loss": 0.5}, 0)
    tracker.log_metrics({"train/loss": 0.25}, 7)
    tracker.finalize("success")
    stored = read_wandb(run, make_config(output))
    assert stored.metrics == {"train/loss": [(0, 0.5), (7, 0.25)]}
    assert re.search(r'glob_name: "\*"\s+step_metric: "epoch"', stored.text)
    assert "global_step" not in stored.text
    assert "machine-of-mine" not in stored.text
    assert "set-on-the-command-line" not in stored.text


def test_no_secret_is_written(
    name: str, run: TrackedRun, output: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET + "-2")
    monkeypatch.setattr(sys, "argv", ["train.py", f"neptune_api_token={SECRET}"])
    params = {**PARAMS, "neptune_api_token": SECRET, "mlflow_uri": "https://me:pw9876@host/", "num_tokens": 7}
    leaky = TrackedRun(run.folder, run.name, params, {"command": f"train.py {SECRET}"}, (), f"with {SECRET}-2")
    tracker = build(name, leaky, make_config(output, neptune_api_token=SECRET))
    tracker.log_metrics(METRICS[0], 0)
    tracker.log_hyperparams({"api_key": SECRET, "text": SECRET, "num_tokens": 7})
    tracker.finalize("success")
    assert tracker.active
    written = [path for path in output.rglob("*") if path.is_file()]
    assert len(written) > 3
    for path in written:
        content = path.read_bytes()
        assert SECRET.encode() not in content, path
        assert b"pw9876" not in content, path
    assert SECRET not in "".join(capfd.readouterr())
    assert str(READERS[name](run, make_config(output)).params["num_tokens"]) in ("7", "7.0")


class BrokenTracker(Tracker):
    """Fails in the method that `config.breaks` names."""

    package = "broken"
    remedy = "mend it"

    def __init__(self, run: TrackedRun, config: Any) -> None:
        super().__init__(run, config)
        self._maybe_fail("open")

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self._maybe_fail("log_metrics")

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self._maybe_fail("log_hyperparams")

    def log_files(self, folder: Path) -> None:
        self._maybe_fail("log_files")

    def finalize(self, status: str) -> None:
        self._maybe_fail("finalize")

    def _maybe_fail(self, method: str) -> None:
        if self.config.breaks == method:
            raise OSError(f"disk full at {SECRET} on https://me:pw@host/x")


def use(tracker: Any, folder: Path) -> None:
    for _ in range(2):
        tracker.log_hyperparams(PARAMS)
        tracker.log_metrics(METRICS[0], 0)
        tracker.log_files(folder)
        tracker.finalize("success")


@pytest.mark.parametrize("breaks", ["open", "log_metrics", "log_hyperparams", "log_files", "finalize"])
def test_failure_costs_one_warning(breaks: str, run: TrackedRun, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRACKERS, "broken", Entry(f"{__name__}:BrokenTracker", ""))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tracker = build("broken", run, make_config(output, breaks=breaks, neptune_api_token=SECRET))
        use(tracker, run.folder)
    assert [str(warning.message) for warning in caught] == [
        "broken: OSError: disk full at *** on https://***@host/x; the run continues without it. Remedy: mend it; "
        "after the run, the same command sends it again"
    ]
    assert not tracker.active


def test_missing_package_says_what_to_install(
    name: str, run: TrackedRun, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, BLOCKED[name], None)
    with pytest.warns(UserWarning, match=rf"^{name}: .*continues without it.*pip install {name}$") as caught:
        use(build(name, run, make_config(output)), run.folder)
    assert len(caught) == 1


TOKEN = base64.b64encode(json.dumps({"api_address": "http://127.0.0.1:9", "api_key": SECRET}).encode()).decode()
UNREACHABLE = {
    "mlflow": {"mlflow_uri": "http://127.0.0.1:9"},
    "neptune": {
        "neptune_mode": "async",
        "neptune_username": "me",
        "neptune_project_name": "project",
        "neptune_api_token": TOKEN,
    },
}


@pytest.mark.parametrize("name", UNREACHABLE)
def test_unreachable_server_costs_one_warning(name: str, run: TrackedRun, output: Path) -> None:
    pytest.importorskip(name)
    with pytest.warns(UserWarning, match=f"^{name}: ") as caught:
        use(build(name, run, make_config(output, **UNREACHABLE[name])), run.folder)
    assert len(caught) == 1
    assert TOKEN not in str(caught[0].message)


def test_neptune_server_without_a_token_says_what_is_missing(run: TrackedRun, output: Path) -> None:
    pytest.importorskip("neptune")
    with pytest.warns(UserWarning, match="neptune: .*needs neptune_username.*NEPTUNE_API_TOKEN"):
        build("neptune", run, make_config(output, neptune_mode="async"))


def test_only_rank_zero_tracks(name: str, run: TrackedRun, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    before = sorted(output.rglob("*"))
    tracker = build(name, run, make_config(output))
    use(tracker, run.folder)
    assert not tracker.active
    assert sorted(output.rglob("*")) == before


def test_a_store_that_was_not_created_whole_is_created_anew(
    run: TrackedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_store, "_create", inspect.unwrap(mlflow_store._create))
    output = tmp_path / "another"
    config = SimpleNamespace(output_path=str(output), experiment_name="e", mlflow_uri=None)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *args: (_ for _ in ()).throw(OSError("died before it was in its place")))
        with pytest.warns(UserWarning, match="is whole and its disk has room"):
            build_trackers(["mlflow"], run, config)
    assert not (output / "mlflow.db").exists()
    (begun,) = output.glob(".mlflow.db.begun*")
    begun.write_bytes(begun.read_bytes()[:8192])  # half of its tables
    begun.with_name(f"{begun.name}-journal").write_bytes(b"left")
    (tracker,) = build_trackers(["mlflow"], run, config)
    tracker.log_metrics({"m": 1.0}, 0)
    tracker.finalize("success")
    assert sorted(path.name for path in output.glob("*mlflow.db*")) == ["mlflow.db", "mlflow.db.lock"]
    assert not list(output.glob(".mlflow.db*"))


@pytest.mark.torture
def test_two_runs_at_once_create_one_database(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from types import SimpleNamespace\n"
        "from tracking import build_trackers; from tracking.base import TrackedRun\n"
        "folder = Path(sys.argv[1], sys.argv[2]); folder.mkdir(parents=True)\n"
        "config = SimpleNamespace(output_path=sys.argv[1], experiment_name='e', mlflow_uri=None)\n"
        "(tracker,) = build_trackers(['mlflow'], TrackedRun(folder, sys.argv[2], {'a': 1}, {}), config)\n"
        "for epoch in range(50): tracker.log_metrics({'m': 1.0}, epoch)\n"
        "tracker.finalize('success'); print(tracker.active)\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "error::UserWarning:__main__", "-c", code, str(tmp_path)]
    runs = [subprocess.Popen([*command, f"run{n}"], cwd=root, stdout=subprocess.PIPE, text=True) for n in range(4)]
    assert [run.communicate(timeout=300)[0].strip() for run in runs] == ["True"] * 4


def test_settings_and_texts_are_cleaned() -> None:
    values = {"<token>": None, "": None, None: None, "abc": "abc", "a<b>": "a<b>"}
    assert {text: filled_in(text) for text in values} == values
    assert [shorten(text, 6) for text in ("abcdef", "abcdefg")] == ["abcdef", "abc..."]


def test_trackers_declare_the_keys_that_they_read() -> None:
    declared = [key for entry in TRACKERS.values() for key in load_entry(entry).keys]
    own = {key for key in KEYS if key.partition("_")[0] in TRACKERS}
    assert sorted(declared) == sorted(own)
    assert own <= WITHOUT_INFLUENCE
