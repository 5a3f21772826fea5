"""Prepared images kept as bytes, on the disk or in memory: filled once, shared by runs and workers.

A cache is one file: for each image of a table a CRC-32 and the pixels, a hole where none was filled. Whoever uses a
cache holds a shared lock on its file, whoever fills or removes one the folder's lock; both end with their process.
Images are written through the file, since a full disk is an error there and the end of the process in a memory map.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import logging
import os
import re
import shutil
import tempfile
import weakref
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from filelock import FileLock, Timeout

from datasets.readers.files import available_memory, cache_root, in_threads, progress, some
from datasets.readers.images import refuse_bad_images
from utils.files import FULL
from utils.types import DataError

try:
    import fcntl
except ImportError:  # Windows, where a file in use cannot be removed anyway
    fcntl = None

LOG = logging.getLogger("lossbench")
FORMAT = 2
"""Part of every file's name: a change of the layout never reads older files."""
RESERVE = 5e8
"""Bytes of the disk that no cache takes: the run has checkpoints to write."""
SHARE = 0.8
"""The part of the available memory that images may take: the network needs some too."""
PATIENCE = 1.0  # seconds of waiting for another run before a message

Shape = tuple[int, int, int, int]


class CacheUnavailable(Exception):
    """There is no room for a cache, or its folder cannot be used; images can still be decoded in every epoch."""


class CachedImages:
    """Decoded images: `images[index]` is a read-only view [H, W, C] uint8, `images[array]` a copy [M, H, W, C].

    Pickled to a worker, it sends the file's name, not the pixels; every process opens a memory map of its own.

    Args:
        path: the file, of the length that `shape` [N, H, W, C] needs.
        filled: which images it holds, [N] bool. Any other is a KeyError: it would be black.
        handle: a descriptor of the file, closed with this object.
    """

    def __init__(self, path: Path, shape: Shape, filled: np.ndarray, handle: int | None = None) -> None:
        self.path, self.shape, self.filled = path, shape, filled
        self.records = np.asarray(np.memmap(path, _record(shape), mode="r", shape=(shape[0],)))
        self.close = None if handle is None else weakref.finalize(self, os.close, handle)

    def __getitem__(self, index: Any) -> np.ndarray:
        if not self.filled[index].all():
            raise KeyError(f"not among the images that were cached: {index}")
        return self.records["pixels"][index]

    def __reduce__(self) -> tuple:
        return CachedImages, (self.path, self.shape, self.filled)


def _record(shape: Shape) -> np.dtype:
    return np.dtype([("checksum", "<u4"), ("pixels", "u1", shape[1:])])


def cached_images(
    load: Callable[[int], np.ndarray],
    shape: Shape,
    indices: np.ndarray,
    key: str,
    *,
    where: Literal["disk", "memory"],
    limit_gb: float,
    folder: Path | None = None,
    name: str = "images",
) -> CachedImages:
    """Return images that are decoded at most once, now or by an earlier run.

    On the disk only those are loaded that no run has left there intact. An interrupted build resumes; a run that needs
    images which another is decoding waits for it.

    Args:
        load: index -> uint8 [H, W, C]; called in threads.
        shape: of all images of the table, [N, H, W, C].
        indices: those needed.
        key: distinguishes these pixels from any others: images, size, switches. Not used in memory.
        limit_gb: the most, in 10^9 bytes, that memory or the whole folder may take. At the limit, caches that no run
            uses are removed, the least recently used first.
        folder: where caches lie; None for the user's cache folder.
        name: of the data set, for people who look into the folder.

    Raises: CacheUnavailable if there is no room or the folder cannot be used; DataError that lists all images that
        cannot be loaded, the others being kept.
    """
    indices = np.unique(np.asarray(indices, dtype=np.int64))
    filled, size, limit = np.isin(np.arange(shape[0]), indices), _record(shape).itemsize, limit_gb * 1e9
    if where == "memory":
        path, handle = _memory_file(len(indices) * size, limit)
        os.truncate(handle, shape[0] * size)
        images = CachedImages(path, shape, filled, handle)
        _fill(images, load, indices)
        return images
    digest = hashlib.blake2b(f"{FORMAT}\0{shape}\0{key}".encode(errors="surrogatepass"), digest_size=8).hexdigest()
    readable = re.sub(r"[^\w.-]+", "_", name)[:60].lstrip(".")
    folder = folder or cache_root() / "images"
    path = folder / f"{readable}-{'x'.join(map(str, shape[1:]))}-{digest}.u8"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        images = _open(path, shape, filled)
        missing = indices if images is None else _missing(images, indices)
        if images is not None and not len(missing):
            return images
        lock = FileLock(folder / ".lock")
        with contextlib.ExitStack() as stack:
            try:
                lock.acquire(timeout=PATIENCE)
            except Timeout:
                LOG.info("%s: waiting for another run, which fills a cache", path)
                lock.acquire()
            stack.callback(lock.release)
            if images := images or _open(path, shape, filled):
                missing = _missing(images, missing)  # another run may have filled some
            _make_room(path, len(missing) * size, limit)
            images = images or _open(path, shape, filled, create=True)
            assert images is not None
            if len(damaged := missing[images.records["checksum"][missing] > 0]):
                shown = some([*map(str, damaged)])
                LOG.warning("%s: %d damaged images are decoded again: %s", path, len(damaged), shown)
            try:
                _fill(images, load, missing)
            except OSError as error:
                assert images.close is not None
                images.close()
                if error.errno in FULL:  # the run itself needs the room
                    _is_idle(path, remove=True)
                raise
        return images
    except OSError as error:
        raise CacheUnavailable(f"{path}: cannot be used: {error.strerror or error}") from error


def _open(path: Path, shape: Shape, filled: np.ndarray, create: bool = False) -> CachedImages | None:
    """Open a cache, brought to its full length, and keep others from removing it; None if there is none."""
    try:
        handle = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o644)
    except FileNotFoundError:
        return None
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, handle)
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_SH)
        if os.fstat(handle).st_nlink == 0:  # removed before it was locked
            return None
        if os.fstat(handle).st_size != (length := shape[0] * _record(shape).itemsize):
            os.truncate(handle, length)
        os.utime(path)  # when it was last used
        stack.pop_all()
    return CachedImages(path, shape, filled, handle)


def _missing(images: CachedImages, indices: np.ndarray) -> np.ndarray:
    """Return the images that are not there or damaged. Reading warms the system's own cache."""

    def verify(group: np.ndarray) -> list[bool]:
        records = (images.records[index] for index in group)
        return [bool(0 < record["checksum"] == _checksum(record["pixels"])) for record in records]

    groups, intact = [indices[start : start + 64] for start in range(0, len(indices), 64)], []
    with progress(len(indices), "verifying") as bar, contextlib.closing(in_threads(verify, groups)) as verified:
        for group, future in verified:
            intact += future.result()
            bar.update(len(group))
    return indices[~np.array(intact, dtype=bool)]


def _checksum(pixels: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(pixels).data) or 1  # 0 says that an image is not filled


def _fill(images: CachedImages, load: Callable[[int], np.ndarray], indices: np.ndarray) -> None:
    """Load images in threads and write them. Raises: DataError that lists all that cannot be loaded."""
    kind, shape, faults = images.records.dtype, images.shape[1:], []

    def encode(index: int) -> memoryview:
        image, record = load(index), np.empty(1, kind)
        if image.shape != shape or image.dtype != np.uint8:
            raise ValueError(f"image {index} must be uint8 of {shape}, got {image.dtype} of {image.shape}")
        record["checksum"], record["pixels"] = _checksum(image), image
        return record.view(np.uint8).data

    place = "memory" if images.path.is_relative_to("/proc") else images.path
    LOG.info("decoding %s images into %s (%s)", f"{len(indices):,}", place, _gb(len(indices) * kind.itemsize))
    with (
        images.path.open("r+b", buffering=0) as file,
        progress(len(indices), "decoding") as bar,
        contextlib.closing(in_threads(encode, indices.tolist())) as encoded,
    ):
        for index, future in encoded:
            try:
                _write_at(file, index * kind.itemsize, future.result())
            except DataError as error:
                faults.append(str(error))
            bar.update()
    refuse_bad_images(faults, len(indices))


def _write_at(file: IO[bytes], start: int, content: memoryview) -> None:
    file.seek(start)
    while content:  # a disk that gets full takes a part first and raises at the rest
        content = content[file.write(content) :]


def _is_idle(path: Path, remove: bool = False) -> bool:
    """Tell whether no process uses a cache, and remove it if asked to."""
    if fcntl is None:
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if remove:
            path.unlink()
    return True


def _make_room(path: Path, new: int, limit: float) -> None:
    """Remove idle caches, the least recently used first, if a cache has no room otherwise.

    Raises: CacheUnavailable if there is no room even without them; nothing is removed then.
    """
    states = sorted(((other.stat(), other) for other in path.parent.glob("*.u8")), key=lambda item: item[0].st_mtime)
    # the bytes on the disk, without holes
    taken = {other: 512 * getattr(state, "st_blocks", state.st_size // 512) for state, other in states}
    size = new + taken.pop(path, 0)
    idle = {other: room for other, room in taken.items() if _is_idle(other)}
    total, removable, free = sum(taken.values()), sum(idle.values()), shutil.disk_usage(path.parent).free - RESERVE
    if size + total - removable > limit:
        beside = f", of which other runs hold {_gb(total - removable)}" if total > removable else ""
        raise CacheUnavailable(f"the images take {_gb(size)}, more than the limit of {_gb(limit)}{beside}")
    if new > free + removable:
        beside = f"{_gb(max(free, 0))} are free beside the {_gb(RESERVE)} left for checkpoints"
        raise CacheUnavailable(f"{path.parent}: {_gb(new)} are needed, {beside}")
    excess = max(size + total - limit, new - free)
    for other, room in idle.items():
        if excess > 0 and _is_idle(other, remove=True):
            excess -= room
            LOG.info("removed %s (%s), the least recently used cache", other, _gb(room))


def _gb(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e7 else f"{size / 1e6:.2f} MB"


def _memory_file(needed: int, limit: float) -> tuple[Path, int]:
    """Open a file in memory, which /dev/shm does not limit; a temporary one where the system has no such files."""
    if needed > limit:
        raise CacheUnavailable(f"the images take {_gb(needed)}, more than the limit of {_gb(limit)}")
    if needed > SHARE * (available := available_memory()):
        raise CacheUnavailable(
            f"the images take {_gb(needed)}, more than {SHARE:.0%} of {_gb(available)} of free memory"
        )
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("lossbench-images")
        return Path(f"/proc/{os.getpid()}/fd/{handle}"), handle
    handle, name = tempfile.mkstemp()
    atexit.register(os.unlink, name)
    return Path(name), handle
