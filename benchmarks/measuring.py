"""Measuring for the benchmarks: seconds and bytes of a step, their environment and their tables."""

from __future__ import annotations

import argparse
import datetime
import itertools
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else torch's profiler says on every use that it starts and stops

import torch
from torch.profiler import ProfilerActivity, profile

from runs.environment import processor_name
from training.memory import keep_freed_memory

Step = Callable[[], Any]


def main_options(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse a benchmark's arguments, with the options that all have."""
    parser.add_argument("--quick", action="store_true", help="fewer rounds: about a minute")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured -> median ratio")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch sees no GPU")
    return arguments


def prepare() -> None:
    """Compute in one thread, and keep freed memory as a training process does."""
    torch.set_num_threads(1)
    keep_freed_memory()


def seconds_per_step(step: Step, steps: int, device: str = "cpu") -> float:
    """Return the seconds of the processor, which other processes do not lengthen; on a GPU those of the clock."""
    if device == "cpu":
        start = time.process_time()
        for _ in range(steps):
            step()
        return (time.process_time() - start) / steps
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / steps


def peak_bytes(step: Step, device: str = "cpu") -> int:
    """Return the most memory that a step holds at once beyond what was there before it, the gradient included."""
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as recorded:
        step()
    events: list[Any] = recorded.profiler.kineto_results.events()  # type: ignore
    changes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    return max(itertools.accumulate(change for _, change in sorted(changes, key=lambda entry: entry[0])))


def environment(device: str, threads: int = 1) -> str:
    """Return what the numbers depend on, in a line."""
    load = f", load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores" if hasattr(os, "getloadavg") else ""
    place = (
        f"{processor_name()}, {threads} thread{'s'[: threads > 1]}{load}"
        if device == "cpu"
        else torch.cuda.get_device_name()
    )
    return f"{datetime.date.today()}, torch {torch.__version__}, Python {platform.python_version()}, {place}"


def table(headings: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """Return a Markdown table; a row's name stands in its first column."""
    columns = list(zip(headings, *((name, *cells) for name, cells in rows.items()), strict=True))
    widths = [max(map(len, column)) for column in columns]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in zip(*columns, strict=True)
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])
