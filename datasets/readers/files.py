"""Small tools that every data set needs: lists for messages, text files, checksums, threads, progress."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, overload

import psutil
from tqdm import tqdm

from utils.files import open_regular, read_regular, write_atomically
from utils.types import ConfigError, DataError, printable

MAX_TABLE_BYTES = 1 << 28
"""Of a table or list: millions of lines."""


def listing(items: Iterable[object], limit: int = 20) -> str:
    """Return the first items, one an indented line, and how many more there are."""
    items = list(items)
    lines = [f"  {printable(str(item))}" for item in items[:limit]]
    if len(items) > limit:
        lines.append(f"  and {len(items) - limit:,} more")
    return "\n".join(lines)


def some(names: Sequence[str], limit: int = 5) -> str:
    """Return the first names in one line."""
    return ", ".join(map(printable, names[:limit])) + (", ..." if len(names) > limit else "")


def is_hidden(name: str) -> bool:
    """Tell whether a file is the operating system's or an archiver's rather than the user's."""
    return name.startswith(".") or name in {"__MACOSX", "Thumbs.db", "desktop.ini"}


def list_folder(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted by name, hidden files left out."""
    return [folder / name for name, _ in list_names(folder)]


def list_names(folder: Path) -> list[tuple[str, bool]]:
    """Return the names in a folder and whether each is a file, sorted, hidden files left out."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, entry.is_file()) for entry in entries if not is_hidden(entry.name))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror or error}") from None


class Paths(Sequence[Path]):
    """Paths that are held as text: of a million files they take 0.1 GB, as objects 1.5 GB."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = list(texts)

    def __len__(self) -> int:
        return len(self.texts)

    def __iter__(self) -> Iterator[Path]:
        return map(Path, self.texts)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> Paths: ...
    def __getitem__(self, index: int | slice) -> Path | Paths:
        return Paths(self.texts[index]) if isinstance(index, slice) else Path(self.texts[index])


def checksum(path: Path, algorithm: str) -> str:
    """Return the hexadecimal checksum of a file.

    Raises: DataError if the file cannot be read.
    """
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


class Line(NamedTuple):
    """A line of a list: its number, from 1, and what stands in it."""

    number: int
    fields: list[str]


def read_bytes(path: Path, limit: int = MAX_TABLE_BYTES) -> bytes:
    """Read a regular file of at most so many bytes. Raises: DataError."""
    try:
        return read_regular(path, limit)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def read_text(path: Path) -> str:
    """Read a table or list in UTF-8, its line ends as \\n. Raises: DataError; UnicodeDecodeError."""
    return io.TextIOWrapper(io.BytesIO(read_bytes(path)), encoding="utf-8-sig").read()


def read_list(path: Path, columns: int, separator: str | None = None) -> list[Line]:
    """Read a text file of lines with as many fields as columns; the last field may hold separators.

    Args:
        separator: what stands between fields; None for any white space.

    Raises: DataError if the file is missing, no text or empty, or listing the lines with too few fields.
    """
    try:
        text = read_text(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8: {error}") from None
    lines = [
        Line(number, line.split(separator, columns - 1))
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]
    refuse_lines(
        path, [f"line {n}: {len(fields)} fields, expected {columns}" for n, fields in lines if len(fields) < columns]
    )
    if not lines:
        raise DataError(f"{path}: holds no lines")
    return lines


def refuse_lines(path: Path, problems: Sequence[str]) -> None:
    """Raise the DataError that lists what is wrong with a file's lines, if there is anything."""
    if problems:
        raise DataError(f"{path}: wrong lines:\n{listing(problems)}")


def leads_out(name: str) -> bool:
    """Tell whether a relative path from a list would leave the data set's folder."""
    path = PurePosixPath(name)
    return not name or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name


def refuse_missing(folder: Path, images: Sequence[Path]) -> None:
    """Raise the DataError that lists the images of a data set that are not there, if there are any."""
    if missing := [image.relative_to(folder) for image in images if not image.is_file()]:
        raise DataError(f"{folder}: {len(missing):,} of {len(images):,} images are missing:\n{listing(missing)}")


def cache_root() -> Path:
    """Return the project's folder in the user's cache folder."""
    # a relative $XDG_CACHE_HOME is to be ignored, says its specification
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return Path(cache if os.path.isabs(cache) else os.path.expanduser("~/.cache"), "lossbench")


def remembered_pairs(stamp: Path, compute: Callable[[], list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """Return pairs of numbers from the file that remembers them, or else compute and remember them."""
    try:
        return [(first, second) for first, second in json.loads(stamp.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):  # not remembered, or not by us
        pairs = compute()
    remember(stamp, json.dumps(pairs))
    return pairs


def remember(stamp: Path, text: str) -> None:
    """Write a result; a cache folder that cannot be written only costs the repetition."""
    try:
        stamp.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(stamp, text)
    except OSError:
        return


ROOT = Path("/")  # replaced in tests
CORES_VARIABLE = "LOSSBENCH_CORES"
"""Tells a run that shares a machine with others how many cores are its own."""


def available_cores() -> int:
    """Return how many cores this process may use. Raises: ConfigError if the environment's number is none."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    own = os.environ.get(CORES_VARIABLE, str(cores))
    if not re.fullmatch(r"0*[1-9][0-9]{0,5}", own):
        raise ConfigError(f"{CORES_VARIABLE} in the environment: must be a whole number >= 1, got {own!r}")
    return min(cores, int(own))


def available_memory() -> float:
    """Return the bytes that this process can still take, under the limit of its control group (version 2), if any."""
    available = psutil.virtual_memory().available
    try:
        lines = (ROOT / "proc/self/cgroup").read_text().splitlines()
        group = ROOT / "sys/fs/cgroup" / next(line.removeprefix("0::/") for line in lines if line.startswith("0::"))
        limit = int((group / "memory.max").read_text())  # ValueError: "max", no limit
        counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        used = int((group / "memory.current").read_text()) - int(counts["active_file"]) - int(counts["inactive_file"])
        return min(available, limit - used)
    except (OSError, StopIteration, ValueError, LookupError):
        return available


def in_threads(function: Callable[[Any], Any], items: Iterable[Any]) -> Generator[tuple[Any, Future], None, None]:
    """Call a function in as many threads as cores; give each item with its call, in order.

    Only a few calls are ahead of the caller, so that their results need little memory. Those not yet begun are dropped
    when the generator is closed.
    """
    waiting: deque[tuple[Any, Future]] = deque()
    with ThreadPoolExecutor(available_cores()) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(function, item)))
                if len(waiting) > 4 * available_cores():
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def at_work(label: str) -> Iterator[None]:
    """Show the seconds that work takes whose progress is unknown."""
    ended = threading.Event()
    with progress(None, label, "s") as bar:

        def count() -> None:
            while not ended.wait(1):
                bar.update()

        thread = threading.Thread(target=count, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def progress(total: int | None, label: str, unit: str = "image") -> Any:
    """Return a progress bar on stderr, if that is a terminal."""
    return tqdm(total=total, desc=label, unit=unit, unit_scale=unit == "B", disable=None)
