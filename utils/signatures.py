"""Parameters of classes and functions with their defaults, read from the source: nothing is imported."""

from __future__ import annotations

import ast
import functools
import re
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


def _definitions(module: str, name: str, seen: set[tuple[str, str]] | None = None) -> Iterator[ast.stmt | ast.expr]:
    """Yield the definition of a name, wherever a module has it from, and behind a class those of its bases."""
    seen = set() if seen is None else seen
    if (module, name) in seen:
        return
    seen.add((module, name))
    try:
        definition = _definition(source_of(module), name)
    except ValueError:  # a name that is no module's
        return
    if definition is None:
        if origin := _imports(module).get(name):
            yield from _definitions(*origin, seen)
    elif isinstance(definition, ast.Call):  # partial(function, ...)
        yield from _definitions(module, getattr(definition.args[0], "id", ""), seen)
    else:
        yield definition
        for base in definition.bases if isinstance(definition, ast.ClassDef) else ():
            yield from _definitions(
                module, base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", ""), seen
            )


def _definition(source: str, name: str) -> ast.stmt | ast.expr | None:
    """Return the definition of a name at the top of a module; only its part of the source is parsed."""
    match = re.search(rf"^(?:class|def) {re.escape(name)}\b|^{re.escape(name)} = partial\(", source, re.MULTILINE)
    if match is None:
        return None
    end = re.compile(r"^[^\s)#]", re.MULTILINE).search(source, source.find("\n", match.start()) + 1)
    part = source[match.start() : end.start() if end else len(source)]
    try:
        (node,) = ast.parse(part).body
    except SyntaxError:  # a text within it begins in the first column
        return next((node for node in ast.parse(source).body if getattr(node, "name", None) == name), None)
    return node.value if isinstance(node, ast.Assign) else node


def _of_function(function: ast.FunctionDef) -> Signature:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = list(zip(reversed(positional), reversed(arguments.defaults), strict=False))
    pairs += [
        (argument, value)
        for argument, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if value is not None
    ]
    defaults = {}
    for argument, value in pairs:
        try:
            defaults[argument.arg] = ast.literal_eval(value)
        except ValueError:
            continue
    return Signature(frozenset(argument.arg for argument in (*positional, *arguments.kwonlyargs)), defaults)


@functools.cache
def _imports(module: str) -> dict[str, tuple[str, str]]:
    """Return name -> the module that a module imports it from, and its name there."""
    try:
        body = ast.parse(source_of(module)).body
    except ValueError:
        return {}
    origins = {}
    for node in body:
        if isinstance(node, ast.ImportFrom):
            parts, file = module.split("."), source_file(module)
            is_package = file is not None and file.name == "__init__.py"
            above = parts[: len(parts) - node.level + is_package] if node.level else []
            origin = ".".join([*above, *filter(None, [node.module])])
            origins |= {alias.asname or alias.name: (origin, alias.name) for alias in node.names}
    return origins
