"""Memory that a step frees is kept for the next step."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h
NEVER = -1


def keep_freed_memory() -> bool:
    """Have the C library keep what is freed instead of giving it back to the system, for the rest of the process.

    By default glibc gives back the end of its heap and every large block. Activations and gradients are freed each
    step, so it takes tens of MB back from the system page by page: benchmarks/results/step-2026-11-21.md. To be called
    once images are loaded: what is allocated before, and large, is still given back.

    Returns: whether it will; only glibc has these settings.
    Source: mallopt(3). Setting one of them also stops glibc from adjusting them by itself.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, NEVER))
