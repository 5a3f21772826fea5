"""Images decoded once: loaded in parallel, kept as uint8 on the disk or in memory, shared by runs and workers."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datasets.cache_files import CacheFiles, CacheUnavailable, Mapped, cache_folder, gigabytes
from datasets.cache_memory import Memory, TorchMemory, new_memory
from datasets.cache_room import claim, discard
from datasets.readers.files import in_threads
from datasets.readers.files import progress as progress_bar
from datasets.readers.images import cache_root, refuse_bad_images
from utils.files import FULL
from utils.types import DataError

LOG = logging.getLogger("lossbench")

Load = Callable[[int], np.ndarray]


class CachedImages:
    """Images that are already decoded, by row.

    `images[row]` is a read-only view [H, W, C], `images[rows]` a copy [M, H, W, C]. Pickled to a worker, it sends where
    the pixels lie, not the pixels.

    Args:
        source: what holds the pixels; `source.pixels()` is the read-only array [N, H, W, C] of them, which a process
            opens for itself.
        filled: which rows are, [N] bool. Any other is a KeyError: it would be black, not an image.
        claim: what keeps the pixels from being removed, as long as it lives.

    Attributes: shape [N, H, W, C]; dtype, uint8.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, source: Mapped | Memory | TorchMemory, filled: np.ndarray, claim: object = None) -> None:
        self.source, self.filled, self._claim = source, filled, claim
        self._pixels = source.pixels()
        self.shape = self._pixels.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        if not self.filled[rows].all():
            raise KeyError(f"not among the rows that were cached: {rows}")
        return self._pixels[rows]

    def __reduce__(self) -> tuple:
        return CachedImages, (self.source, self.filled)


def cached_bytes(shape: tuple[int, ...]) -> int:
    """Return how large the cache of images [N, H, W, C] is."""
    return math.prod(shape)


def cached_images(
    load: Load,
    shape: tuple[int, int, int, int],
    rows: np.ndarray,
    key: str,
    *,
    where: Literal["disk", "memory"],
    limit_gb: float,
    folder: Path | None = None,
    progress: bool | None = None,
    name: str = "",
) -> CachedImages:
    """Return images that are decoded at most once, now or by an earlier run.

    On the disk, only the rows are loaded that no run has left there whole; what is found is verified by checksums. An
    interrupted build goes on where it stopped. Runs that want the same cache wait for the one that fills it.

    Args:
        load: gives a row as uint8 [H, W, C]; called in threads.
        shape: of all images, [N, H, W, C]; N counts the table's rows, not only those needed.
        rows: those needed.
        key: what tells the pixels from any others: images, size, switches. Not used in memory.
        limit_gb: the most, in 10^9 bytes, that memory or the whole cache folder may take. Where it is reached, the
            caches that no run uses leave, the least recently used first.
        folder: where caches lie; None for the user's cache folder.
        progress: show a progress bar; None shows it where stderr is a terminal.
        name: of the data set, for people who look into the folder.

    Raises: CacheUnavailable if there is no room or the folder cannot be used; DataError that lists all images that
        cannot be loaded, the others being kept.
    """
    rows = np.unique(np.asarray(rows, dtype=np.int64))
    if len(rows) and not 0 <= rows[0] <= rows[-1] < shape[0]:
        raise ValueError(f"rows must be of 0 to {shape[0] - 1}, got {rows[0]} to {rows[-1]}")
    if where == "memory":
        return _in_memory(load, shape, rows, limit_gb * 1e9, progress)
    files = CacheFiles(cache_folder(folder or cache_root() / "images", key, shape, name), shape)
    return _on_disk(load, files, rows, limit_gb * 1e9, progress)


def _in_memory(
    load: Load, shape: tuple[int, int, int, int], rows: np.ndarray, limit: float, progress: bool | None
) -> CachedImages:
    memory = new_memory(shape, cached_bytes((len(rows), *shape[1:])), limit)
    pixels = memory.pixels(writable=True)

    def keep(row: int, image: np.ndarray) -> None:
        pixels[row] = image

    _fill(load, rows, shape[1:], keep, "memory", progress)
    return CachedImages(memory, _mask(rows, shape[0]))


def _on_disk(load: Load, files: CacheFiles, rows: np.ndarray, limit: float, progress: bool | None) -> CachedImages:
    held = None
    start = time.monotonic()
    try:
        held = claim(files, rows, limit)
        missing = rows[~files.intact(rows, progress)]
        if len(missing):
            with files.building():
                # another run may have filled them meanwhile
                missing = missing[~files.intact(missing, progress)]
                files.warn_of_damage(missing)
                if len(missing):
                    with files.writing() as keep:
                        _fill(load, missing, files.shape[1:], keep, str(files.folder), progress)
        else:
            LOG.debug("%s: %d images verified in %.1f s", files.folder, len(rows), time.monotonic() - start)
        return CachedImages(Mapped(files.images, files.shape), _mask(rows, files.shape[0]), held)
    except OSError as error:
        if held is not None:
            held.release()
        if error.errno in FULL:  # the run itself needs the room
            discard(files)
        raise CacheUnavailable(f"{files.folder}: cannot be used: {error.strerror or error}") from error


def _mask(rows: np.ndarray, length: int) -> np.ndarray:
    mask = np.zeros(length, dtype=bool)
    mask[rows] = True
    return mask


def _fill(
    load: Load,
    rows: np.ndarray,
    shape: tuple[int, ...],
    keep: Callable[[int, np.ndarray], None],
    where: str,
    progress: bool | None,
) -> None:
    """Load rows in threads and keep them, one after the other.

    Raises: DataError that lists all that cannot be loaded, when the others are kept.
    """
    faults = []
    start = time.monotonic()
    LOG.info("decoding %s images into %s (%s)", f"{len(rows):,}", where, gigabytes(cached_bytes((len(rows), *shape))))
    with (
        progress_bar(len(rows), "decoding", shown=progress) as bar,
        contextlib.closing(in_threads(load, rows.tolist())) as loaded,
    ):
        for row, future in loaded:
            try:
                image = future.result()
            except DataError as error:
                faults.append(str(error))
            except OSError as error:
                faults.append(f"row {row}: cannot be read: {error}")
            else:
                if image.shape != shape or image.dtype != np.uint8:
                    raise ValueError(f"row {row} must be uint8 of {shape}, got {image.dtype} of {image.shape}")
                keep(row, image)
            bar.update()
    refuse_bad_images(faults, len(rows))
    LOG.info("decoded %s images in %.1f s", f"{len(rows):,}", time.monotonic() - start)
