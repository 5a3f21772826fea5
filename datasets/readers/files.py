"""Small tools that every data set needs: lists for messages, checksums, progress, downloads."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import psutil
from tqdm import tqdm

from datasets.readers.archives import extract
from utils.files import open_regular, read_regular
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


def is_hidden(path: Path) -> bool:
    """Tell whether a file is the operating system's or an archiver's rather than the user's."""
    return path.name.startswith(".") or path.name in {"__MACOSX", "Thumbs.db", "desktop.ini"}


def list_folder(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted by name, hidden files left out."""
    try:
        return sorted((path for path in folder.iterdir() if not is_hidden(path)), key=lambda path: path.name)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror or error}") from None


def find_folder(data_path: str | None, default: str, inner: str, marker: str) -> tuple[Path, Path]:
    """Find the official folder of a data set: the path given is that folder itself or the one around it.

    Args:
        data_path: the user's path, or None for `default`.
        inner: the folder's official name.
        marker: a file that tells the folder itself, whatever it is called.

    Returns: the folder around it, where a download would go, and the folder itself.
    """
    path = Path(data_path or default).expanduser()
    if path.name == inner or (path / marker).is_file():
        return path.parent, path
    return path, path / inner


def checksum(path: Path, algorithm: str) -> str:
    """Return the hexadecimal checksum of a file.

    Raises: DataError if the file cannot be read.
    """
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def altered_files(folder: Path, md5s: dict[str, str]) -> list[str]:
    """Return the names of those files whose md5 is not the official one."""
    return [name for name, md5 in md5s.items() if checksum(folder / name, "md5") != md5]


def refuse_altered(folder: Path, altered: list[str], verify_checksums: bool) -> tuple[str, ...]:
    """Refuse files that differ from the official ones, or return the note that tells of them.

    Raises: DataError if checksums are verified and a file's differs.
    """
    if not altered:
        return ()
    if verify_checksums:
        raise DataError(
            f"{folder}: not the official content (md5 differs):\n{listing(altered)}\n"
            "Remove them and set `download: true`, or set `verify_checksums: false` to use them as they are."
        )
    return (f"files that differ from the official ones (md5): {', '.join(altered)}",)


def official_files(
    folder: Path, files: Mapping[str, tuple[str, str]], fetch: bool, verify_checksums: bool
) -> tuple[str, ...]:
    """Make sure that a data set's files are there, and the official ones.

    Args:
        files: name -> address and md5.
        fetch: download those that are missing.

    Returns: the note that tells of altered files, or none.
    Raises: DataError naming the files that are missing or altered.
    """
    for name, (url, md5) in files.items():
        if fetch and not (folder / name).is_file():
            download(url, md5, folder)
    if missing := [name for name in files if not (folder / name).is_file()]:
        raise DataError(f"{folder}: missing files:\n{listing(missing)}\n`download: true` fetches them.")
    md5s = {name: md5 for name, (_, md5) in files.items()}
    return refuse_altered(folder, altered_files(folder, md5s), verify_checksums)


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


def download(url: str, md5: str, folder: Path) -> Path:
    """Fetch a file into a folder with torchvision's downloader, unless it is there already.

    Raises: DataError if there is no network, no room or the file that came is another one.
    """
    from torchvision.datasets.utils import download_url

    target = folder / url.rpartition("/")[2]
    try:
        download_url(url, folder, target.name, md5)
    except (OSError, RuntimeError, ValueError, http.client.HTTPException) as error:
        raise DataError(
            f"{url}: cannot be downloaded to {folder}: {error}\nFetch it by other means and put it there, unpacked."
        ) from None
    return target


def official_archive(
    outer: Path, folder: Path, inner: str, needed: Iterable[str], url: str, md5: str, fetch: bool
) -> None:
    """Make sure that what an archive holds is there.

    Args:
        outer, folder: as `find_folder` gives them.
        inner: the folder's official name.
        needed: files and folders in it.
        fetch: download and unpack the archive if one of them is missing.

    Raises: DataError naming those that are missing.
    """

    def missing() -> list[str]:
        return [name for name in needed if not (folder / name).exists()]

    if fetch and missing():
        if folder.name != inner:
            raise DataError(f"{folder}: must be called {inner} for `download: true` to complete it")
        download_archive(url, md5, outer)
    if lacking := missing():
        raise DataError(f"{folder}: missing files:\n{listing(lacking)}\n`download: true` fetches them.")


def download_archive(url: str, md5: str, folder: Path) -> None:
    """Fetch an archive and unpack it into a folder; files that are there already stay as they are."""
    with progress(None, "unpacking", unit="B") as bar:
        extract(download(url, md5, folder), folder, progress=bar.update)


ROOT = Path("/")
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
def at_work(label: str, shown: bool | None = None) -> Iterator[None]:
    """Count the seconds, as `progress` shows things, of what does not tell how far it is."""
    ended = threading.Event()
    with progress(None, label, "s", shown) as bar:

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


def progress(total: int | None, label: str, unit: str = "image", shown: bool | None = None) -> Any:
    """Return a progress bar on stderr; without `shown`, only a terminal gets it."""
    return tqdm(
        total=total, desc=label, unit=unit, unit_scale=unit == "B", disable=None if shown is None else not shown
    )
