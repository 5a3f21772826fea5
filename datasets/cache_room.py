"""Room for image caches: a limit for all of them, and who leaves when it is reached."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import weakref
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock

from datasets.cache_files import CacheFiles, CacheUnavailable, gigabytes

try:
    import fcntl
except ImportError:  # Windows, where a file in use cannot be removed anyway
    fcntl = None

LOG = logging.getLogger("lossbench")

RESERVE = 5e8
"""Bytes of the disk that no cache takes: the run has checkpoints to write."""

MARKER = "in-use"


class Claim:
    """A cache's marker, locked as long as this object or the process lives; processes share it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        handle = os.open(folder / MARKER, os.O_RDWR | os.O_CREAT, 0o644)
        self.release = weakref.finalize(self, os.close, handle)
        os.utime(folder / MARKER)  # when the cache was last used
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_SH)


class Cache(NamedTuple):
    """A cache that lies in the folder: bytes it takes or is about to take, and when it was last used."""

    folder: Path
    size: int
    used: float


def claim(files: CacheFiles, rows: np.ndarray, limit: float) -> Claim:
    """Create a cache's files, make room for its rows and keep others from removing it.

    Args:
        limit: bytes that all caches beside each other may take.

    Raises: CacheUnavailable if there is no room; OSError if the folder cannot be used.
    """
    with _only_one(files.folder):
        before = files.filled() > 0
        after = before.copy()
        after[rows] = True
        size = int(after.sum()) * files.row_bytes
        _make_room(files.folder, size, size - int(before.sum()) * files.row_bytes, limit)
        held = Claim(files.folder)
        try:
            files.create(size)
        except OSError:
            held.release()
            raise
        return held


def discard(files: CacheFiles) -> None:
    """Remove a cache, as far as that is possible, unless another run uses it."""
    with contextlib.suppress(OSError), _only_one(files.folder):
        if _is_idle(files.folder):
            shutil.rmtree(files.folder)


def _only_one(cache: Path) -> FileLock:
    """Return the lock under which caches are claimed and removed."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(cache.parent / ".lock")


def _make_room(folder: Path, size: int, new: int, limit: float) -> None:
    """Remove idle caches, the least recently used first, if a cache has no room otherwise.

    Args:
        size, new: bytes of the cache when it is filled, and those to be written for that.

    Raises: CacheUnavailable if there is no room even without them; nothing is removed then.
    """
    others = [cache for cache in _caches(folder.parent) if cache.folder != folder]
    idle = sorted((cache for cache in others if _is_idle(cache.folder)), key=lambda cache: cache.used)
    taken, could_leave = sum(cache.size for cache in others), sum(cache.size for cache in idle)
    free = shutil.disk_usage(folder.parent).free - RESERVE
    if size + taken - could_leave > limit:
        held = f", of which other runs hold {gigabytes(taken - could_leave)}" if taken > could_leave else ""
        raise CacheUnavailable(f"the images take {gigabytes(size)}, more than the limit of {gigabytes(limit)}{held}")
    if new > free + could_leave:
        kept = f"beside the {gigabytes(RESERVE)} left for checkpoints"
        raise CacheUnavailable(
            f"{folder.parent}: {gigabytes(new)} are needed, {gigabytes(max(free, 0))} are free {kept}"
        )
    excess = max(size + taken - limit, new - free)
    for cache in idle:
        if excess <= 0:
            break
        shutil.rmtree(cache.folder)
        excess -= cache.size
        LOG.info("removed %s (%s), the cache not used for the longest time", cache.folder, gigabytes(cache.size))


def _caches(folder: Path) -> list[Cache]:
    """Return the caches in a folder; what has no marker is none."""
    markers = [path / MARKER for path in folder.iterdir() if not path.is_symlink() and (path / MARKER).is_file()]
    return [Cache(marker.parent, _size(marker.parent), marker.stat().st_mtime) for marker in markers]


def _size(cache: Path) -> int:
    """Return what a cache takes when filled, so that caches being filled at once do not count on the same room."""
    try:
        return int(json.loads((cache / "about.json").read_bytes())["bytes"])
    except (OSError, ValueError, LookupError, TypeError):
        return sum(path.stat().st_size for path in cache.iterdir())


def _is_idle(cache: Path) -> bool:
    """Tell whether no process uses a cache, by a lock that dies with its process."""
    if fcntl is None:
        return False
    handle = os.open(cache / MARKER, os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
