"""Unpacking of archives from elsewhere: plain files and folders come out, inside the target, or nothing does.

Not by tarfile's `data` filter: it lets links through, which escaped the target before Python 3.11.13, 3.12.11 and
3.13.4 (CVE-2025-4517 and its kin), and bounds neither number, size nor room on the disk.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from utils.files import open_regular
from utils.types import DataError

CHUNK = 1 << 20
BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,  # a zip's compression that Python lacks
    RuntimeError,  # an encrypted zip
    ValueError,
    OverflowError,
    MemoryError,  # a compression's window of gigabytes
)
COMPRESSIONS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
"""First bytes of a compressed tar file -> its decompressor."""


class Member(NamedTuple):
    """A file or folder in an archive."""

    name: str
    is_folder: bool
    size: int
    open: Callable[[], IO[bytes] | None]


def is_archive(path: Path) -> bool:
    """Tell a tar or zip file by its ending."""
    return path.name.lower().endswith((".tgz", ".tar.gz", ".tar", ".zip"))


def extract(
    archive: Path,
    folder: Path,
    *,
    max_files: int = 200_000,
    max_bytes: int = 50 << 30,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Unpack a tar (compressed or not) or zip file, whatever its ending.

    Links and devices are refused, as are absolute names, `..`, backslashes and drive letters; nothing but names and
    contents is taken over. A file appears under its name when it is complete; one that is there already is kept.
    Members are read one after the other, so those before a refused one do come out: unpack into a folder of its own.

    Args:
        max_files: most members an archive may have.
        max_bytes: most bytes it may unpack to.
        progress: called with the number of bytes just written.

    Returns: the number of files in the archive.
    Raises: DataError naming the archive and the member.
    """
    count = files = size = 0
    seen = set()
    try:
        for member in _members(archive, folder):
            path = PurePosixPath(member.name)
            leaves = path.is_absolute() or ".." in path.parts or re.search(r"[\\\0]|^[A-Za-z]:", member.name)
            if leaves or not member.name:
                raise DataError(f"{archive}: refused: {member.name!r} would leave the target folder")
            count += 1
            size += 0 if member.is_folder else member.size
            if count > max_files or size > max_bytes:
                raise DataError(f"{archive}: refused: more than {max_files:,} members or {max_bytes:,} bytes")
            target = folder / path
            if member.is_folder:
                target.mkdir(parents=True, exist_ok=True)
                continue
            if path in seen:
                raise DataError(f"{archive}: refused: {member.name!r} stands in it twice")
            seen.add(path)
            files += 1
            if target.is_dir():
                raise DataError(f"{archive}: refused: {member.name!r} is a file and a folder")
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                _refuse_without_room(archive, folder, member.size)
                # beside no member, whose name it could take, and never too long
                part = folder / f".unpacking-{os.getpid()}"
                try:
                    _write(archive, member, part, progress)
                    os.replace(part, target)
                finally:
                    part.unlink(missing_ok=True)
    except (*BROKEN, OSError) as error:
        # an operating system's error carries a number, a decompressor's does not
        of_system = isinstance(error, OSError) and error.errno is not None
        what = f"cannot be unpacked into {folder}" if of_system else "damaged or no tar or zip file"
        raise DataError(f"{archive}: {what}: {str(error) or type(error).__name__}") from None
    if not files:
        raise DataError(f"{archive}: damaged or no tar or zip file: holds no files")
    return files


def _refuse_without_room(archive: Path, folder: Path, size: int) -> None:
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    if size > (free := shutil.disk_usage(place).free):
        raise DataError(f"{archive}: refused: unpacks to {size:,} bytes; {folder} has room for {free:,}")


def _write(archive: Path, member: Member, part: Path, progress: Callable[[int], object] | None) -> None:
    source = member.open()
    if source is None:
        raise DataError(f"{archive}: {member.name!r} has no content")
    left = member.size
    with source, part.open("wb") as file:
        while chunk := source.read(min(CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise DataError(f"{archive}: refused: {member.name!r} is larger than the archive says")
            file.write(chunk)
            if progress is not None:
                progress(len(chunk))
    if left:
        raise DataError(f"{archive}: damaged: {member.name!r} ends {left:,} bytes too early")


class _Bounded:
    """A stream that refuses to give much at once: tarfile keeps names in memory, whatever length the file says."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.seek, self.tell, self._read = stream.seek, stream.tell, stream.read

    def read(self, size: int) -> bytes:
        if not 0 <= size <= 2 * CHUNK:
            raise tarfile.ReadError(f"a name of {size:,} bytes")
        return self._read(size)


def _members(archive: Path, folder: Path) -> Iterator[Member]:
    with open_regular(archive) as file:
        head = file.read(6)
    decompress = next((opener for magic, opener in COMPRESSIONS.items() if head.startswith(magic)), open)
    with decompress(archive, "rb") as stream:
        try:
            tar = tarfile.TarFile(fileobj=_Bounded(stream))  # pyright: ignore[reportArgumentType]
        except tarfile.TarError:
            if decompress is not open:
                raise
        else:
            for entry in tar:
                if not (entry.isreg() or entry.isdir()) or entry.issparse() or entry.size < 0:
                    raise DataError(f"{archive}: refused: {entry.name!r} is a link, device or sparse file")
                yield Member(entry.name, entry.isdir(), entry.size, functools.partial(tar.extractfile, entry))
            return
    with zipfile.ZipFile(archive) as bundle:
        sizes = {entry.filename: entry.file_size for entry in bundle.infolist()}  # a tar file says of its members only
        missing = [size for name, size in sizes.items() if not os.path.lexists(os.path.join(folder, name))]
        _refuse_without_room(archive, folder, sum(missing))
        for entry in bundle.infolist():
            if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(f"{archive}: refused: {entry.filename!r} is a link or device")
            is_folder = entry.orig_filename.endswith("/")  # its is_dir() fails on an empty name
            yield Member(entry.orig_filename, is_folder, entry.file_size, functools.partial(bundle.open, entry))
