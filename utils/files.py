"""Files that are whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What the system says when there is no room for a file."""


class CannotWrite(OSError):
    """A file that could not be written; what was there under its name is as it was."""

    def __str__(self) -> str:
        return f"{self.filename}: cannot be written: {self.strerror}"


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes its name only when it is complete and on the disk.

    The temporary file lies in the same folder: a rename is atomic only within one file system.

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
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file from elsewhere for reading; no pipe or device, which might never end.

    Raises: OSError that says what is wrong.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    kind = os.fstat(handle).st_mode
    if not stat.S_ISREG(kind):
        os.close(handle)
        number = errno.EISDIR if stat.S_ISDIR(kind) else errno.EINVAL
        raise OSError(number, os.strerror(number) if stat.S_ISDIR(kind) else "no regular file", str(path))
    return os.fdopen(handle, "rb")


def read_regular(path: Path, limit: int) -> bytes:
    """Read a file from elsewhere of at most so many bytes. Raises: OSError that says what is wrong."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise OSError(errno.EFBIG, f"{size:,} bytes, more than the {limit:,} allowed", str(path))
        return file.read(size)


def _sync_folder(folder: Path) -> None:
    """Bring a new name to the disk too: without it, a power cut can take the rename back."""
    if os.name != "posix":
        return  # Windows opens no folders
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems cannot; the content is on the disk already
            os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed in the middle of writing left; no other may be writing there."""
    for path in folder.rglob(".*.tmp"):
        if path.is_symlink() or not path.is_dir():  # a folder is nothing that we left
            path.unlink()


def rename(path: Path, target: Path) -> None:
    """Raises: CannotWrite."""
    try:
        os.replace(path, target)
    except OSError as error:
        raise CannotWrite(error.errno, error.strerror, str(target)) from error


def write_atomically(path: Path, content: str | Callable[[IO[bytes]], Any]) -> None:
    """Write a text, or whatever a function writes, to a file."""
    with atomic_file(path) as file:
        if isinstance(content, str):
            file.write(content.encode("utf-8"))
        else:
            content(file)
