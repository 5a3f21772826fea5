"""The loop over an epoch's steps: Lightning's, but that a step calls only what somebody has written.

Lightning asks about twenty hooks a step whether they do anything, and its own bookkeeping of what is logged in a step,
though nothing is; for a tiny network that is most of a step's time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.plugins.precision import MixedPrecision, Precision
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.optim import Optimizer

PASSED_OVER = {
    pl.LightningModule: (
        *("on_train_batch_start", "on_train_batch_end", "on_before_batch_transfer", "on_after_batch_transfer"),
        *("on_before_zero_grad", "on_before_backward", "on_after_backward"),
        *("on_before_optimizer_step", "optimizer_step", "optimizer_zero_grad", "backward"),
    ),
    pl.LightningDataModule: ("on_before_batch_transfer", "on_after_batch_transfer"),
    Callback: ("on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step"),
}
"""Class -> hooks that a plain step does not call; where one of them is overridden, no step is plain."""


class StepLoop(_TrainingEpochLoop):
    """Does the plain steps itself and leaves all others to Lightning; results, counters and checkpoints are the same.

    A step is plain amid an epoch, on one device, where nothing but training is due and no hook that it passes over is
    overridden.
    """

    _plain_epoch = _plain_step = False
    _starts: tuple[Callable[..., Any], ...] = ()
    _ends: tuple[Callable[..., Any], ...] = ()
    _loss: Tensor

    def on_run_start(self, data_fetcher: Any) -> None:
        super().on_run_start(data_fetcher)
        callbacks = self.trainer.callbacks  # type: ignore[attr-defined]
        self._plain_epoch = _is_plain(self.trainer) and data_fetcher.length is not None
        self._starts, self._ends = (
            tuple(getattr(each, name) for each in callbacks if _overrides(each, Callback, name))
            for name in ("on_train_batch_start", "on_train_batch_end")
        )

    def advance(self, data_fetcher: Any) -> None:
        trainer, done = self.trainer, self.batch_progress.current.ready + 1
        self._plain_step = (
            self._plain_epoch
            and not self.restarting
            and not trainer.should_stop
            and not trainer.received_sigterm
            and done < trainer.num_training_batches
            and done % int(trainer.val_check_batch or 1) != 0
        )
        if self._plain_step:
            self._advance(next(data_fetcher)[0])
        else:
            super().advance(data_fetcher)

    def on_advance_end(self, data_fetcher: Any) -> None:
        if not self._plain_step:
            super().on_advance_end(data_fetcher)
        elif not self._should_accumulate():
            self._batches_that_stepped += 1

    def _advance(self, loaded: Any) -> None:
        trainer: Any = self.trainer
        module, strategy, progress = trainer.lightning_module, trainer.strategy, self.batch_progress
        progress.is_last_batch = False
        batch = trainer.datamodule.transfer_batch_to_device(loaded, strategy.root_device, 0)
        number = progress.current.ready
        progress.increment_ready()
        for hook in self._starts:
            hook(trainer, module, batch, number)
        progress.increment_started()
        loss = self._train(trainer.optimizers[0], batch, number)
        progress.increment_processed()
        if trainer.lr_scheduler_configs:
            self.update_lr_schedulers("step", update_plateau_schedulers=False)
        for hook in self._ends:
            hook(trainer, module, {"loss": loss}, batch, number)
        progress.increment_completed()

    def _train(self, optimizer: Optimizer, batch: Any, number: int) -> Tensor:
        """Do forward and backward pass and, unless gradients are accumulated, the optimizer's step; return the loss."""
        trainer: Any = self.trainer
        module, parts = trainer.lightning_module, trainer.accumulate_grad_batches
        counters = self.automatic_optimization.optim_progress.optimizer

        def differentiate() -> Tensor:
            with trainer.precision_plugin.train_step_context():
                loss = module.training_step(batch, number)
            loss = loss if parts == 1 else loss / parts
            if number % parts == 0:
                optimizer.zero_grad()
                counters.zero_grad.increment_by(1)
            loss.backward()
            self._loss = loss.detach()
            return self._loss

        def close() -> Tensor:
            loss = differentiate()
            if trainer.gradient_clip_val is not None:
                module.configure_gradient_clipping(
                    optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm
                )
            return loss

        if self._should_accumulate():
            return differentiate()
        optimizer.step(close)  # type: ignore[arg-type]  # torch calls a number what it returns as it is
        counters.step.increment_by(1)
        return self._loss


def _is_plain(trainer: Any) -> bool:
    """Tell whether steps may be plain as far as device, precision, logging and hooks go."""
    module, strategy, precision = trainer.lightning_module, trainer.strategy, trainer.precision_plugin
    members = [(module, pl.LightningModule), *((each, Callback) for each in trainer.callbacks)]
    members += [(trainer.datamodule, pl.LightningDataModule)]
    return (
        type(strategy) is SingleDeviceStrategy
        and strategy.model is module
        and trainer.datamodule is not None
        and module.automatic_optimization
        and len(trainer.optimizers) == 1
        and type(precision) in (Precision, MixedPrecision)
        and getattr(precision, "scaler", None) is None
        and not trainer.loggers
        and not any(config.reduce_on_plateau for config in trainer.lr_scheduler_configs)
        and trainer._val_check_time_interval is None
        and not any(_overrides(member, base, name) for member, base in members for name in PASSED_OVER[base])
    )


def _overrides(member: Any, base: type, name: str) -> bool:
    return getattr(type(member), name) is not getattr(base, name)
