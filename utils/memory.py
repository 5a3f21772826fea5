"""Memory that a step frees is kept for the next step."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
NEVER = -1
LARGEST_KEPT = 32 * 2**20
"""Bytes; glibc takes no higher threshold."""


def keep_freed_memory() -> bool:
    """Have the C library keep what is freed instead of giving it back to the system, for the rest of the process.

    By default glibc gives back the end of its heap and every large block. Activations and gradients are freed each
    step, so it takes tens of MB back from the system page by page: benchmarks/results/step-2026-11-21.md.

    Returns: whether it will; only glibc has these settings.
    Source: mallopt(3). Setting one of them also stops glibc from adjusting them by itself.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT) and mallopt(M_TRIM_THRESHOLD, NEVER))
