"""Finds, in source code, calls that run what they read. By its syntax, not by its text: words may say anything."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

RUNS_CODE = {
    *("eval", "exec", "__import__", "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads", "shelve.open", "joblib.load"),
    *("dill.load", "dill.loads", "cloudpickle.load", "cloudpickle.loads", "pandas.read_pickle"),
    *("yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load", "yaml.full_load_all", "yaml.load_all"),
    *("torch.jit.load", "torch.export.load", "torch.hub.load", "torch.hub.load_state_dict_from_url"),
    *("torch.package.PackageImporter", "shutil.unpack_archive"),
}
METHODS = {"extractall", "load_from_checkpoint", "save_hyperparameters", "load_model", "load_state_dict_from_url"}
"""Refused whatever they are called on."""
NEVER_TRUE = {"allow_pickle", "shell"}
PACKAGES = {"keras", "tensorflow", "lightning"}
"""Never imported: loaders whose switches for safety were passed by three times, and a name whose releases were once
malicious; ours comes from pytorch-lightning."""


def offences(source: str, module: str | None = None) -> list[str]:
    """Return what a file does that ours must not, a line each.

    Args:
        module: its name, imported to tell which loader a name in it stands for.
    """
    tree = ast.parse(source)
    names = dict(_imported(tree))
    found = [f"imports {name}" for name in names.values() if name.partition(".")[0] in PACKAGES]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found += [f"line {node.lineno}: {text}" for text in _call_offences(node, names, module)]
        elif isinstance(node, ast.ClassDef) and "pickle.Unpickler" in {_dotted(base, names) for base in node.bases}:
            methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
            found += [] if "find_class" in methods else [f"line {node.lineno}: an unpickler that takes every class"]
    return found


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield each name that an import defines, and what it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.asname or alias.name.partition(".")[0], _whole(alias)) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _whole(alias: ast.alias) -> str:
    return alias.name if alias.asname else alias.name.partition(".")[0]


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    """Return what an expression names, such as "torch.load", however it was imported; "" for another expression."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return ""


def _call_offences(call: ast.Call, names: dict[str, str], module: str | None) -> Iterator[str]:
    name = _dotted(call.func, names)
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    method = call.func.attr if isinstance(call.func, ast.Attribute) else name.rpartition(".")[2]
    if name in RUNS_CODE or method in METHODS:
        yield f"calls {name or method}"
    if name == "torch.load" and not _is(given.get("weights_only"), True):
        yield "torch.load without weights_only=True"
    if _is(given.get("weights_only"), False):
        yield "weights_only=False"
    if name == "yaml.load" and not _is_safe_loader(given.get("Loader"), names, module):
        yield "yaml.load without a safe loader"
    for switch in NEVER_TRUE & given.keys():
        if not _is(given[switch], False):
            yield f"{switch} other than False"


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _is_safe_loader(node: ast.expr | None, names: dict[str, str], module: str | None) -> bool:
    name = "" if node is None else _dotted(node, names)
    place, _, last = name.rpartition(".")
    try:
        loader = getattr(importlib.import_module(place or module or ""), last, None)
    except (ImportError, ValueError):
        loader = None
    safe = tuple(getattr(yaml, name) for name in ("SafeLoader", "CSafeLoader") if hasattr(yaml, name))
    return isinstance(loader, type) and issubclass(loader, safe)


def sources(root: Path) -> Iterator[tuple[str, str, str | None]]:
    """Yield name, source and module's name of every file of the project that a user runs, notebooks' cells included."""
    import json

    for folder in (*sorted(path.parent.name for path in root.glob("*/__init__.py")), "benchmarks", "docs", "."):
        for path in sorted(root.glob("*.py") if folder == "." else (root / folder).rglob("*.py")):
            name = path.relative_to(root)
            yield str(name), path.read_text(encoding="utf-8"), ".".join(name.with_suffix("").parts)
    for path in sorted([*root.glob("*.ipynb"), *root.glob("notebooks/*.ipynb")]):
        for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
            if cell["cell_type"] == "code":
                plain = re.sub(r"(?m)^( *)[!%].*", r"\1pass", "".join(cell["source"]))
                yield f"{path.name}, cell {number}", plain, None
