"""Out of memory: what raised it, and which settings take less."""

from __future__ import annotations

import re

import torch

from configuration.schema import Configuration
from utils.types import TrainingError

_SAID = re.compile(
    r"out of memory|can't allocate memory|not enough memory|(CUBLAS|CUDNN)_STATUS_ALLOC_FAILED|std::bad_alloc"
    r"|DataLoader worker .*killed by signal: (Killed|Bus error)|insufficient shared memory",
    re.IGNORECASE,
)
"""By accelerators, torch's allocator for the CPU, libraries, and a loader whose worker the system ended or starved."""
_HALF = {"cpu": "bf16-mixed", "mps": "16-mixed"}
_WANTED = re.compile(r"(?i:tried|trying) to allocate (?P<size>[\d.]+ \w+)")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether a training step failed for lack of memory; only some devices have an exception of their own."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and _SAID.search(str(error)) is not None


def out_of_memory(
    error: BaseException, config: Configuration, device: torch.device, precision: str, where: str, what_next: str
) -> TrainingError:
    """Return the error that says what a step held and which settings make it smaller.

    Args:
        precision: in force, where the configuration says auto.
        where: such as "in epoch 3".
        what_next: what the same command will do.
    """
    wanted = _WANTED.search(str(error))
    asked = f" (tried to allocate {wanted['size']})" if wanted else ""
    batch, accumulated = config.batch_size, config.accumulate_batches
    smaller = []
    if batch > 3:  # half of it must still be a batch
        images = f"as many images, {batch * accumulated}, an optimizer step"
        smaller.append(f"batch_size: {batch // 2} with accumulate_batches: {2 * accumulated} ({images})")
    if precision not in ("16-mixed", "bf16-mixed", "bf16-true"):
        smaller.append(f"precision: {_HALF.get(device.type, 'bf16-mixed or 16-mixed')}")
    smaller.append("a smaller image_size or architecture")
    return TrainingError(
        f"out of memory on {device} {where}{asked}. A step held batch_size: {batch}, precision: {precision}, "
        f"accumulate_batches: {accumulated}.\n"
        f"Smaller steps, which are another run: {'; '.join(smaller)}.\n"
        f"With more memory free (other programs, num_workers, cache: disk) it stays this run: {what_next}. "
        "Its last checkpoint is intact."
    )
