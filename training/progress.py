"""What a run shows while it goes: a bar in a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, TQDMProgressBar

SHOWN = (("train/loss", "loss"), ("valid/loss", "valid loss"), ("valid/accuracy", "valid accuracy"))


class TerminalProgress(TQDMProgressBar):
    """A bar an epoch with the running loss; refreshed seldom, since each look at the loss waits for the device."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=20, leave=True)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if trainer.fit_loop.epoch_loop.batch_progress.current.ready > 0:  # else Lightning says when the epoch starts
            self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        super().on_train_epoch_start(trainer)
        self.train_progress_bar.set_description(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}")

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        tally: Any = pl_module.get_submodule("train_tally")
        seen = int(tally.samples)
        running = {"loss": f"{float(tally.loss) / seen:.4f}"} if seen else {}
        known = trainer.callback_metrics
        return running | {text: f"{float(known[name]):.4f}" for name, text in SHOWN[1:] if name in known}


class EpochLines(Callback):
    """One plain line an epoch, for logs, notebooks and pipes."""

    def __init__(self) -> None:
        self._start = 0.0
        self._seen_before = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count from here in an epoch that is gone on with."""
        tally: Any = pl_module.get_submodule("train_tally")
        self._start, self._seen_before = time.perf_counter(), int(tally.samples)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start, self._seen_before = time.perf_counter(), 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or not trainer.is_global_zero or trainer.state.fn != "fit":
            return
        tally: Any = pl_module.get_submodule("train_tally")
        known = {name: float(value) for name, value in trainer.callback_metrics.items()}
        known["train/loss"] = float(tally.loss) / max(int(tally.samples), 1)
        seconds = time.perf_counter() - self._start
        rate = (int(tally.samples) - self._seen_before) * trainer.world_size / max(seconds, 1e-9)
        shown = "  ".join(f"{text} {known[name]:.4f}" for name, text in SHOWN if name in known)
        epochs = trainer.max_epochs or 1
        epoch = f"epoch {trainer.current_epoch + 1:>{len(str(epochs))}}/{epochs}"
        print(f"{epoch}  {shown}  {rate:,.0f} images/s  {seconds:.1f} s", flush=True)
