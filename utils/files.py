"""Files written whole or not at all, and the reading of files that may be hostile."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors of the system that mean there is no room for a file."""


MOST_BYTES = 1 << 28
"""Largest size of a file in a run's folder that is read."""


class DamagedFile(ValueError):
    """A file of a run's folder that cannot be read; the message begins with its name."""


def read_text(path: Path) -> str:
    """Return the text of a file of a run's folder, which may come from elsewhere. Raises: DamagedFile; OSError."""
    try:
        return read_regular(path, MOST_BYTES).decode("utf-8")
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EFBIG):
            raise DamagedFile(f"{path.name} cannot be read: {error.strerror}") from None
        raise
    except UnicodeDecodeError:
        raise DamagedFile(f"{path.name} is not text") from None


class CannotWrite(OSError):
    """A file that could not be written; an earlier file of that name is unchanged."""

    def __str__(self) -> str:
        return f"{self.filename}: cannot be written: {self.strerror}"


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes its name only when it is complete and on the disk.

    The temporary file lies in the same folder: a rename is atomic only within one file system. An existing file
    keeps its mode; a new one has the umask's.

    Raises: CannotWrite.
    """
    try:
        with _renamed_at_the_end(path) as file:
            yield file
    except OSError as error:
        raise CannotWrite(error.errno, error.strerror or str(error), str(path)) from error


@contextlib.contextmanager
def _renamed_at_the_end(path: Path) -> Iterator[IO[bytes]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = open_beside(path)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, stat.S_IMODE(path.stat().st_mode))
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def open_regular(path: Path) -> BufferedReader:
    """Open a file from elsewhere for reading, but no pipe or device, which might never end.

    Raises: OSError with the reason.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    kind = os.fstat(handle).st_mode
    if not stat.S_ISREG(kind):
        os.close(handle)
        number = errno.EISDIR if stat.S_ISDIR(kind) else errno.EINVAL
        raise OSError(number, os.strerror(number) if stat.S_ISDIR(kind) else "no regular file", str(path))
    return os.fdopen(handle, "rb")


def read_regular(path: Path, limit: int) -> bytes:
    """Read a file from elsewhere of at most `limit` bytes. Raises: OSError with the reason."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise OSError(errno.EFBIG, f"{size:,} bytes, more than the {limit:,} allowed", str(path))
        return file.read(size)


def open_beside(path: Path) -> tuple[int, Path]:
    """Create a temporary file beside another, with the umask's mode; return its descriptor and path."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    return os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666), temporary


def _sync_folder(folder: Path) -> None:
    """Flush a new name to the disk too: otherwise a power cut can undo the rename."""
    if os.name != "posix":
        return  # Windows opens no folders
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems cannot; the content is on the disk already
            os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of processes that were killed while writing; nobody else may be writing there."""
    for path in folder.rglob(".*.tmp"):
        if path.is_symlink() or not path.is_dir():  # we leave no folders
            path.unlink()


def rename(path: Path, target: Path) -> None:
    """Raises: CannotWrite."""
    try:
        os.replace(path, target)
    except OSError as error:
        raise CannotWrite(error.errno, error.strerror, str(target)) from error


def write_atomically(path: Path, content: str | Callable[[IO[bytes]], Any]) -> None:
    """Write a text, or the output of a function, to a file."""
    with atomic_file(path) as file:
        if isinstance(content, str):
            file.write(content.encode("utf-8"))
        else:
            content(file)


def content_of(path: str) -> str:
    """Return twelve hexadecimal digits of a file's content; it is read again only if it has changed."""
    file = Path(path).expanduser()
    facts = file.stat()
    return _digest(os.path.realpath(file), facts.st_mtime_ns, facts.st_size)


@functools.lru_cache(maxsize=1000)
def _digest(path: str, changed: int, size: int) -> str:
    with open_regular(Path(path)) as file:  # a run's folder from elsewhere may name a device
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
