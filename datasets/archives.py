"""Unpacking of archives from elsewhere: plain files and folders come out, inside the target, or nothing does."""

from __future__ import annotations

import lzma
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

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
)


class Member(NamedTuple):
    """A file or folder in an archive; `open` is None for a folder."""

    name: str
    size: int
    open: Callable[[], IO[bytes] | None] | None


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

    Regular files and folders only: Python's own filters have let links escape the target (CVE-2025-4517 and its kin),
    so links and devices are refused, as are absolute names, `..`, backslashes and drive letters, and nothing but names
    and contents is taken over. A file appears under its name when it is complete; one that is there already is kept.
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
        for member in _members(archive):
            path = _safe_path(archive, member.name)
            count += 1
            size += member.size
            if count > max_files or size > max_bytes:
                raise DataError(f"{archive}: refused: more than {max_files:,} members or {max_bytes:,} bytes")
            target = folder / path
            if member.open is None:
                target.mkdir(parents=True, exist_ok=True)
                continue
            if path in seen:
                raise DataError(f"{archive}: refused: {member.name!r} stands in it twice")
            seen.add(path)
            files += 1
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                _write(archive, member, target, progress)
    except BROKEN as error:
        raise DataError(f"{archive}: damaged or no tar or zip file: {error}") from None
    except OSError as error:
        raise DataError(f"{archive}: cannot be unpacked into {folder}: {error}") from None
    if not files:
        raise DataError(f"{archive}: damaged or no tar or zip file: holds no files")
    return files


def _safe_path(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or re.search(r"[\\\0]|^[A-Za-z]:", name):
        raise DataError(f"{archive}: refused: {name!r} would leave the target folder")
    return path


def _write(archive: Path, member: Member, target: Path, progress: Callable[[int], object] | None) -> None:
    assert member.open is not None
    source = member.open()
    if source is None:
        raise DataError(f"{archive}: {member.name!r} has no content")
    part = target.with_name(target.name + ".part")
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
    os.replace(part, target)


def _members(archive: Path) -> Iterator[Member]:
    if tarfile.is_tarfile(archive):
        yield from _tar_members(archive)
    else:
        yield from _zip_members(archive)


def _tar_members(archive: Path) -> Iterator[Member]:
    with tarfile.open(archive) as tar:
        for entry in tar:
            if not (entry.isreg() or entry.isdir()) or entry.issparse() or entry.size < 0:
                raise DataError(f"{archive}: refused: {entry.name!r} is a link, device or sparse file")
            if entry.isdir():
                yield Member(entry.name, 0, None)
            else:
                yield Member(entry.name, entry.size, lambda entry=entry: tar.extractfile(entry))


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as bundle:
        for entry in bundle.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(f"{archive}: refused: {entry.filename!r} is a link or device")
            if entry.is_dir():
                yield Member(entry.orig_filename, 0, None)
            else:
                yield Member(entry.orig_filename, entry.file_size, lambda entry=entry: bundle.open(entry))
