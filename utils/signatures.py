"""Parameters of classes and functions with their defaults, read from the source: nothing is imported."""

from __future__ import annotations

import ast
import contextlib
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

from utils.lookup import Entry, source_file, source_of


class Signature(NamedTuple):
    """Parameters of a class or function.

    Args:
        names: of all parameters.
        defaults: of those whose default is a plain value; one that is computed, or a member of an enumeration, is
            unknown without importing it.
    """

    names: frozenset[str]
    defaults: dict[str, Any]


UNKNOWN = Signature(frozenset(), {})


@functools.cache
def read_signature(module: str, name: str) -> Signature:
    """Return the signature of a class, a function or a `functools.partial` of one; `UNKNOWN` if there is no source.

    A class without `__init__` has that of its first base with one; a name that a module imports is followed.
    """
    for definition in _definitions(module, name):
        if isinstance(definition, ast.FunctionDef):
            return _of_function(definition)
        if isinstance(definition, ast.ClassDef):
            for node in definition.body:
                if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                    return _of_function(node)
    return UNKNOWN


def keyword_defaults(entry: Entry) -> dict[str, Any]:
    """Return the parameters of a table's function that have plain defaults."""
    return read_signature(*entry.location.split(":")).defaults


@functools.cache
def read_attribute(module: str, name: str, attribute: str) -> Any:
    """Return the plain value that a class, or the first of its bases that does, gives to an attribute; None if none."""
    for definition in _definitions(module, name):
        for node in definition.body if isinstance(definition, ast.ClassDef) else ():
            if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == [attribute]:
                return ast.literal_eval(node.value)
    return None


def _definitions(module: str, name: str, seen: frozenset[tuple[str, str]] = frozenset()) -> Iterator[ast.stmt]:
    """Yield the definition of a name, wherever a module has it from, and behind a class those of its bases."""
    if (module, name) in seen:
        return
    seen |= {(module, name)}
    found = _contents(module).get(name)
    if isinstance(found, tuple):
        yield from _definitions(*found, seen)
    elif found is not None:
        yield found
        for base in found.bases if isinstance(found, ast.ClassDef) else ():
            inner = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
            yield from _definitions(module, inner, seen)


@functools.cache
def _contents(module: str) -> dict[str, ast.stmt | tuple[str, str]]:
    """Return what stands at the top of a module: name -> its definition, or where else it is from, module and name."""
    try:
        body, file = ast.parse(source_of(module)).body, source_file(module)
    except ValueError:  # a name that is no module's
        return {}
    contents: dict[str, ast.stmt | tuple[str, str]] = {}
    parts = module.split(".")
    for node in body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            contents[node.name] = node
        elif isinstance(node, ast.ImportFrom):
            is_package = file is not None and file.name == "__init__.py"
            above = parts[: len(parts) - node.level + is_package] if node.level else []
            origin = ".".join([*above, *filter(None, [node.module])])
            contents |= {alias.asname or alias.name: (origin, alias.name) for alias in node.names}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):  # partial(function, ...)
            call = node.value
            if getattr(call.func, "id", "") == "partial":
                inner = module, getattr(call.args[0], "id", "")
                contents |= {getattr(target, "id", ""): inner for target in node.targets}
    return contents


def _of_function(function: ast.FunctionDef) -> Signature:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    with_defaults = [*positional[len(positional) - len(arguments.defaults) :], *arguments.kwonlyargs]
    defaults = {}
    for argument, value in zip(with_defaults, [*arguments.defaults, *arguments.kw_defaults], strict=True):
        with contextlib.suppress(ValueError):
            if value is not None:
                defaults[argument.arg] = ast.literal_eval(value)
    return Signature(frozenset(argument.arg for argument in (*positional, *arguments.kwonlyargs)), defaults)
