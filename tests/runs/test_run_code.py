"""The code that decides a result: what of it counts, and what becomes of runs whose code has changed since."""

from __future__ import annotations

import ast
import json
import logging
import shutil
import sys
from pathlib import Path

import pytest

import evaluate
import train
from configuration.reading import read_configuration
from evaluation.catalogue import NAME_CHECKS
from losses import LOSSES
from models import ARCHITECTURES
from runs import code as run_code
from runs import parameters
from runs.code import code_changes, code_of, continued_code
from tests.small_sweep import BASE
from training import resumption, runner
from utils import own_code
from utils.types import ConfigError

pytestmark = pytest.mark.usefixtures("plain_log", "quiet_runs")

ROOT = Path(__file__).resolve().parents[2]
LOSS = {"loss_function": "FocalLoss", "classes": "[0,1]", "num_epochs": 2}
CHANGED = "code that decides its result has changed since: losses/focal.py"


class Edited:
    """The project's code in a folder of its own, to be edited; what runs is the code as it is."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def edit(self, file: str, before: str, after: str) -> None:
        path = self.root / file
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after, 1))
        forget()


def forget() -> None:
    """Read all code again, as a new process does."""
    run_code._code.cache_clear()
    run_code._read_module.cache_clear()


@pytest.fixture
def code(tmp_path, monkeypatch):
    root = tmp_path / "project"
    for folder in ("losses", "models", "datasets", "metrics", "training", "utils"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__", "*.csv"))
    monkeypatch.setattr(run_code, "ROOT", root)
    forget()
    yield Edited(root)
    forget()


def read(*changes: str):
    return read_configuration(None, ["dataset=digits", *changes], NAME_CHECKS)


def in_code(code: Edited) -> None:
    code.edit("losses/focal.py", "return ", "return 2 * ")


# ------------------------------------------------------------------------------------------------ what counts


def test_code_that_decides_a_result_is_recorded_and_no_other():
    found = code_of(read("loss_function=CenterLoss", "architecture=ghost", "mixing=CutMix", "ema_decay=0.9"))
    assert {len(digest) for digest in found.values()} == {12}
    assert {
        *("losses/base.py", "losses/center.py", "losses/wrapping.py", "losses/torch_losses.py"),
        *("models/classifier.py", "models/networks/ghostnet.py", "datasets/sets/digits.py"),
        *("datasets/augmentation/mixing.py", "datasets/stream/image_stream.py", "datasets/stream/sampling.py"),
        *("metrics/tally.py", "metrics/classification.py"),
        *("training/averaging.py", "training/optimizers.py", "utils/seeding.py"),
    } <= found.keys()
    others = ("losses/focal.py", "losses/ctc.py", "models/networks/san.py", "metrics/sequences.py")
    assert not {*others, "datasets/sets/cifar.py", "datasets/cache.py", "runs/folder.py", "train.py"} & found.keys()
    packages = ("__init__.py", "trackers", "comparison", "sweeps", "report", "evaluation")
    assert not [file for file in found if any(part in file for part in packages)]


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_the_file_that_builds_a_library_s_networks_counts(library):
    name = "torchvision/resnet18" if library == "torchvision" else "resnet18"
    assert f"models/{library}_models.py" in code_of(read(f"architecture={name}"))


def test_what_a_run_does_not_use_does_not_count():
    plain, augmented = (
        code_of(read()),
        code_of(read("augment_images=true", "image_augmentations={RandomAffine: {degrees: 1}}")),
    )
    assert "datasets/augmentation/fused/chain.py" in augmented.keys() - plain.keys()
    assert "datasets/label_noise.py" not in plain
    assert "training/averaging.py" not in plain
    texts = code_of(read("dataset=plates", "architecture=lprnet", "loss_function=OneSidedMarginCTCLoss"))
    assert {"losses/ctc.py", "metrics/sequences.py"} <= texts.keys()
    assert "metrics/classification.py" not in texts


@pytest.mark.parametrize(
    ("key", "name"),
    [*(("loss_function", each) for each in LOSSES), *(("architecture", each) for each in ARCHITECTURES)],
)
def test_every_loss_s_and_network_s_own_file_counts(key, name):
    file = (LOSSES | ARCHITECTURES)[name].location.partition(":")[0].replace(".", "/") + ".py"
    assert file in code_of(read(f"{key}={name}"))


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("from .weights import scale", "losses/weights.py"),
        ("from . import weights", "losses/weights.py"),
        ("from losses.mine import scale", "losses/mine/__init__.py"),
        ("from .mine.inner import scale", "losses/mine/inner.py"),
        ("import losses.mine.inner", "losses/mine/inner.py"),
    ],
)
def test_helpers_of_a_loss_count_however_they_are_imported(line, file, code):
    (code.root / "losses" / "mine").mkdir()
    for name in ("weights.py", "mine/__init__.py", "mine/inner.py"):
        (code.root / "losses" / name).write_text("def scale(x):\n    return 2 * x\n")
    code.edit(
        "losses/focal.py", "from __future__ import annotations\n", f"from __future__ import annotations\n\n{line}\n"
    )
    before = code_of(read("loss_function=FocalLoss"))
    code.edit(file, "2 * x", "3 * x")
    after = code_of(read("loss_function=FocalLoss"))
    assert [name for name in after if after[name] != before[name]] == [file]


@pytest.mark.parametrize("folder", run_code.FOLDERS)
def test_modules_without_influence_are_there(folder):
    assert (ROOT / folder).is_dir()
    for module in (*run_code.WITHOUT_INFLUENCE, *run_code.OF_EVERY_RUN, *run_code.AUGMENTATION, *run_code.ONLY_WITH):
        assert run_code.file_of(module) is not None, module


BEFORE = 'def f(x, *, a=1.0):\n    """Text."""\n    return x + a  # why\n'
SAME = {
    "another docstring": 'def f(x, *, a=1.0):\n    """Other text, ``longer``."""\n    return x + a\n',
    "no docstring": "def f(x, *, a=1.0):\n    return x + a\n",
    "other lines": "def f(\n    x,\n    *,\n    a=1.0,\n):\n    return (\n        x + a\n    )\n",
    "a text that explains": '"""A module."""\ndef f(x, *, a=1.0):\n    return x + a\n"""And more."""\n',
}
OTHER = {
    "a default": BEFORE.replace("1.0", "3.0"),
    "a sign": BEFORE.replace("+", "-"),
    "a name": BEFORE.replace("def f", "def g"),
    "an int for a float": BEFORE.replace("1.0", "1"),
    "nothing for a default": BEFORE.replace("1.0", "None"),
    "a decorator": "@g\n" + BEFORE,
    "a text that is used": BEFORE + 'A = "x"\n',
}


def written(text: str) -> str:
    return "".join(own_code._spelled(ast.parse(text)))


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_comments_docstrings_and_layout_do_not_count(text):
    assert written(text) == written(BEFORE)


@pytest.mark.parametrize("text", OTHER.values(), ids=OTHER)
def test_all_else_counts(text):
    assert written(text) != written(BEFORE)


def test_code_is_written_alike_by_all_versions_of_python():
    text = (
        "from a import b\n@c\nclass A(B):\n    x: int = 1\n    def f[T](self): ...\n"
        if sys.version_info >= (3, 12)
        else ""
    )
    assert "type_params=" not in written("class A: ...\ndef f(): pass\n")
    assert ("type_params=" in written(text)) == bool(text)
    assert written("f(1, b=None)") == (
        "Module(body=[Expr(value=Call(func=Name(id=str 'f',)args=[Constant(value=int 1,)]"
        "keywords=[keyword(arg=str 'b',value=Constant(value=NoneType None,))]))])"
    )


def test_the_code_of_a_run_that_goes_on_is_all_that_it_was():
    assert continued_code({"code": {"a": "1", "b": "2"}}, {"a": "1", "b": "3", "c": "4"}) == {
        "a": "1",
        "b": "2+3",
        "c": "4",
    }
    assert continued_code({"code": {"b": "2+3"}}, {"b": "3"}) == {"b": "2+3"}
    assert continued_code({"code": {"b": "2+3"}}, {"b": "2"}) == {"b": "2+3+2"}
    assert continued_code({}, {"a": "1"}) == {"a": "?+1"}


@pytest.mark.parametrize("value", [None, 3, "x", [3], [{}], {"a": 1}, [{"accepted": 1, "files": {"a": "b"}}]])
@pytest.mark.parametrize("key", ["code", "code_accepted", "resolved"])
def test_a_record_that_makes_no_sense_is_as_none(key, value):
    now = code_of(read())
    facts = {"code": now, "resolved": parameters.resolved_parameters(read())} | {key: value}
    changes = code_changes(facts, read()) or {}
    assert not changes if key != "code" or not isinstance(value, dict) else changes.keys() == {*now, "a"}
    assert run_code.changed_parameters(facts, read()) == []


# ------------------------------------------------------------------------------------- what becomes of such runs


def test_a_run_records_its_code_its_parameters_and_its_weights(quick, trained):
    folder = trained(**LOSS)
    facts = folder.read_environment()
    assert facts["code"] == code_of(quick(**LOSS))
    assert facts["resolved"]["loss_params"] == {"gamma": 2.0, "alpha": 1.0}
    assert facts["resolved"]["optimizer_params"]["lr"] == 0.01
    assert facts["resolved"]["optimizer_params"]["betas"] == [0.9, 0.999]
    assert facts["weights"] == {}


def test_a_finished_run_of_another_loss_is_not_passed_over(quick, trained, code, caplog):
    config, folder = quick(**LOSS), trained(**LOSS)
    summary = folder.read_summary()
    in_code(code)
    with pytest.raises(ConfigError) as refused:
        runner.train(config)
    assert str(refused.value).splitlines() == [
        f"{folder.path}: this run is finished, and {CHANGED}",
        "  --fresh retrains it in a folder beside it",
        "  --changed-code keep keeps its result; environment.json records that",
    ]
    assert f"run folder: {folder.path} (finished; its code has changed since: losses/focal.py)" in runner.check(config)
    before = folder.read_environment()
    again, same = runner.train(config, changed_code="keep")
    assert (again, same) == (folder, summary)
    facts = folder.read_environment()
    (accepted,) = facts.pop("code_accepted")
    assert facts == before
    now = code_of(config)["losses/focal.py"]
    assert accepted["files"] == {"losses/focal.py": [before["code"]["losses/focal.py"], now]}
    assert runner.train(config)[0] == folder  # accepted once
    code.edit("losses/focal.py", "return 2", "return 3")
    with pytest.raises(ConfigError, match=r"losses/focal\.py"):
        runner.train(config)
    fresh, _ = runner.train(config, fresh=True)
    assert fresh.path.name == f"{folder.path.name}-2"
    assert runner.train(config)[0] == fresh


def test_retraining_what_has_changed_leaves_the_old_run(quick, trained, code):
    config, folder = quick(**LOSS), trained(**LOSS)
    assert runner.train(config, changed_code="retrain")[0] == folder
    in_code(code)
    anew, _ = runner.train(config, changed_code="retrain")
    assert anew.path.name == f"{folder.path.name}-2"
    assert folder.is_finished
    assert runner.train(config)[0] == anew


def test_an_edit_of_comments_or_of_other_files_changes_nothing(quick, trained, code):
    config, folder = quick(**LOSS), trained(**LOSS)
    summary = folder.read_summary()
    code.edit("losses/focal.py", '"""', '"""Another text. ')
    code.edit("losses/focal.py", "\n\n\n", "\n\n# a comment\n\n")
    code.edit("losses/hinge.py", "return ", "return 2 * ")
    code.edit("losses/__init__.py", "TORCH_LOSSES = {", "TORCH_LOSSES = {'NewLoss': 'new',")
    code.edit("training/report.py", "return ", "return 2 * ")
    assert runner.train(config) == (folder, summary)


def test_a_changed_default_is_named_with_its_values(quick, trained, code, monkeypatch):
    config, _ = quick(**LOSS), trained(**LOSS)
    code.edit("losses/focal.py", "gamma: float = 2.0", "gamma: float = 3.0")
    known = parameters.signature_of
    changed = known("loss_function", "FocalLoss")
    changed = changed._replace(defaults=changed.defaults | {"gamma": 3.0})
    monkeypatch.setattr(
        parameters, "signature_of", lambda key, name: changed if name == "FocalLoss" else known(key, name)
    )
    with pytest.raises(ConfigError, match=r"losses/focal\.py, loss_params\.gamma 2\.0 -> 3\.0\n"):
        runner.train(config)


def test_an_interrupted_run_of_another_loss_is_not_gone_on_with(quick, trained, code):
    config = quick(**LOSS)
    trained(died_at=1, **LOSS)
    before = code_of(config)["losses/focal.py"]
    in_code(code)
    with pytest.raises(ConfigError, match=r"this run is interrupted, and code .* losses/focal\.py\n") as refused:
        runner.train(config)
    assert "--changed-code keep resumes it under the new code" in str(refused.value)
    folder, _ = runner.train(config, changed_code="keep")
    facts = folder.read_environment()
    now = code_of(config)["losses/focal.py"]
    assert facts["code"]["losses/focal.py"] == f"{before}+{now}"
    assert [each["files"] for each in facts["code_accepted"]] == [{"losses/focal.py": [before, now]}]
    assert [part["changes"] for part in facts["continued"]] == [{}]
    assert runner.train(config)[0] == folder


@pytest.mark.parametrize("choice", ["keep", "retrain"])
def test_all_runs_anew_and_a_choice_of_runs_exclude_each_other(capsys, choice):
    assert train.main(["--fresh", "--changed-code", choice]) == 2
    assert capsys.readouterr().err == f"--fresh retrains whatever is there: leave out --changed-code {choice}\n"


def test_further_devices_follow_the_first(quick, trained, code, monkeypatch):
    config, folder = quick(**LOSS), trained(**LOSS)
    in_code(code)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv(resumption.FOLDER_VARIABLE, str(folder.path))
    assert runner.train(config)[0] == folder
    monkeypatch.delenv(resumption.FOLDER_VARIABLE)  # one that a scheduler started by itself looks itself
    with pytest.raises(ConfigError, match=r"losses/focal\.py"):
        runner.train(config)


def test_an_evaluation_by_other_code_is_warned_of(quick, trained, code, caplog):
    folder = trained(**LOSS)
    in_code(code)
    caplog.clear()
    assert evaluate.main([str(folder.path), "--only", "cost"]) == 0
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"{folder.path}: code has changed since this run was trained: losses/focal.py" in told


# -------------------------------------------------------------------------------------------------- of a sweep


TEXT = (
    BASE
    + """\
classes: [0, 1]
sweep:
  grid:
    loss_function: [HingeLoss, FocalLoss]
  seeds: 2
"""
)
HERE = ("--shard", "1/1")


@pytest.fixture
def swept(file, tmp_path, tmp_path_factory, _trained_once) -> Path:
    """The sweep's file beside its finished runs, trained once for all tests."""
    if (key := ("the sweep",)) not in _trained_once:
        place = _trained_once[key] = tmp_path_factory.mktemp("sweep")
        assert train.main([str(file), *HERE, f"output_path={place}/output"]) == 0
    shutil.copytree(_trained_once[key] / "output", tmp_path / "output")
    return file


def states(capsys) -> list[str]:
    lines = capsys.readouterr().out.splitlines()
    return [line.split(": ")[1].split()[0] for line in lines if line.startswith("run ") and " of " in line]


def test_a_sweep_names_all_runs_of_other_code_in_one_message(swept, code, capsys):
    file = swept
    capsys.readouterr()
    in_code(code)
    assert train.main([str(file), *HERE]) == 2
    said = capsys.readouterr()
    assert "training run" not in said.out
    message = [
        f"{file}:14: sweep: 2 of 4 existing runs were trained by other code than is here now",
        "  losses/focal.py: loss_function=FocalLoss, seed=0; loss_function=FocalLoss, seed=1",
        "  --changed-code retrain retrains these runs, each in a folder beside it; --fresh all of them",
        "  --changed-code keep keeps what is finished, and resumes what is not; environment.json records that",
    ]
    assert [line.replace(":13:", ":14:").replace(":12:", ":14:") for line in said.err.splitlines()] == message
    assert train.main([str(file), "--check"]) == 0
    assert "2 of 4 existing runs were trained by other code than is here now" in capsys.readouterr().out

    code.edit("training/optimizers.py", "return constructor", "return  constructor")
    code.edit("datasets/stream/sampling.py", "def __len__", "def unused(self): ...\n\n    def __len__")
    assert train.main([str(file), *HERE]) == 2  # grouped by what changed
    lines = capsys.readouterr().err.splitlines()
    assert "4 of 4 existing runs were trained by other code" in lines[0]
    assert [line.partition(": ")[0].strip() for line in lines[1:3]] == [
        "datasets/stream/sampling.py",
        "datasets/stream/sampling.py, losses/focal.py",
    ]


def test_a_sweep_retrains_the_runs_whose_code_has_changed_and_no_others(swept, code, capsys, tmp_path):
    file = swept
    in_code(code)
    capsys.readouterr()
    assert train.main([str(file), *HERE, "--changed-code", "retrain"]) == 0
    assert states(capsys) == ["skipped", "finished"] * 2
    assert sorted(path.name[-2:] for path in (tmp_path / "output").glob("*FocalLoss*-2")) == ["-2", "-2"]
    assert train.main([str(file), *HERE]) == 0
    assert states(capsys) == ["skipped"] * 4


def test_a_sweep_keeps_the_runs_whose_code_has_changed(swept, code, capsys, tmp_path):
    file = swept
    in_code(code)
    capsys.readouterr()
    assert train.main([str(file), *HERE, "--changed-code", "keep"]) == 0
    assert states(capsys) == ["skipped"] * 4
    facts = [json.loads(path.read_text()) for path in (tmp_path / "output").glob("*/environment.json")]
    assert sorted(len(each.get("code_accepted", [])) for each in facts) == [0, 0, 1, 1]
    config = read("loss_function=FocalLoss", "architecture=test_resnet", "classes=[0, 1]")
    assert all(code_changes(each, config) == {} for each in facts if "code_accepted" in each)
    assert train.main([str(file), *HERE]) == 0
    assert states(capsys) == ["skipped"] * 4
