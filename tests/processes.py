"""Two processes of one run, for what they must agree on."""

from __future__ import annotations

import datetime
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.multiprocessing.spawn import spawn

WORLD, LIMIT = 2, datetime.timedelta(seconds=600)


def in_two_processes(work: Callable[[int], Any]) -> list[Any]:
    """Call `work(rank)` in two processes that can reach each other; return what each gives.

    Args:
        work: a function of a module, importable by a fresh process; gives what torch.load reads as weights.
    """
    with tempfile.TemporaryDirectory() as folder:
        context = spawn(_process, (work, folder), nprocs=WORLD, join=False)
        assert context is not None
        deadline = time.monotonic() + LIMIT.total_seconds()
        while not context.join(timeout=1):
            if time.monotonic() > deadline:
                for process in filter(None, context.processes):
                    process.kill()
                raise TimeoutError(f"{work.__name__} took more than {LIMIT}")
        return [torch.load(Path(folder, f"{rank}.pt"), weights_only=True) for rank in range(WORLD)]


def _process(rank: int, work: Callable[[int], Any], folder: str) -> None:
    torch.set_num_threads(1)
    store = f"file://{Path(folder, 'store')}"
    distributed.init_process_group("gloo", store, rank=rank, world_size=WORLD, timeout=LIMIT)
    torch.save(work(rank), Path(folder, f"{rank}.pt"))
    distributed.destroy_process_group()
