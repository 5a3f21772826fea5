"""Import of the user's own code from the sources that were read: modules below the package `own_DIGEST`."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import linecache
import logging
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from utils.lookup import OWN_PACKAGE, REFUSALS_OF_LIBRARIES, Entry, load_entry, source_place
from utils.own_code import FOLDER, Sources, parse, sources_of
from utils.types import ConfigError

LOG = logging.getLogger("lossbench")


class _Loader(importlib.abc.InspectLoader):
    """Imports the sources of one digest as modules of the package `own_DIGEST`."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources

    def path_of(self, module: str) -> str | None:
        """Return the path of a module, "" of a folder without an `__init__.py`, None of no module."""
        path = "/".join(module.split(".")[1:])
        files = (f"{path}/__init__.py", f"{path}.py")
        is_folder = not path or any(each.startswith(f"{path}/") for each in self.sources)
        return next((file for file in files if file in self.sources), "" if is_folder else None)

    def is_package(self, fullname: str) -> bool:
        path = self.path_of(fullname)
        return not path or path.endswith("/__init__.py")

    def get_source(self, fullname: str) -> str | None:
        path = self.path_of(fullname)
        return self.sources[path].text if path else ""

    def get_code(self, fullname: str) -> CodeType | None:
        path = self.path_of(fullname)
        if not path:
            return compile("", fullname, "exec")
        text, file = self.sources[path]
        linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file  # as it runs, whatever is edited
        tree = _Localizer(fullname.partition(".")[0], self.path_of).visit(parse(self.sources[path]))
        return compile(ast.fix_missing_locations(tree), file, "exec")

    def exec_module(self, module: ModuleType) -> None:
        if path := self.path_of(module.__name__):
            module.__file__ = self.sources[path].file
        else:  # the package of all, which comes first
            path, source = next(iter(self.sources.items()))
            root = Path(source.file).parents[path.count("/")]
            if root.parent.name == FOLDER:
                LOG.warning("running the code that a run has brought along: %s", root)
        super().exec_module(module)


class _Localizer(ast.NodeTransformer):
    """Turns imports of files beside a file into imports from their package, and `lossbench` into `losses`."""

    def __init__(self, package: str, path_of: Callable[[str], str | None]) -> None:
        self.package, self.path_of = package, path_of

    def here(self, module: str) -> str:
        """Return the name below which a module is imported."""
        if self.path_of(f"{self.package}.{module}") is not None:
            return f"{self.package}.{module}"
        return re.sub(r"^lossbench\b", "losses", module)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.level == 0:
            node.module = self.here(node.module or "")
        return node

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        statements: list[ast.stmt] = []
        for alias in node.names:
            whole = self.here(alias.name)
            above, _, last = whole.rpartition(".")
            if whole == alias.name:
                statements.append(ast.Import([alias]))
            elif alias.asname or "." not in alias.name:
                bound = ast.alias(last, alias.asname or alias.name)
                statements.append(
                    ast.ImportFrom(above, [bound], 0) if above else ast.Import([ast.alias(last, bound.asname)])
                )
            else:  # binds the first part of the name
                first = alias.name.partition(".")[0]
                statements += [
                    ast.Import([ast.alias(whole, "_imported")]),
                    ast.ImportFrom(self.package, [ast.alias(first)], 0),
                ]
        return [ast.copy_location(statement, node) for statement in statements]


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        match = OWN_PACKAGE.match(fullname)
        if match is None or not (sources := sources_of(match[1])):
            return None
        loader = _Loader(sources)
        if (where := loader.path_of(fullname)) is None:
            return None
        origin = sources[where].file if where else None
        return importlib.util.spec_from_loader(fullname, loader, origin=origin, is_package=loader.is_package(fullname))


if not any(type(finder).__name__ == _Finder.__name__ for finder in sys.meta_path):
    sys.meta_path.insert(0, _Finder())


def own_source(module: str) -> str:
    """Return the source of a module of the user's own, "" where it is not here."""
    match = OWN_PACKAGE.match(module)
    return _Loader(sources_of(match[1]) if match else {}).get_source(module) or ""


IMPORT_ERRORS = (*REFUSALS_OF_LIBRARIES, ImportError, NameError, OSError)
"""Errors that running a user's file may raise."""


def import_problem(module: str, error: BaseException) -> ConfigError:
    """Return the error of a user's module that cannot be imported, with its line that failed."""
    match = OWN_PACKAGE.match(module)
    sources = sources_of(match[1]) if match else {}
    files = {source.file for source in sources.values()}
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    if not sources:
        return ConfigError(f"{module}: its sources are not here: read the configuration that names it")
    place = f"{own[-1].filename}:{own[-1].lineno}" if own else module
    return ConfigError(f"{place}: cannot be imported: {type(error).__name__}: {error}")


def load_class(location: str, base: type, key: str) -> Any:
    """Import a class of the user's own. Raises: ConfigError if it is none, or no subclass of `base`."""
    loaded = load_entry(Entry(location, ""))
    if not (isinstance(loaded, type) and issubclass(loaded, base)):
        module = "losses" if base.__module__.startswith("losses") else base.__module__
        raise ConfigError(f"{key}: {place_of(loaded, location)} must be a subclass of {module}.{base.__name__}")
    return loaded


def place_of(loaded: Any, location: str) -> str:
    """Return where something of the user's own is defined, with its name; its module alone where it has no line."""
    name = location.rpartition(":")[2]
    return f"{source_place(loaded)}: {name}" if inspect.isclass(loaded) or inspect.isfunction(loaded) else name
