"""What a process of Ray's does: one run after the other, each until it ends or all are to stop."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

import pytorch_lightning as pl
import ray
from pytorch_lightning.callbacks import Callback, Checkpoint
from ray import tune

from runs.lock import Busy
from sweeps.cells import Cell, Sweep
from sweeps.jobs import Job
from sweeps.pruning import Pruned, Pruning
from sweeps.running import Outcome, train_cell
from training.callbacks import RunRecord
from utils import logs, signals
from utils.secrets import remember_secrets


class Switch:
    """Stops all runs at once, wherever they are. An actor: its calls wait beside one another."""

    def __init__(self) -> None:
        self._name = ""
        self._turned = asyncio.Event()
        self._at_work = 0

    async def wait(self) -> str:
        """Return the name of the signal that is to stop the runs, once there is one."""
        await self._turned.wait()
        return self._name

    async def enter(self) -> None:
        """A run begins."""
        self._at_work += 1

    async def leave(self) -> None:
        """A run has ended, however."""
        self._at_work -= 1

    async def turn(self, name: str) -> None:
        self._name = name
        self._turned.set()

    async def at_work(self) -> int:
        """Return how many runs have not ended yet."""
        return self._at_work


class Progress(Checkpoint):
    """Tells Tune of each epoch.

    A `Checkpoint` as is `RunRecord`, whose rows it reads, so that Lightning calls it after that one.
    """

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        (record,) = (each for each in trainer.callbacks if isinstance(each, RunRecord))  # type: ignore[attr-defined]
        row = record.rows[-1]
        done = {"epoch": int(row["epoch"]) + 1, "epochs": trainer.max_epochs}
        tune.report({**done, "monitor": self.monitor, "value": row.get(self.monitor)})


def work(
    config: dict[str, Any],
    sweep: Sweep,
    switch: Any,
    place: str,
    fresh: bool,
    patience: float,
    environment: dict[str, str],
) -> None:
    """Do one run and tell Tune how it ended.

    Args:
        config: the job under "job".
        place: the folder in which the user stands; paths in configurations start there.
        patience: seconds for which a run that another process trains is waited for.

    Raises: what another attempt may mend.
    """
    os.chdir(place)
    os.environ.update(environment)
    job: Job = config["job"]
    cell = job.cell(sweep)
    remember_secrets(sweep.base.values())
    logs.configure(cell.config.loglevel, cell.config.logging_dir)
    _obey(switch)
    ray.get(switch.enter.remote())
    try:
        outcome = _train(sweep, job, cell, fresh, patience)
    except signals.Interrupted:
        return
    finally:
        switch.leave.remote()
    tune.report({"outcome": outcome})


def _train(sweep: Sweep, job: Job, cell: Cell, fresh: bool, patience: float) -> Outcome:
    callbacks: list[Callback] = [Progress(cell.config.monitor)]
    if job.trial is not None:
        callbacks.append(Pruning(sweep, job.trial))
    end = time.monotonic() + patience
    while True:
        try:
            return train_cell(cell, fresh, callbacks)
        except Pruned as pruned:
            return Outcome(cell.name, "pruned", reason=str(pruned))
        except Busy:
            if time.monotonic() > end:
                raise
            time.sleep(1)


_obeys = False


def _obey(switch: Any) -> None:
    """Listen to the switch, once a process."""
    global _obeys
    if _obeys:
        return
    _obeys = True
    signals.take_requests()
    threading.Thread(target=lambda: signals.request(ray.get(switch.wait.remote())), daemon=True).start()
