"""The runs of a sweep in MLflow: one parent, however often and in however many processes they are run."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

import train
from configuration.reading import read_configuration
from runs.identity import fingerprint
from sweeps.cells import expand
from sweeps.family import family_of, family_of_sweep
from sweeps.jobs import Outcome
from tests.small_sweep import BASE, HERE, read_sweep
from tracking import build_trackers, close_family, open_family
from tracking.base import TrackedRun
from tracking.dashboard import addresses
from tracking.family import Family, Results
from tracking.mlflow_sweeps import open_parent
from training import runner
from utils.signals import Interrupted
from utils.types import ConfigError

pytestmark = pytest.mark.usefixtures("plain_log")

CONFIG = partial(SimpleNamespace, mlflow_uri=None, experiment_name="e")
FAMILY = Family("e", "mine-0", varied={"seed": "0 | 1", "optimizer_params.lr": "0.1", "loss": "A | B"}, num_runs=4)
ROOT = Path(__file__).resolve().parents[2]
TEXT = BASE.replace("trackers: []", "smoke: true") + "sweep: {grid: {loss_function: [CrossEntropyLoss, FocalLoss]}}\n"
THREE = "sweep.grid.loss_function=[CrossEntropyLoss, FocalLoss, HingeLoss]"


def write(folder: Path) -> Path:
    path = folder / "two losses.yml"
    path.write_text(f"output_path: {folder}/output\nlogging_dir: {folder}/logs\n{TEXT}")
    return path


@pytest.fixture(autouse=True, scope="module")
def no_pictures():
    """Pictures take longer than training here and have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.report.draw_results", lambda *arguments, **options: None)
        patch.setattr("training.report.draw_augmentations", lambda *arguments: None)
        patch.setattr("utils.logs.configure", lambda *args, **kwargs: None)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory, no_pictures) -> Path:
    """What the sweep left of its two runs, among it a store, whose tables take seconds to create."""
    folder = tmp_path_factory.mktemp("finished")
    assert train.main([str(write(folder)), *HERE]) == 0
    return folder / "output"


@pytest.fixture
def file(tmp_path, finished) -> Path:
    """The file of the finished sweep, with a copy of its runs."""
    shutil.copytree(finished, tmp_path / "output")
    return write(tmp_path)


def stored(output: Path, experiment: str = "lossbench"):
    """Return the runs that stand for sweeps, and the others."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{output}/mlflow.db")
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = list(client.search_runs([found.experiment_id]))
    parents = [run for run in runs if "sweep_parent" in run.data.tags]
    return parents, [run for run in runs if run not in parents]


def state(output: Path) -> tuple[str, list[float]]:
    """Return the status of the one sweep, and how many runs there are, are finished and have failed."""
    ((parent,), _) = stored(output)
    return parent.info.status, [parent.data.metrics[f"runs/{name}"] for name in ("all", "finished", "failed")]


def test_runs_of_a_sweep_are_children_of_one_run_also_when_it_is_resumed_in_parts(file, tmp_path, capsys):
    (parent,), children = stored(tmp_path / "output")
    name = parent.data.tags["sweep"]
    assert name.startswith("two_losses-")
    assert parent.data.params == {"loss_function": "CrossEntropyLoss | FocalLoss"}
    assert state(tmp_path / "output") == ("FINISHED", [2, 2, 0])
    assert {
        (run.data.tags["cell"], run.data.tags["sweep"], run.data.tags["mlflow.parentRunId"]) for run in children
    } == {(f"loss_function={loss}", name, parent.info.run_id) for loss in ("CrossEntropyLoss", "FocalLoss")}
    assert not {"paper", "table"} & parent.data.tags.keys()
    assert train.main([str(file), THREE, "--shard", "2/2"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(f", which prints the address of sweep {name}")
    assert state(tmp_path / "output") == ("SCHEDULED", [3, 2, 0])  # waits for the other part
    assert train.main([str(file), THREE, "--shard", "1/2"]) == 0
    assert state(tmp_path / "output") == ("FINISHED", [3, 3, 0])
    (parent,), children = stored(tmp_path / "output")
    assert [run.data.tags["mlflow.parentRunId"] for run in children] == [parent.info.run_id] * 3


def test_a_single_run_has_no_parent_until_a_sweep_has_it(tmp_path, monkeypatch):
    file = write(tmp_path)
    runner.train(read_configuration(str(file), ["sweep=null", "loss_function=FocalLoss"]))
    parents, (run,) = stored(tmp_path / "output")
    assert parents == []
    assert not {"mlflow.parentRunId", "sweep", "cell"} & run.data.tags.keys()
    monkeypatch.setattr("training.runner._train", lambda *given: pytest.fail("was trained again"))
    assert train.main([str(file), "sweep.grid.loss_function=[FocalLoss]", *HERE]) == 0
    (parent,), (run,) = stored(tmp_path / "output")
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id


@pytest.mark.torture
def test_two_parts_in_two_processes_at_once_make_one_parent(tmp_path):
    command = [sys.executable, "train.py", str(write(tmp_path)), "--shard"]
    parts = [subprocess.Popen([*command, f"{n}/2"], cwd=ROOT, stdout=subprocess.DEVNULL) for n in (1, 2)]
    assert [part.wait(timeout=240) for part in parts] == [0, 0]
    assert state(tmp_path / "output") == ("FINISHED", [2, 2, 0])
    (parent,), children = stored(tmp_path / "output")
    assert [run.data.tags["mlflow.parentRunId"] for run in children] == [parent.info.run_id] * 2


@pytest.mark.parametrize(
    ("end", "status", "failed"),
    [
        (RuntimeError("no"), "FAILED", 1),
        (Interrupted("SIGTERM", "", ""), "SCHEDULED", 0),
        (Outcome("loss_function=HingeLoss", "pruned", reason="worse"), "FINISHED", 0),
    ],
)
def test_a_sweep_says_how_its_last_run_ended(file, tmp_path, monkeypatch, end, status, failed):
    def train_cell(cell, fresh):
        assert cell.name == "loss_function=HingeLoss"
        assert state(tmp_path / "output")[0] == "RUNNING"  # before any run
        if isinstance(end, BaseException):
            raise end
        return end

    monkeypatch.setattr("sweeps.worker.train_cell", train_cell)
    assert (train.main([str(file), THREE, *HERE]) > 0) == isinstance(end, BaseException)
    assert state(tmp_path / "output") == (status, [3, 2, failed])


def test_a_run_at_work_elsewhere_keeps_its_sweep_running(file, tmp_path):
    config = CONFIG(output_path=str(tmp_path / "output"))
    mine = Family("e", "other-1", num_runs=2, cell="there")
    open_family(["mlflow"], mine, config)
    (tmp_path / "there").mkdir()
    (tracker,) = build_trackers(["mlflow"], TrackedRun(tmp_path / "there", "there", {}, mine.tags, family=mine), config)
    for status, finished in {"RUNNING": 1, "FINISHED": 2}.items():
        close_family(["mlflow"], mine, config, Results({"here": "no such folder"}))
        ((parent,), _) = stored(tmp_path / "output", "e")
        assert (parent.info.status, parent.data.metrics["runs/finished"]) == (status, finished)
        tracker.finalize("success")


def test_a_parent_is_created_once_however_many_ask_for_it_at_once(file, tmp_path):
    config = CONFIG(output_path=str(tmp_path / "output"))
    with ThreadPoolExecutor(4) as pool:
        shown = list(pool.map(lambda _: open_parent(FAMILY, config), range(8)))
    assert len(set(shown)) == len(stored(tmp_path / "output", "e")[0]) == 1


def test_a_server_that_does_not_answer_costs_one_warning(tmp_path):
    config = CONFIG(output_path=str(tmp_path), mlflow_uri="http://127.0.0.1:9")
    with pytest.warns(UserWarning, match="^mlflow: ") as caught:
        assert open_family(["mlflow", "tensorboard"], FAMILY, config) == {"tensorboard": None}
    assert len(caught) == 1


def test_a_family_travels_to_other_processes_and_changes_no_fingerprint(tmp_path):
    cells = list(expand(read_sweep(write(tmp_path))))
    families = [family_of(cell) for cell in cells]
    assert pickle.loads(pickle.dumps(families)) == families
    assert [family.cell for family in families] == [cell.name for cell in cells]
    alone = read_configuration(str(write(tmp_path)), ["sweep=null", "loss_function=FocalLoss"])
    assert fingerprint(cells[1].config, "x") == fingerprint(alone, "x")


def test_the_same_sweep_keeps_its_name_and_another_has_another(tmp_path):
    name = family_of_sweep(read_sweep(write(tmp_path))).name
    for change in ("sweep.seeds=5", "num_workers=0", "notes=more", "sweep.grid.dropout=[0.1, 0.2]"):
        assert family_of_sweep(read_sweep(write(tmp_path), change)).name == name
    for change in ("num_epochs=2", "smoke=false"):
        assert family_of_sweep(read_sweep(write(tmp_path), change)).name != name


def test_a_family_holds_no_secret(tmp_path):
    secret = "marked-secret-0123456789"
    with pytest.raises(ConfigError, match=r"neptune_api_token\.0: may hold a secret and cannot vary"):
        read_sweep(write(tmp_path), f"sweep.grid={{neptune_api_token: [{secret}, other]}}")
    family = family_of_sweep(read_sweep(write(tmp_path), "num_epochs=2"))
    family = dataclasses.replace(family, varied={**family.varied, "neptune_api_token": secret})
    assert secret not in str(family.without_secrets())
    assert family.without_secrets().varied == {"loss_function": "CrossEntropyLoss | FocalLoss", "num_epochs": "2"}


def test_runs_of_a_recipe_know_their_paper_and_table():
    family = family_of(next(expand(read_sweep(ROOT / "experiments" / "osm_table5.yml", "smoke=true"))))
    assert (family.experiment, family.num_runs, family.varied["smoke"]) == ("osm_table5", 225, "true")
    assert family.name.startswith("osm_table5-")
    assert family.tags == {
        "sweep": family.name,
        "paper": "OSM paper, arXiv:2206.01002",
        "table": "osm_5",
        "cell": "data=CIFAR-10, network=VGG16 (32 px), loss=OSM, seed=0",
    }


def test_the_dashboard_has_a_table_of_each_sweep(file, tmp_path):
    from mlflow.tracking import MlflowClient

    output = tmp_path / "output"
    shown = open_family(["mlflow"], FAMILY, CONFIG(output_path=str(output)))
    assert shown == {"mlflow": f"make dashboard OUTPUT={output}, which prints the address of sweep mine-0"}
    experiment = MlflowClient(f"sqlite:///{output}/mlflow.db").get_experiment_by_name("e")
    assert experiment is not None
    view = json.loads(experiment.tags["mlflow.sharedViewState.mine-0"])
    assert view["searchFilter"] == "tags.sweep = 'mine-0' and tags.cell LIKE '%'"
    assert view["columnOrder"] == view["selectedColumns"]
    assert view["selectedColumns"][:2] == ["tags.`cell`", "metrics.`test/accuracy`"]
    assert "params.`optimizer_params.lr`" in view["selectedColumns"]
    assert "params.`loss`" not in view["selectedColumns"]
    address = f"http://127.0.0.1:8/#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"
    lines = "\n".join(addresses(str(output), "http://127.0.0.1:8"))
    for name, key in (("all runs of e", "lossbench"), ("sweep mine-0", "mine-0")):
        assert f"{name}\n  {address}&viewStateShareKey={key}" in lines
