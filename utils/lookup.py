"""Names of things and the parameters that they take, without importing anything heavy."""

from __future__ import annotations

import ast
import collections.abc
import difflib
import functools
import importlib
import importlib.util
import inspect
import re
import types
import typing
from collections import UserDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Meta

from utils.own_names import OWN_PACKAGE, is_own


class Entry(NamedTuple):
    """A line of a table: where a thing is defined, as "module:name", and a one-line summary."""

    location: str
    summary: str


class Table(UserDict[str, Any]):
    """Names and their lines. A name of the user's own has a line too, without being listed."""

    def __init__(self, lines: dict[str, Any]) -> None:
        self.data = lines  # the very same, not a copy

    def __contains__(self, name: object) -> bool:
        return name in self.data or is_own(name)

    def __missing__(self, name: str) -> Entry:
        if not is_own(name):
            raise KeyError(name)
        return Entry(name, "of the user's own")


def load_entry(entry: tuple[str, str]) -> Any:
    """Import the thing that a table's line names.

    Args: entry: an `Entry`, or another line that begins as it does.
    Raises: ConfigError for the user's own code that cannot be imported.
    """
    module, _, name = entry[0].partition(":")
    if not OWN_PACKAGE.match(module):
        return getattr(importlib.import_module(module), name)
    from utils.own_imports import IMPORT_ERRORS, import_problem

    try:
        return getattr(importlib.import_module(module), name)
    except IMPORT_ERRORS as error:
        raise import_problem(module, error) from error


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the name nearest to `name`, or "" when none is near."""
    by_lower = {name.lower(): name for name in sorted(names)}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    near = near or [other for other in by_lower if len(name) > 3 and other.startswith(name.lower())]
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""


def source_file(module: str) -> Path | None:
    """Return the file of a module without importing it (its top-level package is not imported either)."""
    package, *rest = module.split(".")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0], *rest)
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file if file.is_file() else None


def source_of(module: str) -> str:
    """Read a module's source without importing it, "" if there is none."""
    if OWN_PACKAGE.match(module):
        from utils.own_imports import own_source

        return own_source(module)
    file = source_file(module)
    return file.read_text(encoding="utf-8") if file is not None else ""


@functools.cache
def exported_names(module: str) -> tuple[str, ...]:
    """Return the public names that a module's `__all__` lists or that it imports, read from its source.

    Not imported, so that a wrong name in a configuration is reported before torch is loaded.
    """
    source = source_of(module)
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
    return _registered("timm", r"\n@register_model\s*\ndef (\w+)")  # with ^ for \n, five times as slow


@functools.cache
def torchvision_architectures() -> tuple[str, ...]:
    """Return the names of torchvision's classification networks, as `torchvision/NAME`."""
    names = _registered("torchvision", r"\n@register_model\(\)\n(?:@.*\n)*def (\w+)")
    return tuple(f"torchvision/{name}" for name in names)


def _registered(library: str, pattern: str) -> tuple[str, ...]:
    package = source_file(f"{library}.models")
    files = package.parent.glob("*.py") if package else ()
    return tuple(sorted({name for file in files for name in re.findall(pattern, file.read_text(encoding="utf-8"))}))


def without_partial(constructor: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function or class behind a `functools.partial`."""
    return constructor.func if isinstance(constructor, functools.partial) else constructor


def keywords(constructor: Callable[..., Any]) -> frozenset[str]:
    """Return the names of a function's parameters."""
    return frozenset(inspect.signature(constructor).parameters)


def parameter_problems(
    constructor: Callable[..., Any],
    params: Mapping[str, Any],
    given: Iterable[str] = (),
    elsewhere: Iterable[str] = (),
) -> dict[str, str]:
    """Check keyword parameters against a constructor's signature: the constructor is the schema.

    Args:
        constructor: a class or function.
        params: the user's parameters.
        given: names of parameters that the caller supplies: neither missing nor for the user to set.
        elsewhere: names of parameters that something else takes, for the message on an unknown one.

    Returns: parameter name -> what is wrong with it; empty when all fit. Values are checked where the signature says
        a plain type.
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
            allowed = [*named, *elsewhere]
            listed = ", ".join(allowed) or "no parameters"
            problems[name] = f"unknown parameter{did_you_mean(name, allowed)} (allowed: {listed})"
    hints = _type_hints(constructor)
    for name, parameter in named.items():
        if name not in params:
            if parameter.default is parameter.empty:
                problems[name] = "missing: it has no default"
        else:
            hint = hints.get(name, Any)
            plain_default = isinstance(parameter.default, (bool, int, float, str))
            if name not in hints and plain_default and not _is_of_library(constructor):  # a library's allows any type
                hint = float if type(parameter.default) is int else type(parameter.default)
            if not _fits(hint, params[name]):
                problems[name] = f"must be {in_words(hint)}, got {params[name]!r}"
    return problems


ROOT = Path(__file__).resolve().parents[1]


def source_place(defined: Callable[..., Any]) -> str:
    """Return where a class or function is defined, such as "losses/focal.py:13"."""
    file = Path(inspect.getsourcefile(defined) or "").resolve()
    file = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
    return f"{file}:{inspect.getsourcelines(defined)[1]}"


LIBRARIES = ("torch", "torchvision", "timm", "optuna")
REFUSALS_OF_LIBRARIES = (
    *(ValueError, TypeError, RuntimeError, ArithmeticError, LookupError, AttributeError, AssertionError),
)


def refusals(constructor: Callable[..., Any]) -> tuple[type[Exception], ...]:
    """Return the errors by which a constructor, or the object it built, rejects parameters.

    Libraries raise many kinds. Ours raise ValueError: anything else from our own code is a bug, not a user's mistake.
    """
    return REFUSALS_OF_LIBRARIES if _is_of_library(constructor) else (ValueError,)


def _is_of_library(constructor: Callable[..., Any]) -> bool:
    return without_partial(constructor).__module__.partition(".")[0] in LIBRARIES


PLAIN = {int: "whole number", float: "number", str: "text"}
SEQUENCES = (list, tuple, Iterable, Sequence)


def _type_hints(constructor: Callable[..., Any]) -> dict[str, Any]:
    """Return the types in a signature, or none if they cannot be resolved."""
    try:
        function = without_partial(constructor)
        function = function.__init__ if inspect.isclass(function) else function
        # some import these for checkers only
        return typing.get_type_hints(function, localns=vars(collections.abc), include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}


def _fits(hint: Any, value: Any) -> bool:
    """Return whether a value from YAML fits a type; any value fits one that is not plain, such as an object."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(part, value) for part in inner)
    if origin is typing.Literal:
        return any(value == choice and type(value) is type(choice) for choice in inner)  # true is not 1
    if origin in SEQUENCES and inner and isinstance(value, (list, str, int, float)):
        return isinstance(value, list) and all(_fits(inner[0], item) for item in value)
    if hint in (*PLAIN, bool, type(None)) or (origin is typing.Annotated and isinstance(inner[1], Meta)):
        try:
            msgspec.convert(value, hint)
        except msgspec.ValidationError:
            return False
        return True
    return not isinstance(value, str) if _is_tensor(hint) else True


def _is_tensor(hint: Any) -> bool:
    return getattr(hint, "__name__", "") == "Tensor"


def in_words(hint: Any) -> str:
    """Return a type as a user calls it, such as "a whole number >= 1, 'auto' or null"."""
    return _either(_alternatives(hint))


def _either(words: Iterable[str]) -> str:
    *others, last = dict.fromkeys(words)
    return f"{', '.join(others)} or {last}" if others else last


def _alternatives(hint: Any, many: bool = False) -> list[str]:
    """Return the alternatives of a type in words; with `many`, in the plural, for "list of"."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    article, plural = ("", "s") if many else ("a ", "")
    if origin in (typing.Union, types.UnionType):
        return [words for part in inner if not _is_tensor(part) for words in _alternatives(part, many)]
    if origin is typing.Literal:
        return [repr(value) for value in inner]
    if hint is bool:
        return ["true", "false"]
    if hint is type(None):
        return ["null"]
    if hint is Any:
        return [f"{article}value{plural}"]
    if origin is typing.Annotated and not isinstance(inner[1], Meta):
        return _alternatives(inner[0], many)
    if origin is typing.Annotated:
        (words,) = _alternatives(inner[0], many)
        return [_bounded(words, inner[1])]
    if origin in SEQUENCES and inner:
        return [f"{article}list{plural} of {_either(_alternatives(inner[0], many=True))}"]
    if origin is dict:
        return [f"{article}mapping{plural} of parameters"]
    if fields := getattr(hint, "__struct_fields__", None):
        return [f"{article}mapping{plural} with {' and '.join(fields)}"]
    return [f"{article}{PLAIN[hint]}{plural}" if hint in PLAIN else getattr(hint, "__name__", str(hint))]


def _bounded(words: str, meta: Any) -> str:
    """Add the bounds of a number, or the length of a list; `meta` is a `msgspec.Meta`."""
    if meta.max_length == 1:
        words = words.replace("mappings of parameters", "mappings of one name to its parameters")
        words = words.replace("mapping of parameters", "mapping of one name to its parameters")
    elif meta.min_length is not None:
        words = words.replace("list of", f"list of {meta.min_length}").replace("text", "text that is not empty")
    bounds = {">=": meta.ge, ">": meta.gt, "<=": meta.le, "<": meta.lt}
    limits = [f"{sign} {bound}" for sign, bound in bounds.items() if bound is not None]
    return f"{words} {' and '.join(limits)}".rstrip()
