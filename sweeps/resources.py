"""The share of a machine that each run of a sweep takes, and how many of them fit side by side."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from datasets.readers.files import available_cores
from sweeps.cells import Sweep

MEMORY = 1.5 * 2**30
"""Bytes that a run is expected to need where nobody says how many runs there shall be."""
VISIBLE = "CUDA_VISIBLE_DEVICES"


class Machine(NamedTuple):
    """What a machine has; `memory` in bytes, where it is known."""

    cores: float
    gpus: float = 0
    memory: float | None = None


class Share(NamedTuple):
    """What one run takes. `chosen`: by the user, so that no estimate of the memory changes how many fit."""

    cores: float
    gpus: float = 0
    chosen: bool = False


def share_of_a_run(sweep: Sweep, machines: Sequence[Machine]) -> Share:
    """Return what one run takes: a GPU or a share of one with its part of the cores, or as many cores as threads.

    Raises: ConfigError if no machine has that.
    """
    block, base = sweep.block, sweep.base
    all_gpus, all_cores = sum(each.gpus for each in machines), sum(each.cores for each in machines)
    gpus, cores = block.gpus_per_run, block.cpus_per_run
    if gpus is None:
        gpus = 1.0 if all_gpus and base.accelerator in ("auto", "gpu", "cuda") else 0.0
    if cores is None and gpus and all_gpus:
        cores = float(max(1, int(all_cores * gpus / all_gpus)))
    elif cores is None:
        threads = os.environ.get("OMP_NUM_THREADS", "")
        cores = float(min(int(threads) if threads.isdecimal() and int(threads) else 1, max(m.cores for m in machines)))
    problems = {}
    if gpus > 1:
        problems[("sweep", "gpus_per_run")] = f"runs of a sweep take one device each, got {gpus:g}"
    elif gpus and not all_gpus:
        problems[("sweep", "gpus_per_run")] = f"there is no GPU here, got {gpus:g}"
    elif not any(each.gpus >= gpus and each.cores >= cores for each in machines):
        most = max((each.cores for each in machines), default=0.0)
        problems[("sweep", "cpus_per_run")] = f"no machine has {cores:g} cores, the largest {most:g}"
    if problems:
        raise base.error(problems)
    return Share(cores, gpus, chosen=(block.gpus_per_run, block.cpus_per_run) != (None, None))


def places(machine: Machine, share: Share) -> int:
    """Return how many runs fit on a machine side by side."""
    fitting = [machine.cores // share.cores]
    if share.gpus:
        fitting.append(int(machine.gpus) * (1 // share.gpus))
    if machine.memory is not None and not share.chosen:
        fitting.append(max(1, machine.memory // MEMORY))
    return int(min(fitting))


def this_machine(accelerator: str) -> Machine:
    """Return what this process may use of its machine."""
    import psutil

    gpus = 0
    if accelerator in ("auto", "gpu", "cuda"):
        import torch

        gpus = torch.cuda.device_count()
    return Machine(available_cores(), gpus, psutil.virtual_memory().available)


def environments(machine: Machine, share: Share) -> list[dict[str, str]]:
    """Return the variables of each place on this machine: the GPU that its runs see."""
    visible = os.environ.get(VISIBLE, ",".join(map(str, range(int(machine.gpus))))).split(",")
    return [
        {VISIBLE: visible[place % int(machine.gpus)]} if share.gpus else {} for place in range(places(machine, share))
    ]
