"""Losses, networks, data sets, metrics and transforms from files of the user's own."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import compare
import train
from configuration.chains import steps
from configuration.reading import read_configuration
from configuration.schema import Configuration
from evaluation.catalogue import NAME_CHECKS, list_names
from evaluation.predicting import predict
from evaluation.subject import open_subject
from runs.code import code_of
from runs.folder import RunFolder, run_folder
from runs.identity import fingerprint, settings_of
from sweeps.cells import expand, load_sweep
from sweeps.jobs import Jobs, Outcome
from sweeps.mistakes import find_mistakes
from sweeps.resources import Share
from sweeps.worker import set_up, work
from tests.own_example import forget, write_example
from training import runner
from training.building import build_loss
from training.checks import check_parameters
from training.networks import build_network
from utils import own_code
from utils.lookup import Entry, load_entry
from utils.types import ConfigError

QUICK = ("trackers=[]", "accelerator=cpu", "num_workers=0")
LOSS = """from losses.base import ClassificationLoss
class Mine(ClassificationLoss):
    def __init__(self, task=None, *, scale: float = 1.0):
        super().__init__(task)
        if scale < 0:
            raise ValueError("scale must be >= 0")
        self.scale = scale
    def sample_losses(self, scores, target):
        return self.scale * FACTOR * scores.logsumexp(-1)
"""


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin and end each test as a new process does."""
    monkeypatch.delenv(own_code.FOLDERS_VARIABLE, raising=False)
    forget()
    yield
    forget()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of the page's example, moved elsewhere, whose files are gone."""
    folder = write_example(tmp_path_factory.mktemp("paper"))
    places = (f"output_path={folder}/output", f"logging_dir={folder}/logs", "keep_checkpoints=all")
    config = read_configuration(str(folder / "my_parts.yml"), (*QUICK, *places), NAME_CHECKS)
    run, _ = runner.train(config)
    moved = tmp_path_factory.mktemp("elsewhere") / run.path.name
    shutil.move(run.path, moved)
    shutil.rmtree(folder)
    return RunFolder(moved)


@pytest.fixture
def run(trained: RunFolder, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(trained.path, tmp_path / "moved" / trained.path.name)))


def write(folder: Path, code: str, *lines: str, name: str = "mine.py") -> str:
    """Write a file of code and a configuration beside it, whose name is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(code)
    (folder / "c.yml").write_text("".join(f"{line}\n" for line in ("dataset: digits", "lr_scheduler: null", *lines)))
    return str(folder / "c.yml")


def read(file: str, *changes: str) -> Configuration:
    return read_configuration(file, changes, NAME_CHECKS, find_mistakes)


def mistakes(act: Callable[[], Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        act()
    return str(caught.value).splitlines()


# --------------------------------------------------------------------------------------------------- the page's example


def test_the_sweep_of_the_page_is_one_of_all_three_losses(tmp_path):
    sweep = load_sweep(read(str(write_example(tmp_path) / "my_paper.yml")))
    cells = list(expand(sweep))
    assert [cell.name for cell in cells[:3]] == [
        f"loss_function={name}, seed=0" for name in ("CrossEntropyLoss", "FocalLoss", "my_losses.py:PolyLoss")
    ]
    check_parameters(cells[2].config)
    loss = build_loss(cells[2].config.loss_function, None, epsilon=2.0)
    scores, target = torch.randn(5, 3), torch.tensor([0, 1, 2, 2, 1])
    share = scores.softmax(-1).gather(1, target[:, None])
    torch.testing.assert_close(loss(scores, target), (2 * (1 - share) - share.log()).mean())


@pytest.mark.usefixtures("plain_log")
def test_a_run_is_evaluated_compared_and_used_from_its_copy_alone(run, tmp_path, capsys, caplog):
    summary = run.read_summary()
    assert summary["test/accuracy"] > 0.9
    rows = run.read_metrics()
    assert summary["test/worst_class"] <= summary["test/accuracy"]
    assert max(row["valid/worst_class"] for row in rows) == rows[int(summary["selected_epoch"])]["valid/worst_class"]
    subject = open_subject(run.path)
    warned = [record.getMessage() for record in caplog.records if "brought along" in record.getMessage()]
    copies = sorted(path for path in (run.path / "code").iterdir())
    assert sorted(text.rpartition(" ")[2] for text in warned) == [str(path) for path in copies]
    assert {path.name for copy in copies for path in copy.iterdir()} == {"my_losses.py", "my_parts.py"}
    assert float(subject.answers.right.double().mean()) == pytest.approx(summary["test/accuracy"], abs=1e-6)
    assert type(subject.classifier.loss).__name__ == "PolyLoss"
    assert compare.main([str(run.path)]) == 0
    assert "my_losses.py:PolyLoss" in capsys.readouterr().out
    assert compare.main([str(run.path), "--metric", "test/worst_class"]) == 0
    from PIL import Image

    Image.fromarray(subject.original_images([0])[0].squeeze()).save(tmp_path / "0.png")
    (guess,) = predict(subject, [tmp_path / "0.png"], top=1).images
    assert guess.guess.name in ("horizontal", "vertical")


def test_a_finished_run_is_found_and_an_interrupted_one_resumed_by_its_own_configuration(run, tmp_path):
    config = read(str(run.config), f"output_path={run.path.parent}", f"logging_dir={tmp_path}/logs")
    before = run.read_metrics()
    run.summary.unlink()
    folder, summary = runner.train(config)
    assert folder.path == run.path
    assert folder.read_metrics() == before
    assert summary["test/accuracy"] > 0.9


def test_a_copy_that_was_changed_or_is_missing_is_refused(run):
    (copy,) = (path for path in (run.path / "code").iterdir() if (path / "my_losses.py").is_file())
    file = copy / "my_losses.py"
    file.write_text("# read\n" + file.read_text())
    assert read_configuration(str(run.config), (), NAME_CHECKS, of_a_run=True).loss_params == {"epsilon": 2}
    forget()
    file.write_text(file.read_text().replace("1 - (", "2 - ("))
    (line,) = mistakes(lambda: open_subject(run.path))
    assert f"loss_function: {copy} was changed after its run began: restore it" in line
    shutil.rmtree(copy)
    (line,) = mistakes(lambda: open_subject(run.path))
    assert f"its copy in {copy} is missing: copy the folder 'code' of the run" in line
    assert compare.main([str(run.path)]) == 0


# ------------------------------------------------------------------------------------------------------------- identity


def test_content_makes_another_run_and_place_comments_and_defaults_do_not(tmp_path):
    def identity(folder: str, code: str, *lines: str) -> str:
        return fingerprint(read(write(tmp_path / folder, code, "loss_function: mine.py:Mine", *lines)), "")

    code = LOSS.replace("FACTOR", "2")
    first = identity("a", code)
    assert identity("b", "# moved\n" + code) == first
    assert identity("a", code, "loss_params: {scale: 1}") == first
    assert identity("a", code.replace("2", "3")) != first
    assert identity("a", code, "loss_params: {scale: 2}") != first
    config = read(write(tmp_path / "a", code, "loss_function: mine.py:Mine"))
    assert run_folder(config, "").path.name.startswith("digits-ghostnet-Mine-s0-")
    assert "losses/base.py" in code_of(config)


def test_files_of_one_name_do_not_clash(tmp_path):
    for folder, factor in (("a", "2"), ("b", "3")):
        write(tmp_path / folder, LOSS.replace("FACTOR", "helpers.FACTOR").replace("from", "import helpers\nfrom", 1))
        (tmp_path / folder / "helpers.py").write_text(f"FACTOR = {factor}\n")
    grid = "sweep: {grid: {loss_function: [a/mine.py:Mine, b/mine.py:Mine]}}"
    sweep = load_sweep(read(write(tmp_path, "", grid)))
    cells = list(expand(sweep))
    scores = torch.zeros(1, 4)
    losses = [build_loss(cell.config.loss_function)(scores, torch.tensor([0])).item() for cell in cells]
    assert losses[1] / losses[0] == pytest.approx(1.5)
    assert len({cell.name for cell in cells}) == 2
    assert len({fingerprint(cell.config, "") for cell in cells}) == 2


def test_what_begun_goes_on_with_the_code_that_it_began_with(tmp_path):
    file = write(tmp_path, LOSS.replace("FACTOR", "1"), "sweep: {grid: {loss_function: [mine.py:Mine]}}", *FAST)
    sweep = load_sweep(read(file, f"output_path={tmp_path}/output", f"logging_dir={tmp_path}/logs", *QUICK))
    setup = pickle.dumps(set_up(sweep, Share(1, 0), fresh=False))
    job = Jobs(sweep).next()
    assert job is not None
    (tmp_path / "mine.py").write_text("raise RuntimeError\n")
    forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("utils.logs.configure", lambda *args, **kwargs: None)
        patch.setattr(os, "environ", dict(os.environ))
        outcome = work(pickle.loads(setup), job, lambda report: None)
    assert isinstance(outcome, Outcome)
    assert outcome.state == "finished", outcome.reason
    assert outcome.folder is not None
    assert (outcome.folder / "code").is_dir()


FAST = (
    "image_size: null",
    "architecture: test_resnet",
    "num_epochs: 1",
    "batch_size: 512",
    "convert_to_grayscale: true",
)


# -------------------------------------------------------------------------------------------------------------- imports


def test_a_file_comes_with_all_that_it_imports_from_beside_it(tmp_path):
    files = {
        "main.py": "import numbers_of\nimport pack.deep\nimport pack.deep as deep\nfrom pack import more as other\n"
        "from lossbench.base import ClassificationLoss\nimport torch.nn\n"
        "def value():\n    from late import LATE\n"
        "    return numbers_of.ONE, pack.deep.TWO, deep.TWO, other.THREE, LATE\n",
        "numbers_of.py": "ONE = 1\n",
        "late.py": "LATE = 4\n",
        "not_imported.py": "raise RuntimeError\n",
        "pack/__init__.py": "",
        "pack/deep.py": "from .more import TWO\nfrom . import more\n",
        "pack/more.py": "TWO, THREE = 2, 3\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    name = own_code.find("main.py:value", tmp_path)
    assert load_entry(Entry(name, ""))() == (1, 2, 2, 3, 4)
    from losses.base import ClassificationLoss

    assert load_entry(Entry(name.replace("value", "ClassificationLoss"), "")) is ClassificationLoss
    own_code.write_copies(name, tmp_path / "run")
    copied = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*.py")}
    assert {path.partition("/own_")[2].partition("/")[2] for path in copied} == files.keys() - {"not_imported.py"}
    forget()  # a process that is started afresh for a run finds its copy
    assert load_entry(Entry(name, ""))() == (1, 2, 2, 3, 4)


def test_importable_modules_are_read_and_not_imported(tmp_path, monkeypatch):
    package = tmp_path / "lib" / "my_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "losses.py").write_text("from my_package.numbers import FACTOR\n" + LOSS)
    (package / "numbers.py").write_text("FACTOR = 2\n")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    config = read(write(tmp_path, "", "loss_function: my_package.losses:Mine"))
    shutil.rmtree(tmp_path / "lib")
    assert build_loss(config.loss_function)(torch.zeros(1, 4), torch.tensor([0])).item() == pytest.approx(2 * 1.3862944)


# ------------------------------------------------------------------------------------------------------------- mistakes


def test_mistakes_in_names_are_reported_together_with_their_places(tmp_path):
    lines = (
        "architecture: other.py:net",
        "loss_function: mine.py:Mina",
        "optimizer: no_such_module.optim:Adam",
        "mixing: losses.focal:FocalLoss",
        "tensor_augmentations: {broken.py:Shift: {}}",
        "image_augmentations: {'mine.py:Mine-2': {}}",
        "metrics: [accuracy]",
        "monitor: valid/worst",
    )
    file = write(tmp_path, LOSS, *lines)
    (tmp_path / "broken.py").write_text("x = 1\nclass Shift(:\n")
    found = mistakes(lambda: read(file))
    expected = (
        "architecture: .*other.py: no such file; a run that was trained with it has a copy",
        "loss_function: .*mine.py: defines no 'Mina'; did you mean 'Mine'?",
        "optimizer: there is no module 'no_such_module'; install it, add its folder to PYTHONPATH, or name the file",
        "mixing: losses.focal belongs to Lossbench: give the name alone",
        "tensor_augmentations.broken.py:Shift: .*broken.py:2: not valid Python: ",
        "image_augmentations.mine.py:Mine-2: 'Mine-2' is no name of a class or function in Python",
        "metrics.0: names one of your own, FILE.py:NAME, got 'accuracy'",
        "monitor: unknown metric 'valid/worst'",
    )
    assert len(found) == len(expected)
    for number, (line, text) in enumerate(zip(found, expected, strict=True)):
        before, _, after = text.partition(".*")
        assert line.startswith(f"{file}:{number + 3}: {before}")
        assert after in line


@pytest.mark.parametrize(
    ("lines", "code", "expected"),
    [
        (
            "loss_function: mine.py:Mine",
            "\nimport no_such_package\nMine = 1\n",
            "mine.py:2: cannot be imported: Module",
        ),
        ("loss_function: mine.py:Mine", "class Mine: pass\n", "mine.py:1: Mine must be a subclass of losses"),
        (
            "loss_function: mine.py:Mine\nloss_params: {scle: 1}",
            LOSS,
            "c.yml:4: loss_params.scle: unknown parameter; did",
        ),
        ("loss_function: mine.py:Mine\nloss_params: {scale: a}", LOSS, "c.yml:4: loss_params.scale: must be a number"),
        (
            "loss_function: mine.py:Mine\nloss_params: {scale: -1}",
            LOSS,
            "c.yml:4: loss_params: mine.py:Mine refuses them",
        ),
        ("optimizer: mine.py:Mine", LOSS, "c.yml:3: optimizer: .*mine.py:2: Mine must be a subclass of torch"),
        ("lr_scheduler: mine.py:Mine", LOSS, "lr_scheduler: .*mine.py:2: Mine must be a subclass of torch"),
        ("mixing: mine.py:Mine", LOSS, "c.yml:3: mixing: .*mine.py:2: Mine must be a subclass of datasets"),
        (
            "tensor_augmentations: {mine.py:Shift: {a: 1}}",
            "class Shift: pass\n",
            "tensor_augmentations.mine.py:Shift.a: un",
        ),
        ("tensor_augmentations: {mine.py:Shift: {}}", "class Shift: pass\n", "mine.py:1: Shift must be called with an"),
        (
            "metrics: [mine.py:f1]",
            "def f1(tally): return 1\n",
            "c.yml:3: metrics.0: .*mine.py:1: f1: there is a metric",
        ),
        ("metrics: [mine.py:m]", "def m(tally): return tally.x\n", "metrics.0: .*mine.py:1: m: AttributeError: "),
        ("dataset: mine.py:d\ndata_params: {a: 1}", "def d(*, b=1): return 1\n", "c.yml:4: data_params.a: unknown"),
    ],
)
def test_mistakes_in_code_and_parameters_name_the_line(tmp_path, lines, code, expected):
    lines = lines.split("\n")
    file = write(tmp_path, code)
    kept = [
        line for line in Path(file).read_text().splitlines() if line.partition(":")[0] != lines[0].partition(":")[0]
    ]
    Path(file).write_text("\n".join([*kept, *["# "] * (2 - len(kept)), *lines, ""]))
    config = read(file)
    before, _, after = expected.partition(".*")
    (line,) = mistakes(lambda: check_parameters(config))
    assert before in line
    assert after in line.partition(before)[2]


def test_networks_and_data_sets_that_are_none_are_refused(tmp_path):
    code = "from torch import nn\ndef net(num_classes, in_channels=3): return nn.Linear(2, 2)\ndef data(): return 1\n"
    config = read(write(tmp_path, code, "architecture: mine.py:net"))
    (line,) = mistakes(lambda: build_network(config, 3))
    assert "mine.py:2: net must return a models.networks.base.Network: it has no forward_features" in line
    (line,) = mistakes(
        lambda: runner.check(read(write(tmp_path, code), "dataset=mine.py:data", f"data_path={tmp_path}"))
    )
    assert "dataset: " in line


def test_files_on_the_command_line_start_from_where_one_stands(tmp_path, monkeypatch):
    file = write(tmp_path / "a", LOSS.replace("FACTOR", "1"), "tensor_augmentations: {t.py:Shift: {by: 1}}")
    (tmp_path / "a" / "t.py").write_text("class Shift:\n    def __init__(self, *, by: int = 0): pass\n")
    shutil.move(tmp_path / "a" / "mine.py", tmp_path / "mine.py")
    monkeypatch.chdir(tmp_path)
    config = read(file, "loss_function=mine.py:Mine", "tensor_augmentations.a/t.py:Shift.by=2")
    assert build_loss(config.loss_function).scale == 1
    assert [params for _, _, params in steps(config.tensor_augmentations)] == [{"by": 2}]


def test_a_run_from_elsewhere_names_no_code_but_its_copies_and_comparing_runs_none(run, tmp_path):
    marker = tmp_path / "marker"
    text = run.config.read_text()
    run.config.write_text(text.replace("optimizer: AdamW", "optimizer: os.path:join"))
    (line,) = mistakes(lambda: open_subject(run.path))
    assert "optimizer: unknown optimizer 'os.path:join'" in line
    run.config.write_text(text)
    forget()
    for file in (run.path / "code").rglob("*.py"):
        file.write_text(f"open({str(marker)!r}, 'w')\n" + file.read_text())
    assert compare.main([str(run.path)]) == 0
    assert train.main([str(run.config), "--check"]) == 2
    assert not marker.exists()


def test_lists_say_that_one_s_own_may_be_named():
    for table in ("losses", "architectures", "transforms"):
        assert list_names(table).endswith("FILE.py:NAME (docs/own_components.md)")
    assert "FILE.py" not in list_names("trackers")


def test_a_loss_within_a_loss_may_be_one_s_own(tmp_path):
    code = LOSS.replace("FACTOR", "2")
    config = read(write(tmp_path, code, "loss_function: PairwiseConfusionLoss", "loss_params: {base: mine.py:Mine}"))
    check_parameters(config)
    assert "own_" in str(settings_of(config)["loss_params.base"])
    assert own_code.digests_in(config.to_yaml()) == {settings_of(config)["loss_params.base"][4:16]}
