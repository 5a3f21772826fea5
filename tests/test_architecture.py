"""Imports point one way, as the design says."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {"datasets", "losses", "models", "utils"}
LIGHTEST = {"utils.types", "utils.lookup", "utils.files", "utils.secrets", "utils.seeding"}
LEAVES = LIGHTEST | {f"utils.configuration.{name}" for name in ("schema", "smoke", "reading", "yaml_text", "chains")}
SCRIPTS = {path.stem for path in ROOT.glob("*.py")} - {"conftest"}
MODULES = sorted(path for folder in OURS for path in (ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Return the modules of ours that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module}
            if node.module in OURS:
                found |= {f"{node.module}.{alias.name}" for alias in node.names if is_module(node.module, alias.name)}
    return {name for name in found if name.partition(".")[0] in OURS | SCRIPTS}


def is_module(package: str, name: str) -> bool:
    return (ROOT / package / f"{name}.py").is_file() or (ROOT / package / name).is_dir()


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def allowed(module: str) -> set[str]:
    """Return the prefixes of what a module may import."""
    if module in LIGHTEST:
        return set()
    if module == "utils.configuration.yaml_text":
        return {"utils.types"}
    if module in ("utils.configuration.schema", "utils.configuration.smoke", "utils.configuration.reading"):
        return LEAVES - {"utils.configuration.reading"}
    if module.startswith("losses"):
        return {"losses", *LEAVES}
    if module.startswith("datasets"):
        return {"datasets", *LEAVES}
    if module == "models.classifier":
        return {"losses.base", "models.single_sample", "utils.metrics", *LEAVES}
    if module.startswith("models"):
        return {"models.architectures", "models.weights", "models.flops", "models", *LEAVES}
    return OURS


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_one_way(path):
    module = name_of(path)
    prefixes = allowed(module)
    for name in imported(path):
        assert name.partition(".")[0] not in SCRIPTS, f"{module} imports the script {name}"
        assert any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes), f"{module} imports {name}"
        if module.startswith("models.") and module != "models.classifier":
            assert name != "models.classifier"


@pytest.mark.parametrize("package", sorted(OURS))
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
        "import sys, utils.types, utils.lookup, utils.configuration.reading, utils.configuration.catalogue\n"
        "import losses, datasets, models, utils.trackers, utils.metrics\n"
        "print(sorted({'torch', 'numpy', 'PIL', 'timm', 'pytorch_lightning', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
