"""Names: which there are, which one was meant, what stands behind one. Imports nothing heavy."""

from __future__ import annotations

import ast
import difflib
import functools
import importlib
import importlib.util
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """One line of a table: where a thing is defined, as "module:name", and what it is in one line."""

    location: str
    summary: str


def load_entry(entry: Entry) -> Any:
    """Import what a line of a table names."""
    module, _, name = entry.location.partition(":")
    return getattr(importlib.import_module(module), name)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the name nearest to `name`, or "" when none is near."""
    by_lower = {known.lower(): known for known in sorted(names)}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""


def _source_of(module: str) -> str:
    """Read a module's source without importing it (its top-level package is not imported either)."""
    package, *rest = module.split(".")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return ""
    path = Path(spec.submodule_search_locations[0], *rest)
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file.read_text(encoding="utf-8") if file.is_file() else ""


@functools.cache
def exported_names(module: str) -> tuple[str, ...]:
    """Return the public names that a module's `__all__` lists or that it imports, read from its source.

    Not imported, so that a wrong name in a configuration is told before torch is loaded.
    """
    source = _source_of(module)
    listed = re.search(r"^__all__(?:\s*:[^=]*)?\s*=\s*([\[(].*?[\])])", source, re.MULTILINE | re.DOTALL)
    if listed:
        names = ast.literal_eval(listed[1])
    else:
        imports = (node for node in ast.parse(source).body if isinstance(node, ast.ImportFrom))
        names = [alias.asname or alias.name for node in imports for alias in node.names]
    return tuple(sorted({name for name in names if not name.startswith("_")}))


def class_names(module: str) -> tuple[str, ...]:
    """Return those of `exported_names` that are spelled like classes."""
    return tuple(name for name in exported_names(module) if name[0].isupper())


@functools.cache
def timm_architectures() -> tuple[str, ...]:
    """Return the names in timm's registry, read from its source."""
    spec = importlib.util.find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        return ()
    files = Path(spec.submodule_search_locations[0], "models").glob("*.py")
    pattern = re.compile(r"^@register_model\s*\ndef (\w+)", re.MULTILINE)
    return tuple(sorted({name for file in files for name in pattern.findall(file.read_text(encoding="utf-8"))}))


@functools.cache
def torchvision_architectures() -> tuple[str, ...]:
    """Return the names of torchvision's classification networks, as `torchvision/NAME`."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return ()
    files = Path(spec.submodule_search_locations[0], "models").glob("*.py")
    pattern = re.compile(r"^@register_model\(\)\n(?:@.*\n)*def (\w+)", re.MULTILINE)
    names = {name for file in files for name in pattern.findall(file.read_text(encoding="utf-8"))}
    return tuple(sorted(f"torchvision/{name}" for name in names))


def keywords(constructor: Callable[..., Any]) -> frozenset[str]:
    """Return the names of a function's parameters."""
    return frozenset(inspect.signature(constructor).parameters)


def parameter_problems(
    constructor: Callable[..., Any], params: Mapping[str, Any], given: Iterable[str] = ()
) -> dict[str, str]:
    """Check keyword parameters against a constructor's signature: the constructor is the schema.

    Args:
        constructor: a class or function.
        params: the user's parameters.
        given: names of parameters that the caller supplies, so neither missing nor the user's to set.

    Returns: parameter name -> what is wrong with it; empty when all fit.
    """
    given = set(given)
    signature = inspect.signature(constructor).parameters.values()
    named = {
        p.name: p for p in signature if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name not in given
    }
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature)
    problems = {}
    for name in params:
        if name not in named and not (takes_any and name not in given):
            allowed = ", ".join(named) or "no parameters"
            problems[name] = f"unknown parameter{did_you_mean(name, named)} (allowed: {allowed})"
    for name, parameter in named.items():
        if parameter.default is parameter.empty and name not in params:
            problems[name] = "missing: it has no default"
    return problems
