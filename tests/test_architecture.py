"""Imports point one way, as the design says."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BELOW: dict[str, tuple[str, ...]] = {
    "utils": (),
    "configuration": ("utils",),
    "losses": (),
    "metrics": ("losses", "utils"),
    "datasets": ("configuration", "losses", "utils"),
    "models": ("losses", "metrics", "utils"),
}
"""Folder -> the folders that it may import, besides itself; of those in a row, all that stand before it."""
ROW = ("runs", "tracking", "training", "evaluation", "sweeps", "comparison", "exporting")
for folder in ROW:
    BELOW[folder] = tuple(BELOW)
MODULES = sorted(path for folder in BELOW for path in (ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == (path.parent.name == "losses" and is_ours(node)), f"{path}: relative import"
            module = ".".join(filter(None, ["losses"[: 6 * node.level], node.module]))
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def is_ours(node: ast.ImportFrom) -> bool:
    """Return whether an import in losses/ is of losses/ itself."""
    return node.level > 0 or str(node.module).partition(".")[0] in BELOW


def test_losses_import_torch_and_themselves_only():
    names = {name.partition(".")[0] for path in (ROOT / "losses").glob("*.py") for name in imported(path)}
    assert names - sys.stdlib_module_names == {"losses", "torch"}


@pytest.mark.parametrize("folder", BELOW)
def test_imports_point_one_way(folder):
    scripts = {path.stem for path in ROOT.glob("*.py")}
    forbidden = {*BELOW, *scripts, "benchmarks", "docs", "tests"} - {folder, *BELOW[folder]}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / folder).rglob("*.py")
        for name in imported(path)
        if name.partition(".")[0] in forbidden
    ]
    assert wrong == []


def test_every_folder_of_the_program_has_its_place():
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(BELOW)


@pytest.mark.parametrize("package", BELOW)
def test_packages_are_ours_and_not_namesakes_from_an_index(package):
    module = __import__(package)
    assert module.__file__ is not None
    assert Path(module.__file__).is_relative_to(ROOT)


def test_no_loss_is_named_outside_its_own_file():
    from losses import LOSSES

    for path in [*MODULES, *ROOT.glob("*.py"), *ROOT.glob("benchmarks/*.py")]:
        if path.parent.name == "losses":
            continue
        text = path.read_text()
        for name in LOSSES:
            assert name not in text or path.name in ("train.py",), f"{path.name} names {name}"


@pytest.mark.parametrize("script", sorted(ROOT.glob("*.py")), ids=lambda path: path.name)
def test_root_scripts_are_short_stories(script):
    assert len(script.read_text().splitlines()) <= 120


def test_the_light_modules_import_nothing_heavy():
    import subprocess
    import sys

    code = (
        "import sys, utils.types, utils.lookup, configuration.reading, evaluation.catalogue\n"
        "import losses, datasets, models, tracking, metrics\n"
        "print(sorted({'torch', 'numpy', 'PIL', 'timm', 'pytorch_lightning', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
