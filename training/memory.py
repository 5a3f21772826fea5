"""Memory of a training process: kept from step to step, and what to do when it runs out.

Without keeping it a ResNet-18 step at batch 128 takes 16 % longer: benchmarks/results/step-2026-11-30.md.
"""

from __future__ import annotations

import ctypes
import re
import sys

import torch

from configuration.schema import Configuration
from utils.types import TrainingError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h
NEVER = -1
OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate memory|not enough memory|(CUBLAS|CUDNN)_STATUS_ALLOC_FAILED|std::bad_alloc"
    r"|DataLoader worker .*killed by signal: (Killed|Bus error)|insufficient shared memory",
    re.IGNORECASE,
)
"""Messages of accelerators, torch's allocator for the CPU, libraries, and a loader whose worker the system killed."""
HALF = {"cpu": "bf16-mixed", "mps": "16-mixed"}
REQUEST = re.compile(r"(?i:tried|trying) to allocate (?P<size>[\d.]+ \w+)")


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


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a step failed for lack of memory; only some devices have an exception of their own."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and OUT_OF_MEMORY.search(str(error)) is not None


def out_of_memory(
    error: BaseException, config: Configuration, device: torch.device, precision: str, where: str, what_next: str
) -> TrainingError:
    """Return the error that says what a step held and which settings make it smaller.

    Args:
        precision: in force, where the configuration says auto.
        where: such as "in epoch 3".
        what_next: what the same command will do.
    """
    request = REQUEST.search(str(error))
    asked = f" (tried to allocate {request['size']})" if request else ""
    batch, accumulated = config.batch_size, config.accumulate_batches
    smaller = []
    if batch > 3:  # half of it must still be a batch
        images = f"as many images, {batch * accumulated}, an optimizer step"
        smaller.append(f"batch_size: {batch // 2} with accumulate_batches: {2 * accumulated} ({images})")
    if precision not in ("16-mixed", "bf16-mixed", "bf16-true"):
        smaller.append(f"precision: {HALF.get(device.type, 'bf16-mixed or 16-mixed')}")
    smaller.append("a smaller image_size or architecture")
    return TrainingError(
        f"out of memory on {device} {where}{asked}. A step held batch_size: {batch}, precision: {precision}, "
        f"accumulate_batches: {accumulated}.\n"
        f"Smaller steps, which are another run: {'; '.join(smaller)}.\n"
        f"If you free memory instead (other programs, num_workers, cache: disk), the same run can continue: "
        f"{what_next}. Its last checkpoint is intact."
    )
