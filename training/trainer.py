"""Lightning's Trainer for a configuration: devices, precision, the callbacks of a run, and its progress."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback, EarlyStopping, TQDMProgressBar

from configuration.schema import Configuration
from metrics import lower_is_better
from runs.checkpoints import AtomicCheckpointIO
from runs.environment import precision_here
from runs.folder import RunFolder
from tracking.base import Tracker
from training.averaging import WeightAverage
from training.callbacks import FiniteLoss, RunRecord, StepSeed
from training.freezing import Freezing, needs_freezing
from training.save_points import SavePoints
from utils.types import ConfigError

SHOWN = (("train/loss", "loss"), ("valid/loss", "valid loss"), ("valid/accuracy", "valid accuracy"))


def build_lightning(config: Configuration, **options: Any) -> pl.Trainer:
    """Build Lightning's Trainer on the devices and in the precision that a configuration names.

    Raises: ConfigError for devices that are not there.
    """
    if problem := _missing_device(config):
        raise config.error(problem)
    torch.set_float32_matmul_precision("high")  # TF32 on the GPUs that have it
    try:
        return pl.Trainer(
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.num_nodes,
            strategy=config.strategy,
            precision=precision_here(config),  # type: ignore[arg-type]
            logger=False,
            enable_model_summary=False,
            **options,
        )
    except (ValueError, RuntimeError, ImportError, MisconfigurationException) as error:
        keys = f"accelerator: {config.accelerator}, devices: {config.devices}, strategy: {config.strategy}"
        key = next(filter(config.was_set, ("strategy", "devices", "accelerator")), "accelerator")
        raise ConfigError(f"{config.place((key,))}: {keys}: {error}") from None


def _missing_device(config: Configuration) -> dict[tuple[str, ...], str]:
    """Return what is wrong with a named accelerator, number of devices or precision on this machine."""
    here = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    here |= {"gpu": here["cuda"] or here["mps"], "tpu": int(importlib.util.find_spec("torch_xla") is not None)}
    has = {"cuda": f"{here['cuda']} CUDA GPU{'s' * (here['cuda'] > 1)}", "mps": "Apple's GPU (mps)"}
    words = ", ".join(["a CPU", *(text for name, text in has.items() if here[name])])
    wanted, named = config.devices, config.accelerator
    if here.get(named) == 0:
        return {("accelerator",): f"{named}: this machine has {words}, no such device; auto takes what there is"}
    if isinstance(wanted, int) and 0 < here["cuda"] < wanted and named in ("cuda", "gpu", "auto"):
        return {("devices",): f"must be <= {here['cuda']} here, got {wanted}: this machine has {words}"}
    if config.precision == "16-mixed" and (named == "cpu" or (named == "auto" and not here["gpu"])):
        return {("precision",): "16-mixed is for GPUs; a CPU takes bf16-mixed or 32-true"}  # Lightning takes bf16-mixed
    return {}


def build_trainer(
    config: Configuration, folder: RunFolder, trackers: list[Tracker], others: Sequence[Callback] = ()
) -> tuple[pl.Trainer, RunRecord, SavePoints]:
    """Build Lightning's Trainer for a configuration, and of its callbacks the two that know of the run."""
    average = None if config.ema_decay is None else WeightAverage(config.ema_decay)
    keep = range(config.num_epochs) if config.keep_epochs == "all" else config.keep_epochs or ()
    record = RunRecord(folder, trackers, config.monitor, average, keep)
    save_points = SavePoints(folder, config.checkpoint_every_steps)
    callbacks: list[Callback] = [StepSeed(config.seed), FiniteLoss(), *([average] if average else [])]
    if needs_freezing(config):
        callbacks.append(Freezing(config))
    callbacks += [record, save_points, *others]
    callbacks.append(TerminalProgress() if sys.stderr.isatty() else EpochLines())
    if config.early_stopping_patience is not None:
        mode = "min" if lower_is_better(config.monitor) else "max"
        patience = config.early_stopping_patience
        options = {"mode": mode, "check_finite": False, "check_on_train_epoch_end": True}  # NaN is no improvement
        callbacks.append(EarlyStopping(config.monitor, patience=patience, **options))
    trainer = build_lightning(
        config,
        max_epochs=config.num_epochs,
        gradient_clip_val=config.gradient_clip_norm,
        accumulate_grad_batches=config.accumulate_batches,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_progress_bar=sys.stderr.isatty(),
        log_every_n_steps=1,
        default_root_dir=folder.path,
    )
    return trainer, record, save_points


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
        logged = trainer.callback_metrics
        return running | {text: f"{float(logged[name]):.4f}" for name, text in SHOWN[1:] if name in logged}


class EpochLines(Callback):
    """One plain line an epoch, for logs, notebooks and pipes."""

    def __init__(self) -> None:
        self._start = 0.0
        self._seen_before = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count from here in a resumed epoch."""
        tally: Any = pl_module.get_submodule("train_tally")
        self._start, self._seen_before = time.perf_counter(), int(tally.samples)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start, self._seen_before = time.perf_counter(), 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or not trainer.is_global_zero or trainer.state.fn != "fit":
            return
        tally: Any = pl_module.get_submodule("train_tally")
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        metrics["train/loss"] = float(tally.loss) / max(int(tally.samples), 1)
        seconds = time.perf_counter() - self._start
        rate = (int(tally.samples) - self._seen_before) * trainer.world_size / max(seconds, 1e-9)
        shown = "  ".join(f"{text} {metrics[name]:.4f}" for name, text in SHOWN if name in metrics)
        epochs = trainer.max_epochs or 1
        epoch = f"epoch {trainer.current_epoch + 1:>{len(str(epochs))}}/{epochs}"
        print(f"{epoch}  {shown}  {rate:,.0f} {pl_module.unit}/s  {seconds:.1f} s", flush=True)
