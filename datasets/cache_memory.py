"""Memory for images that all processes of a run share."""

from __future__ import annotations

import math
import mmap
import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from datasets.cache_files import CacheUnavailable, gigabytes

SHARE = 0.8
"""The part of the available memory that images may take: the network needs some too."""

ROOT = Path("/")
HAS_DESCRIPTORS = hasattr(os, "memfd_create")

Shape = tuple[int, int, int, int]


class Memory:
    """Memory behind a file descriptor that no file system holds.

    Unlike torch's shared memory it is not limited by the size of /dev/shm, 64 MB in many a container. Forked processes
    inherit it, spawned ones receive the descriptor.

    Args:
        handle: owned by this object.
        shape: of all images, [N, H, W, C]; rows never written take no memory.
    """

    def __init__(self, handle: int, shape: Shape) -> None:
        self.handle, self.shape = handle, shape
        weakref.finalize(self, os.close, handle)

    def pixels(self, writable: bool = False) -> np.ndarray:
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        return np.frombuffer(mmap.mmap(self.handle, math.prod(self.shape), access=access), np.uint8).reshape(self.shape)

    def __reduce__(self) -> tuple:
        from multiprocessing.reduction import DupFd  # not there on Windows, as such memory is not

        return _received, (DupFd(self.handle), self.shape)


def _received(handle: Any, shape: Shape) -> Memory:
    return Memory(handle.detach(), shape)


class TorchMemory:
    """Torch's shared memory, for systems without the other; workers of torch receive it uncopied."""

    def __init__(self, shape: Shape) -> None:
        import torch

        self.tensor = torch.empty(shape, dtype=torch.uint8).share_memory_()

    def pixels(self, writable: bool = False) -> np.ndarray:
        pixels = self.tensor.numpy().view()
        pixels.flags.writeable = writable
        return pixels


def new_memory(shape: Shape, needed: int, limit: float) -> Memory | TorchMemory:
    """Return shared memory for images.

    Args:
        shape: of all images, [N, H, W, C].
        needed: bytes of it that will be filled.
        limit: bytes at most.

    Raises: CacheUnavailable if that is more than the limit or than the memory available.
    """
    if not HAS_DESCRIPTORS:
        needed = math.prod(shape)
    if needed > limit:
        raise CacheUnavailable(f"the images take {gigabytes(needed)}, more than the limit of {gigabytes(limit)}")
    if needed > SHARE * available_memory():
        raise CacheUnavailable(
            f"the images take {gigabytes(needed)}, more than {SHARE:.0%} of the {gigabytes(available_memory())} of "
            "memory that are available"
        )
    try:
        if not HAS_DESCRIPTORS:
            return TorchMemory(shape)
        memory = Memory(os.memfd_create("lossbench-images"), shape)
        os.truncate(memory.handle, math.prod(shape))
    except (OSError, RuntimeError) as error:  # torch's own allocation raises the latter
        raise CacheUnavailable(f"shared memory of {gigabytes(math.prod(shape))}: {error}") from error
    return memory


def available_memory() -> float:
    """Return the bytes that this process can still take; infinity where the system does not tell."""
    try:
        lines = (ROOT / "proc/meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return math.inf
    return min(available, _left_to_group())


def _left_to_group() -> float:
    """Return what is left of the limit of the process's control group (version 2), as containers and clusters set."""
    try:
        lines = (ROOT / "proc/self/cgroup").read_text().splitlines()
        path = next(line.removeprefix("0::/") for line in lines if line.startswith("0::"))
        group = ROOT / "sys/fs/cgroup" / path
        limit = int((group / "memory.max").read_text())  # ValueError: "max", no limit
        used = int((group / "memory.current").read_text())
        counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return limit - used + int(counts["active_file"]) + int(counts["inactive_file"])
    except (OSError, StopIteration, ValueError, LookupError):
        return math.inf
