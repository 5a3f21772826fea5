"""When checkpoints are written so that resuming is exact: at each epoch's end, every so many steps, on a signal."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from runs.checkpoints import Position, keep_previous
from runs.folder import RunFolder
from utils import signals


class SavePoints(Checkpoint):
    """Writes the last checkpoint where a resume from it is exact, and ends the run after that when a signal asked.

    Within an epoch that is after a step of the optimizer, since accumulated gradients are in no checkpoint, and neither
    after an epoch's last step nor where validation is due, since a resume would leave the validation out. What falls
    between such points waits for the next one.

    A `Checkpoint`, because Lightning runs those after the module's own hooks and after early stopping, so that what is
    saved is final; the last of them, because it saves what they know.

    Args:
        folder: the run's.
        every_steps: batches between two checkpoints within an epoch; None leaves it at those of its end.

    Attributes:
        saved: where a resume starts, None while that is unknown.
        command: the command that resumes, in words.
        last_is_sound: whether this process has written or verified the last checkpoint, so that it is worth keeping as
            the previous one.
    """

    def __init__(self, folder: RunFolder, every_steps: int | None = None) -> None:
        self.folder, self.every_steps = folder, every_steps
        self.saved: Position | None = None
        self.command = signals.command_to_go_on()
        self.last_is_sound = False
        self._steps_since = 0
        self._position = Position(0, 0)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]):
        checkpoint["position"] = list(self._position)
        checkpoint["stopped"] = trainer.should_stop

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]):
        """Restore what Lightning forgets: that early stopping had ended the training."""
        trainer.should_stop = checkpoint["stopped"]
        self.saved = Position(*checkpoint["position"])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.saved = self.saved or Position(0, 0)
        signals.take_signals_back()
        if trainer.world_size == 1:  # several devices could not agree at which step to save: each has its own signal
            signals.wait_for_save_point()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int):
        signals.raise_if_due()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._steps_since += 1
        due = self.every_steps is not None and self._steps_since >= self.every_steps
        if (due or signals.is_waiting()) and _resumes_exactly(trainer, batch_idx):
            self._save(trainer, Position(trainer.current_epoch, batch_idx + 1))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer, Position(trainer.current_epoch + 1, 0))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        signals.wait_no_longer()

    def _save(self, trainer: pl.Trainer, position: Position) -> None:
        if trainer.is_global_zero and self.last_is_sound:
            keep_previous(self.folder.last, self.folder.previous)
        self._position = position
        trainer.save_checkpoint(self.folder.last)
        self.last_is_sound, self.saved, self._steps_since = True, position, 0
        if signals.is_waiting():
            signals.wait_no_longer()


def _resumes_exactly(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Return whether a checkpoint after this step of an epoch holds all that a resume needs."""
    done = batch_idx + 1
    validates = done % int(trainer.val_check_batch or 1) == 0
    accumulates = done % trainer.accumulate_grad_batches != 0
    return not validates and not accumulates and done < trainer.num_training_batches
