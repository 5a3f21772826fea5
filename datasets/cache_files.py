"""The files of one image cache, which any run may find half filled or damaged.

    images.u8      N x H x W x C bytes, row after row; holes where nothing was filled
    checksums.u4   N little-endian uint32: CRC-32 of the row, 0 where it is not filled
    about.json     what this is, and how large it becomes
    in-use         locked by every process that uses the cache
    building       locked by the process that fills it

A row is written before its checksum: a process that dies in between costs that row. Writing goes through files, for a
full disk is an error there and the end of the process in a memory map.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import mmap
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from filelock import FileLock, Timeout

from datasets.readers.files import in_threads, some
from datasets.readers.files import progress as progress_bar
from utils.files import write_atomically

LOG = logging.getLogger("lossbench")

FORMAT = 1
"""Part of every cache's key: a change of the layout never reads older files."""

ROWS_AT_ONCE = 64
PATIENCE = 1.0  # seconds of waiting for another run before it is told
SHOWN = 2e9  # bytes that take long enough to verify for a progress bar


class CacheUnavailable(Exception):
    """There is no room for a cache, or its folder cannot be used; the images can still be decoded on the fly."""


def gigabytes(size: float) -> str:
    """Return a number of bytes in words."""
    return f"{size / 1e9:.2f} GB" if size >= 1e7 else f"{size / 1e6:.2f} MB"


def cache_folder(folder: Path, key: str, shape: tuple[int, ...], name: str) -> Path:
    """Return the folder of one cache: readable, and another one for any other key, shape or format."""
    digest = hashlib.blake2b(f"{FORMAT}\0{shape}\0{key}".encode(errors="surrogatepass"), digest_size=8).hexdigest()
    readable = re.sub(r"[^\w.-]+", "_", name)[:60].strip(".") or "images"
    return folder / f"{readable}-{'x'.join(map(str, shape[1:]))}-{digest}"


@dataclass(frozen=True)
class Mapped:
    """Images [N, H, W, C] in a file, read through a memory map of each process's own."""

    path: Path
    shape: tuple[int, int, int, int]

    def pixels(self) -> np.ndarray:
        with self.path.open("rb") as file:
            pages = mmap.mmap(file.fileno(), math.prod(self.shape), access=mmap.ACCESS_READ)
        return np.frombuffer(pages, dtype=np.uint8).reshape(self.shape)


class CacheFiles:
    """The files of one cache.

    Args:
        folder: its own.
        shape: of all images, [N, H, W, C].
    """

    def __init__(self, folder: Path, shape: tuple[int, int, int, int]) -> None:
        self.folder, self.shape = folder, shape
        self.row_bytes = math.prod(shape[1:])
        self.images, self.checksums = folder / "images.u8", folder / "checksums.u4"

    def create(self, size: int) -> None:
        """Make the files exist in their full length. What is there stays, unless it tells nothing.

        Args:
            size: bytes that will be filled.
        """
        if not self._checksums_fit():
            if self.images.exists():
                LOG.warning("%s: damaged; its images are decoded again", self.checksums)
            _set_length(self.checksums, 0)
            _set_length(self.checksums, 4 * self.shape[0])
        _set_length(self.images, self.shape[0] * self.row_bytes)
        about = {
            "what": "Images decoded by Lossbench, a byte a value. Safe to remove while nothing trains.",
            "format": FORMAT,
            "shape": list(self.shape),
            "bytes": size,
        }
        text = json.dumps(about, indent=1) + "\n"
        path = self.folder / "about.json"
        if not path.is_file() or path.read_bytes() != text.encode():
            write_atomically(path, text)

    def filled(self) -> np.ndarray:
        """Return the checksum of every row as it was written, 0 where there is none: [N] uint32."""
        if not self._checksums_fit():
            return np.zeros(self.shape[0], dtype="<u4")
        return np.fromfile(self.checksums, dtype="<u4")

    def intact(self, rows: np.ndarray, progress: bool | None) -> np.ndarray:
        """Tell which rows are filled with what was written there: [M] bool. Reading warms the system's own cache."""
        told = self.filled()[rows]
        intact = np.zeros(len(rows), dtype=bool)
        filled = np.flatnonzero(told)
        shown = progress if len(filled) * self.row_bytes > SHOWN else False

        def compare(positions: np.ndarray) -> None:
            row = bytearray(self.row_bytes)
            with self.images.open("rb", buffering=0) as file:
                for position in positions:
                    file.seek(int(rows[position]) * self.row_bytes)
                    intact[position] = file.readinto(row) == self.row_bytes and _checksum(row) == told[position]

        groups = (filled[start : start + ROWS_AT_ONCE] for start in range(0, len(filled), ROWS_AT_ONCE))
        with (
            progress_bar(len(filled), "verifying", shown=shown) as bar,
            contextlib.closing(in_threads(compare, groups)) as compared,
        ):
            for group, future in compared:
                future.result()
                bar.update(len(group))
        return intact

    def warn_of_damage(self, missing: np.ndarray) -> None:
        """Tell of rows that should be there and are not."""
        damaged = missing[self.filled()[missing] > 0]
        if len(damaged):
            rows = some([str(row) for row in damaged])
            LOG.warning("%s: %d damaged images are decoded again: rows %s", self.images, len(damaged), rows)

    @contextlib.contextmanager
    def building(self) -> Iterator[None]:
        """Be the only one who fills the cache, after whoever does so now; the system frees the lock of a dead one."""
        lock = FileLock(self.folder / "building")
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout:
            LOG.info("%s: another run fills this cache; waiting for it", self.folder)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Callable[[int, np.ndarray], None]]:
        """Give the function that writes a row's image."""
        with (
            self.images.open("r+b", buffering=0) as images,
            self.checksums.open("r+b", buffering=0) as checksums,
        ):

            def write(row: int, image: np.ndarray) -> None:
                pixels = np.ascontiguousarray(image).data.cast("B")
                _write_at(images, row * self.row_bytes, pixels)
                _write_at(checksums, row * 4, memoryview(_checksum(pixels).to_bytes(4, "little")))

            yield write

    def _checksums_fit(self) -> bool:
        return self.checksums.is_file() and self.checksums.stat().st_size == 4 * self.shape[0]


def _checksum(row: bytearray | memoryview) -> int:
    return zlib.crc32(row) or 1  # 0 says that a row is not filled


def _set_length(path: Path, length: int) -> None:
    with path.open("ab") as file:
        file.truncate(length)


def _write_at(file: IO[bytes], start: int, content: memoryview) -> None:
    file.seek(start)
    while content:  # a disk that gets full takes a part first and raises at the rest
        content = content[file.write(content) :]
