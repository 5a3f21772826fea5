"""One run of a sweep, in whichever process: trained, resumed or skipped, with what went wrong as its outcome."""

from __future__ import annotations

import gc
import logging
import os
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from datasets.readers.files import CORES_VARIABLE
from runs.lock import Busy
from sweeps.cells import Cell, Sweep
from sweeps.family import family_of
from sweeps.jobs import Job, Outcome
from sweeps.resources import Share
from utils import logs
from utils.lookup import ROOT
from utils.own_code import Sources, add_sources, sources_in
from utils.secrets import remember_secrets
from utils.signals import Interrupted, raise_on_signals
from utils.types import TrainingError, UserError

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback

LOG = logging.getLogger("lossbench")
OF_THE_MACHINE = (OSError, MemoryError, ImportError, RuntimeError)
"""Errors that end one run and no other, and that another attempt may mend."""
BUGS = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, NameError, AssertionError)
"""Errors that end one run and no other, and would come again."""
PATIENCE = 60.0
"""Seconds to wait for a process that still trains the run, such as one on a node that is being lost."""


class Progress(NamedTuple):
    """The last epoch of a run: how many are done, of how many, and the monitor's value."""

    epoch: int
    epochs: int
    monitor: str
    value: float | None


class Crash(NamedTuple):
    """An attempt that failed, or was saved as the sweep is to end; another one may mend it."""

    reason: str


Report = Progress | Crash | Outcome
"""A process tells of its run: `Progress` while it lasts, anything else when it ends."""


@dataclass(frozen=True)
class Setup:
    """Everything that all runs of a sweep have in common.

    Args:
        folder: where the user stands; paths in configurations start there.
        environment: variables of each run's process.
        threads: of torch in each run; None where OMP_NUM_THREADS says it.
        own_code: the user's own, as it was when the sweep was read.
    """

    sweep: Sweep
    fresh: bool
    folder: str
    environment: dict[str, str]
    threads: int | None = None
    own_code: dict[str, Sources] = field(default_factory=dict)


def set_up(sweep: Sweep, share: Share, fresh: bool) -> Setup:
    """Return what all runs have in common that start from where the user stands."""
    cores = max(1, int(share.cores))
    threads = None if "OMP_NUM_THREADS" in os.environ else cores
    own_code = sources_in(repr(sweep.base.values()))
    return Setup(sweep, fresh, os.getcwd(), {CORES_VARIABLE: str(cores)}, threads, own_code)


def work(setup: Setup, job: Job, send: Callable[[Report], None]) -> Report:
    """Do one run in a process for it, tell of each epoch and return how it ended. A SIGTERM has it saved first."""
    os.chdir(setup.folder)
    os.environ.update(setup.environment)
    add_sources(setup.own_code)
    cell = job.cell(setup.sweep)
    remember_secrets(setup.sweep.base.values())
    logs.configure(cell.config.loglevel, cell.config.logging_dir)
    try:
        with raise_on_signals():
            import torch

            from sweeps.callbacks import Pruned, Pruning, Reporting  # with Lightning

            if setup.threads is not None:
                torch.set_num_threads(setup.threads)
            callbacks: list[Callback] = [Reporting(cell.config.monitor, send)]
            if job.trial is not None:
                callbacks.append(Pruning(setup.sweep, job.trial))
            end = time.monotonic() + PATIENCE
            while True:
                try:
                    return train_cell(cell, setup.fresh, callbacks)
                except Pruned as pruned:
                    return Outcome(cell.name, "pruned", reason=str(pruned))
                except Busy:
                    if time.monotonic() > end:
                        raise
                    time.sleep(1)
    except Interrupted:
        return Crash("stopped")
    except (Busy, *OF_THE_MACHINE) as error:
        LOG.warning("%s: %s", cell.name, in_a_line(error), exc_info=None if isinstance(error, Busy) else error)
        return Crash(in_a_line(error))


def run_cell(cell: Cell, fresh: bool = False) -> Outcome:
    """Train one run, or resume it; leave it if it is finished. An error becomes its outcome.

    Raises: Interrupted after a signal.
    """
    try:
        return train_cell(cell, fresh)
    except (Busy, *OF_THE_MACHINE) as error:
        LOG.error("%s: %s", cell.name, error, exc_info=None if isinstance(error, Busy) else error)
        return Outcome(cell.name, "failed", reason=in_a_line(error))


def train_cell(cell: Cell, fresh: bool = False, callbacks: Sequence[Callback] = ()) -> Outcome:
    """Train one run as `run_cell` does, but raise what another attempt may mend: `Busy` and `OF_THE_MACHINE`.

    The traceback of a bug goes into the log's file.
    """
    from evaluation.after_training import AFTER_TRAINING
    from training import runner

    gc.collect()  # the network of the run before lies in cycles, on the device too
    began = time.time()
    try:
        folder, summary = runner.train(cell.config, fresh, family_of(cell), callbacks, sequel=AFTER_TRAINING)
    except Busy:
        raise
    except (UserError, TrainingError) as error:
        LOG.error("%s: %s", cell.name, error)
        return Outcome(cell.name, "failed", reason=in_a_line(error))
    except BUGS as error:
        reason = f"a bug, {in_a_line(error)} ({_place(error)}; traceback in {cell.config.logging_dir}/lossbench.log)"
        LOG.critical("%s: %s", cell.name, reason, exc_info=error)
        return Outcome(cell.name, "failed", reason=reason)
    skipped = folder.summary.stat().st_mtime < began
    return Outcome(cell.name, "skipped" if skipped else "finished", folder.path, summary)


def in_a_line(error: BaseException) -> str:
    """Return the kind and the first line of an unexpected error, only the words of one that is explained."""
    reason = (str(error).splitlines() or [""])[0]
    return reason if isinstance(error, (UserError, TrainingError)) else f"{type(error).__name__}: {reason}"


def _place(error: BaseException) -> str:
    """Return the last line of this project's that an error went through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(str(ROOT)) and "site-packages" not in frame.filename]
    return f"{Path(ours[-1].filename).relative_to(ROOT)}:{ours[-1].lineno}"
