"""Code of the user's own, named in a configuration: FILE.py:NAME or package.module:NAME.

Its sources, the named file and what it imports from beside it, are read once. From then on own_DIGEST.MODULE:NAME names
it, so whoever edits or moves the file changes nothing that has begun. utils/own_imports.py imports the sources from
memory, as modules below a package of their own: two files of one name do not clash.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import hashlib
import importlib.util
import os
import re
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from utils.files import read_text, write_atomically
from utils.lookup import ROOT, did_you_mean
from utils.own_names import OWN, is_own
from utils.types import ConfigError

FOLDER = "code"
"""Folder in a run's folder that keeps the sources, those of a digest in the folder own_DIGEST."""
WRITTEN = re.compile(r"(.+\.py):([^:]*)", re.DOTALL)
MOST_FILES, MOST_BYTES = 100, 1_000_000
INSTALLED = {Path(path).resolve() for path in sysconfig.get_paths().values()}
"""Folders where each package is one by itself."""
FOLDERS_VARIABLE = "LOSSBENCH_CODE_FOLDERS"
"""Where processes that are started afresh, such as workers that load images, find the sources."""


class Source(NamedTuple):
    """The text of a file, and the file that it was read from."""

    text: str
    file: str


Sources = dict[str, Source]
"""Path below the folder that imports start from, with slashes -> source."""
_READ: dict[str, Sources] = {}
"""Digest -> sources, of all that this process has read."""


def find(text: str, folder: Path) -> str:
    """Return the name, with its digest, of what a configuration names; read its sources, import nothing.

    Args:
        text: "FILE.py:NAME", relative to the folder or absolute, "package.module:NAME", or a name with a digest.
        folder: that of the configuration; of a run's, which has the sources in its folder `code`.

    Raises: ConfigError for what does not exist, cannot be read or has changed.
    """
    if match := OWN.fullmatch(text):
        _read_copy(match, folder)
        return text
    file, _, name = text.rpartition(":")
    if not name.isidentifier():
        raise ConfigError(f"{name!r} is no name of a class or function in Python")
    root, first = _place_of_file(file, folder) if file.endswith(".py") else _place_of_module(file)
    sources = read_sources(root, first)
    _check_defined(sources[first], name)
    digest = digest_of(sources)
    _READ.setdefault(digest, sources)
    found = f"own_{digest}.{first.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}:{name}"
    if not is_own(found):
        raise ConfigError(f"{root / first}: rename it: letters, digits, - and _ are allowed before .py")
    return found


def _place_of_file(file: str, folder: Path) -> tuple[Path, str]:
    path = folder / Path(file).expanduser()
    if not path.is_file():
        beside = difflib.get_close_matches(path.name, [each.name for each in path.parent.glob("*.py")], n=1)
        meant = (
            f"did you mean {beside[0]!r}?"
            if beside
            else "a run that was trained with it has a copy: train.py RUN/config.yml"
        )
        raise ConfigError(f"{path}: no such file; {meant}")
    return path.resolve().parent, path.name


def _place_of_module(module: str) -> tuple[Path, str]:
    """Return the folder that holds a module's package, and the module's file below it. Nothing is imported."""
    top, *_ = parts = module.split(".")
    remedy = "install it, add its folder to PYTHONPATH, or name the file: path/to/FILE.py:NAME"
    spec = importlib.util.find_spec(top) if all(part.isidentifier() for part in parts) else None
    places = (spec.submodule_search_locations or [spec.origin or ""]) if spec is not None else []
    root = next((Path(place).resolve().parent for place in places if Path(place).exists()), None)
    if root is None:
        raise ConfigError(f"there is no module {top!r}; {remedy}")
    if _is_of_bench(root, top):
        raise ConfigError(f"{module} belongs to Lossbench: give the name alone (python train.py --list)")
    *_, last = _files_of(root, module, top) or [""]
    if last.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".") != module:
        raise ConfigError(f"{top!r} has no module {module!r}; {remedy}")
    return root, last


def read_sources(root: Path, first: str) -> Sources:
    """Return a file and all that it imports from the same folder, however deep.

    Raises: ConfigError for a file that is no Python, and for too many.
    """
    sources: Sources = {}
    top = first.partition("/")[0].removesuffix(".py")
    ahead, size = _files_of(root, first.removesuffix(".py").replace("/", "."), top), 0
    while ahead:
        path = ahead.pop()
        if path in sources:
            continue
        size += (root / path).stat().st_size
        if len(sources) == MOST_FILES or size > MOST_BYTES:
            remedy = "import it from a file of your own, FILE.py:NAME, if it is installed wherever the run is evaluated"
            raise ConfigError(f"{root / first}: imports more than {MOST_FILES} files or 1 MB from beside it; {remedy}")
        sources[path] = source = Source(_read(root / path), str(root / path))
        ahead += (file for module in _imported(parse(source), path) for file in _files_of(root, module, top))
    return dict(sorted(sources.items()))


def _read(file: Path) -> str:
    try:
        return read_text(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from None


def _files_of(root: Path, module: str, top: str) -> list[str]:
    """Return the files below a folder that the import of a dotted name runs; none of the bench or of other packages."""
    parts = module.split(".")
    if _is_of_bench(root, parts[0]) or (root in INSTALLED and parts[0] != top):
        return []
    paths = ("/".join(parts[: depth + 1]) for depth in range(len(parts)))
    return [file for path in paths for file in (f"{path}/__init__.py", f"{path}.py") if (root / file).is_file()]


def _is_of_bench(root: Path, package: str) -> bool:
    return root == ROOT and (root / package / "__init__.py").is_file()


def parse(source: Source) -> ast.Module:
    """Parse a source. Raises: ConfigError with file and line if it is no Python."""
    try:
        return ast.parse(source.text)
    except SyntaxError as error:
        raise ConfigError(f"{source.file}:{error.lineno}: not valid Python: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"{source.file}: not valid Python: {error}") from None


def _imported(tree: ast.AST, path: str) -> Iterator[str]:
    """Yield the dotted names that a file imports, some of which are no module's, relative ones made absolute."""
    parents = path.split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = parents[: len(parents) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            yield from (".".join(filter(None, [module, alias.name])) for alias in node.names)


def files_in(text: str) -> list[str]:
    """Return, for each digest that a configuration's text names, a line of its files and itself."""
    return [f"{', '.join(sources_of(digest))} ({digest})" for digest in sorted(digests_in(text))]


def imported_by(text: str) -> set[str]:
    """Return the dotted names that the sources named in a text import, some of which are no module's."""
    sources = (source for digest in digests_in(text) for source in sources_of(digest).items())
    names = (name for path, source in sources for name in _imported(parse(source), path))
    return {each for name in names for each in (name, name.rpartition(".")[0])}


def _check_defined(source: Source, name: str) -> None:
    """Raise ConfigError if a file does not define a name, as far as can be said without running it."""
    names: set[str] = set()
    for node in ast.walk(parse(source)):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    if name not in names and "*" not in names:
        raise ConfigError(f"{source.file}: defines no {name!r}{did_you_mean(name, names)}")


def digest_of(sources: Mapping[str, Source]) -> str:
    """Return twelve hexadecimal digits of sources. Comments, docstrings and layout do not count."""
    texts = [f"{path} {code_digest(parse(source))}" for path, source in sorted(sources.items())]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def code_digest(tree: ast.AST) -> str:
    """Return twelve hexadecimal digits of a file's code, the same in every version of Python."""
    return hashlib.sha256("".join(_spelled(tree)).encode()).hexdigest()[:12]


def _spelled(node: Any) -> Iterator[str]:
    """Yield a tree's text without texts that do nothing.

    `ast.dump` writes fields that only some versions have, so what is empty is left out.
    """
    if isinstance(node, ast.AST):
        yield f"{type(node).__name__}("
        for name, value in ast.iter_fields(node):
            constant = isinstance(node, ast.Constant) and name == "value"
            if constant or not (value is None or value == [] or name in ("ctx", "kind", "type_comment")):
                yield f"{name}="
                yield from _spelled(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for item in node:
            if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)):
                yield from _spelled(item)
        yield "]"
    else:
        yield f"{type(node).__name__} {node!r},"


def digests_in(text: str) -> set[str]:
    """Return the digests of the sources that a configuration's text names."""
    return {match[1] for match in OWN.finditer(text)}


def write_copies(text: str, folder: Path) -> None:
    """Write the sources that a configuration's text names below the folder of its run, where `find` looks for them."""
    for digest in digests_in(text):
        for path, source in _READ[digest].items():
            file = folder / FOLDER / f"own_{digest}" / path
            if not file.is_file():
                file.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(file, source.text)
        _announce_folder(folder / FOLDER)


def read_copies(text: str, folder: Path) -> None:
    """Read the sources of a run, so that their signatures are known; leave out what is damaged."""
    for match in OWN.finditer(text):
        with contextlib.suppress(ConfigError):
            _read_copy(match, folder)


def _read_copy(name: re.Match[str], folder: Path) -> None:
    digest, module, _ = name.groups()
    if digest in _READ:
        return
    root = (folder / FOLDER / f"own_{digest}").resolve()
    *_, first = _files_of(root, module, "") or [""]
    if not first:
        text = f"its copy in {root} is missing: copy the folder {FOLDER!r} of the run beside its config.yml"
        raise ConfigError(text)
    sources = read_sources(root, first)
    if digest_of(sources) != digest:
        raise ConfigError(f"{root} was changed after its run began: restore it, or name the changed file in a new run")
    _READ[digest] = sources
    _announce_folder(root.parent)


def _announce_folder(folder: Path) -> None:
    known = os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)
    os.environ[FOLDERS_VARIABLE] = os.pathsep.join(dict.fromkeys(filter(None, [*known, str(folder.resolve())])))


def sources_in(text: str) -> dict[str, Sources]:
    """Return the sources that a text names, to be sent to another process."""
    return {digest: _READ[digest] for digest in digests_in(text)}


def add_sources(sources: Mapping[str, Sources]) -> None:
    """Take sources that another process has read."""
    _READ.update(sources)


def sources_of(digest: str) -> Sources:
    """Return the sources of a digest; of a run whose process started this one, read from its folder; or none."""
    for folder in filter(None, os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)):
        root = Path(folder) / f"own_{digest}"
        if digest not in _READ and root.is_dir():
            files = [path.relative_to(root).as_posix() for path in root.rglob("*.py")]
            sources = {file: Source(_read(root / file), str(root / file)) for file in files}
            if digest_of(sources) == digest:
                _READ[digest] = sources
    return _READ.get(digest, {})
