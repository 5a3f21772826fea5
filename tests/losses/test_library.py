"""The losses as a library: a wheel that needs torch alone, in an environment without the repository."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import torch
from cases import samples

import losses
from losses import LOSSES, functional

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = re.findall(r"^## (.+?)$|^```python\n(.*?)^```", (ROOT / "docs/library.md").read_text(), re.M | re.S)
BLOCKS = {EXAMPLES[place - 1][0]: code for place, (_, code) in enumerate(EXAMPLES) if code}


def run(*command: object, **options) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy: a build leaves files behind."""
    source = tmp_path_factory.mktemp("source")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "losses", source / "losses", ignore=ignore)
    for file in ("pyproject.toml", "LICENSE", "docs/library.md"):
        (source / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, source / file)
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    run(*pip, "--wheel-dir", source / "dist", source)
    (built,) = (source / "dist").glob("lossbench-*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """The interpreter of an environment that holds the wheel, and torch from where it runs."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    (packages,) = [*home.glob("lib/python*/site-packages"), *home.glob("Lib/site-packages")]
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", packages, wheel)
    (packages / "torch.pth").write_text(f"{Path(torch.__file__).parents[1]}\n")
    return next(path for path in (home / "bin/python", home / "Scripts/python.exe") if path.exists())


def test_the_wheel_holds_the_losses_and_needs_torch_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith("METADATA"))
        needs = re.findall(r"^Requires-Dist: (\S+)", archive.read(metadata).decode(), re.M)
    held = {name for name in names if name.startswith("lossbench/")}
    assert held == {f"lossbench/{file.name}" for file in (ROOT / "losses").glob("*.py")} | {"lossbench/py.typed"}
    assert [re.match(r"[\w-]+", need)[0] for need in needs] == ["torch"]  # type: ignore[index]


def test_importing_it_brings_torch_and_nothing_else(python, tmp_path):
    code = """
import sys
import lossbench
assert "torch" not in sys.modules
import torch, torch.nn.functional
before = {*sys.modules}
for name in lossbench.LOSSES:
    assert getattr(lossbench, name).__name__ == name
assert issubclass(lossbench.FocalLoss, lossbench.ClassificationLoss)
new = {name.partition(".")[0] for name in {*sys.modules} - before}
print(*sorted(new - {"torch", "lossbench"} - sys.stdlib_module_names), lossbench.__file__)
"""
    (file,) = run(python, "-I", "-c", code, cwd=tmp_path).split()
    assert Path(file).is_relative_to(python.parents[1])


def test_the_examples_run_as_they_stand(python, tmp_path):
    for place, code in enumerate(BLOCKS.values()):
        (tmp_path / f"example_{place}.py").write_text(code)
    code = "import runpy, sys; [(runpy.run_path(file), print('end')) for file in sys.argv[1:]]"
    files = [tmp_path / f"example_{place}.py" for place in range(len(BLOCKS))]
    *printed, rest = run(python, "-I", "-c", code, *files, cwd=tmp_path).split("end\n")
    assert rest == ""
    for lines, code in zip(printed, BLOCKS.values(), strict=True):
        assert len(lines.split()) == code.count("print(")
        assert all(line == "True" or float(line) >= 0.95 for line in lines.split())


def test_there_is_an_example_for_each_kind_of_loss():
    uses = {"scores": "loss(network(images), target)", "head": "make_head", "index": "target[index], index"}
    uses |= {"views": "loss.views", "texts": "Sequences.of"}
    assert [kind for kind, text in uses.items() if not any(text in code for code in BLOCKS.values())] == []


@pytest.mark.parametrize("name", LOSSES)
def test_functions_equal_their_losses(name):
    function = functional.function_name(name)
    if reason := functional.problem(name):
        with pytest.raises(AttributeError, match=f"{name} is no function of scores and labels"):
            getattr(functional, function)
        assert reason
        return
    scores, target = samples(name)
    for training in (True, False):
        torch.manual_seed(0)
        expected = getattr(losses, name)().train(training)(scores, target)
        torch.manual_seed(0)
        assert torch.equal(getattr(functional, function)(scores, target, training=training), expected)


def test_names_that_are_none_are_refused():
    assert functional.function_name("LDAMLoss") == "ldam_loss"
    with pytest.raises(AttributeError, match="has no function 'focus_loss'"):
        functional.focus_loss  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'FocusLoss'"):
        losses.FocusLoss  # noqa: B018
    assert {*dir(losses)} >= {"LOSSES", "build_loss"}
    with pytest.raises(ValueError, match="unknown loss 'FocusLoss'; one of"):
        losses.build_loss("FocusLoss")
