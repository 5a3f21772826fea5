"""Callbacks around the steps: random numbers, a guard, and the record of every epoch."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint
from torch import Tensor

from metrics import lower_is_better
from runs.checkpoints import save_checkpoint, weights_of
from runs.folder import RunFolder
from tracking.base import Tracker
from training.averaging import WeightAverage
from training.tracking import report_epoch
from utils.lookup import source_place
from utils.seeding import derive_seed, seed_cpu
from utils.types import TrainingError

LOG = logging.getLogger("lossbench")
MUCH, LONG = 0.25, 10.0
"""Share of an epoch spent waiting for images, and seconds of an epoch, from which on the run gives advice."""


class StepSeed(Callback):
    """Makes the random numbers of a training step (dropout, mixing) a function of the seed and the step's number."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int):
        step = trainer.fit_loop.epoch_loop.batch_progress.total.ready
        seed = derive_seed(self.seed, "step", step, trainer.global_rank)
        seed_cpu(seed)
        if pl_module.device.type == "cuda":
            torch.cuda.manual_seed(seed)


class FiniteLoss(Callback):
    """Stops a run whose loss is not finite, naming the first such step.

    On a GPU the step is noted there and read every 50 steps, so that steps are not waited for.
    """

    def __init__(self, every: int = 50) -> None:
        self.every = every
        self._first_bad: Tensor | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if loss.device.type == "cpu":
            if not math.isfinite(loss):
                self._stop(trainer, batch_idx)
            return
        if self._first_bad is None:
            self._first_bad = torch.full((), -1, dtype=torch.int64, device=loss.device)
        first_bad = ~loss.isfinite() & (self._first_bad < 0)
        self._first_bad = torch.where(first_bad, batch_idx, self._first_bad)
        if (batch_idx + 1) % self.every == 0 or trainer.is_last_batch:
            step = int(self._first_bad)
            if step >= 0:
                self._stop(trainer, step)

    def _stop(self, trainer: pl.Trainer, step: int) -> NoReturn:
        per_epoch = int(trainer.num_training_batches)
        if trainer.current_epoch == 0 and step == 0:  # before any step of the optimizer
            loss = trainer.lightning_module.loss
            raise TrainingError(
                f"the loss is not finite in epoch 1, step 1 of {per_epoch}, at the weights that training starts from.\n"
                f"That is not the learning rate: look for log(0), a division by 0 or an overflow in "
                f"{source_place(type(loss))}, for damaged pretrained weights, or try precision: 32-true."
            )
        raise TrainingError(
            f"the loss is not finite in epoch {trainer.current_epoch + 1}, step {step + 1} of {per_epoch} "
            f"(step {trainer.current_epoch * per_epoch + step + 1} of the run).\n{remedy_of_nan(trainer)}"
        )

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Warn of weights that no training loss has been computed with yet; a later epoch may do better."""
        metrics: Any = pl_module.metrics
        if trainer.state.fn == "fit" and math.isnan(metrics["valid/loss"]):
            LOG.warning("the loss of the validation images is NaN after epoch %d", trainer.current_epoch + 1)


def remedy_of_nan(trainer: pl.Trainer) -> str:
    remedy = "Try a smaller learning rate (optimizer_params.lr), gradient_clip_norm: 1.0, or precision: 32-true."
    return remedy + (" The checkpoints of the epochs before are intact." if trainer.current_epoch else "")


@dataclass
class Epoch:
    """The epoch in progress, over all processes that worked on it.

    Args:
        learning_rate: at its first step.
        seconds: all of it, validation included.
    """

    learning_rate: float = 0.0
    seconds: float = 0.0
    validation_seconds: float = 0.0
    waiting_seconds: float = 0.0


KEPT = ("best_value", "best_epoch", "training_seconds", "training_images", "waiting_seconds")
"""Attributes of a record that checkpoints hold."""


class RunRecord(Checkpoint):
    """At the end of each epoch: a row in metrics.csv and the trackers, and perhaps the best checkpoint.

    A `Checkpoint`, because Lightning runs those after the module's own hooks, which compute the metrics.

    Args:
        folder: the run's.
        trackers: to report each epoch to.
        monitor: the metric that selects the best checkpoint; of equal ones the later, which is the longer trained.
        average: whose weights the best checkpoint holds; None for the network's own.
        keep: epochs whose weights are kept, too.

    Attributes:
        best_value, best_epoch: of the selected checkpoint.
        training_seconds, training_images: spent in and seen by training steps.
        waiting_seconds: of the training's, in which no batch was ready.
    """

    def __init__(
        self,
        folder: RunFolder,
        trackers: Sequence[Tracker],
        monitor: str,
        average: WeightAverage | None = None,
        keep: Collection[int] = (),
    ) -> None:
        self.folder, self.trackers, self.monitor, self.average = folder, trackers, monitor, average
        self.keep = keep
        self.best_value: float | None = None
        self.best_epoch = -1
        self.rows: list[dict[str, float]] = []
        self.training_seconds = 0.0
        self.training_images = 0
        self.waiting_seconds = 0.0
        self.test_outputs: list[dict[str, Tensor]] = []
        self._epoch = Epoch()
        self._since = self._validation_start = self._waited_before = 0.0
        self._has_warned = False

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in KEPT} | {"epoch": dataclasses.asdict(self._epoch)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name in KEPT:
            setattr(self, name, state_dict[name])
        self._epoch = Epoch(**state_dict["epoch"])

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]):
        checkpoint["rows"] = self.rows

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]):
        """Resume after the checkpoint's rows, whatever became of metrics.csv; later ones are made again."""
        self.rows = checkpoint["rows"]
        if trainer.is_global_zero and self.rows:
            self.folder.write_metrics(self.rows)
        for row in self.rows:
            report_epoch(self.trackers, row)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()
        self._waited_before = trainer.train_dataloader.seconds_waited  # type: ignore

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin an epoch; a resumed one has begun already."""
        self._since = time.perf_counter()
        self._epoch = Epoch(learning_rate=float(trainer.optimizers[0].param_groups[0]["lr"]))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.training_images += len(batch.index) * trainer.world_size
        self._count_time(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validation_start = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epoch.validation_seconds += time.perf_counter() - self._validation_start

    def _count_time(self, trainer: pl.Trainer) -> None:
        """Add what passed since the last call."""
        now = time.perf_counter()
        self._epoch.seconds += now - self._since
        self._since = now
        waited = trainer.train_dataloader.seconds_waited  # type: ignore
        self._epoch.waiting_seconds += waited - self._waited_before
        self._waited_before = waited

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._count_time(trainer)
        training_seconds = self._epoch.seconds - self._epoch.validation_seconds
        self.training_seconds += training_seconds
        waited = self._epoch.waiting_seconds
        self.waiting_seconds += waited
        if not self._has_warned and training_seconds >= LONG and waited > MUCH * training_seconds:
            self._has_warned = True
            share, faster = waited / training_seconds, trainer.datamodule.faster_loading()  # type: ignore
            LOG.warning(
                "%.0f %% of epoch %d were spent waiting for images%s", 100 * share, trainer.current_epoch + 1, faster
            )
        metrics: dict[str, float] = dict(pl_module.metrics)  # type: ignore[arg-type]
        row = {
            "epoch": float(trainer.current_epoch),
            "learning_rate": self._epoch.learning_rate,
            "seconds": self._epoch.seconds,
        } | metrics
        self.rows.append(row)
        value = metrics[self.monitor]
        if self._is_better(value):
            self.best_value, self.best_epoch = value, trainer.current_epoch
        if trainer.is_global_zero:
            # The checkpoint that a resume starts from comes after this: what is written here is written again then.
            self.folder.write_metrics(self.rows)
            report_epoch(self.trackers, row)
            epoch = trainer.current_epoch
            best = [self.folder.best] if self.best_epoch == epoch else []
            kept = [self.folder.kept(epoch)] if epoch in self.keep else []
            if best or kept:
                weights = weights_of(pl_module)
                if self.average is not None:
                    weights = self.average.judged(weights)
                for path in (*best, *kept):
                    save_checkpoint({"state_dict": weights, "epoch": epoch, "value": value}, path)

    def _is_better(self, value: float) -> bool:
        if self.best_value is None or math.isnan(self.best_value):  # nothing is better than NaN, nor worse
            return True
        return value <= self.best_value if lower_is_better(self.monitor) else value >= self.best_value

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.test_outputs.append({name: tensor.cpu() for name, tensor in outputs.items()})
