"""Optimizers and learning-rate schedules by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from utils.lookup import parameter_problems
from utils.metrics import MONITORS, lower_is_better
from utils.training import schedules
from utils.types import FAILURES, ConfigError

EVERY_STEP = (lr_scheduler.OneCycleLR, lr_scheduler.CyclicLR)

STEPS_TRIED = 3
"""Steps that a schedule is tried with before a run; no epoch is taken to be shorter."""


def build_optimizer(name: str, parameters: Iterable[nn.Parameter], /, **params: Any) -> Optimizer:
    """Build an optimizer of torch.optim, or of timm.optim where torch has none of that name.

    Raises: ConfigError for parameters that it does not take.
    """
    constructor = getattr(torch.optim, name, None)
    if constructor is None:
        import timm.optim

        constructor = getattr(timm.optim, name)
    _refuse(parameter_problems(constructor, params, given=("params",)), "optimizer_params")
    try:
        return constructor(parameters, **params)
    except FAILURES as error:
        raise ConfigError(f"optimizer_params: {name} refuses them: {error}") from None


def build_scheduler(
    name: str | None, optimizer: Optimizer, steps_per_epoch: int, num_epochs: int, /, **params: Any
) -> dict[str, Any] | None:
    """Build a scheduler of torch.optim.lr_scheduler or of `utils.training.schedules`.

    What only the run knows is filled in where it is not given: `steps_per_epoch`, and OneCycleLR's `total_steps`.
    SequentialLR and ChainedScheduler take a list of {name: parameters} as `schedulers`.

    Args:
        name: class name; None for a constant learning rate.
        params: its parameters; ReduceLROnPlateau also takes `monitor`, "valid/loss" by default.

    Returns: Lightning's description (scheduler, interval, monitor), or None.
    Raises: ConfigError for parameters that it does not take.
    """
    if name is None:
        return None
    monitor = params.pop("monitor", "valid/loss") if name == "ReduceLROnPlateau" else None
    if monitor is not None and monitor not in MONITORS:
        raise ConfigError(f"lr_scheduler_params.monitor: must be one of {', '.join(MONITORS)}, got {monitor!r}")
    if monitor is not None:
        params.setdefault("mode", "min" if lower_is_better(monitor) else "max")
    scheduler = _build(name, optimizer, steps_per_epoch, num_epochs, params)
    every_step = isinstance(scheduler, EVERY_STEP) or getattr(scheduler, "interval", "epoch") == "step"
    description = {"scheduler": scheduler, "interval": "step" if every_step else "epoch"}
    return description | ({"monitor": monitor} if monitor else {})


def try_out(schedule: dict[str, Any], optimizer: Optimizer) -> None:
    """Step a schedule a few times: some parameters are refused only then.

    Raises: ConfigError for parameters that it fails on.
    """
    scheduler = schedule["scheduler"]
    try:
        for _ in range(STEPS_TRIED):
            scheduler.step(1.0) if "monitor" in schedule else scheduler.step()
    except FAILURES as error:
        raise ConfigError(f"lr_scheduler_params: {type(scheduler).__name__} fails on them: {error}") from None


def _build(
    name: str, optimizer: Optimizer, steps_per_epoch: int, num_epochs: int, params: Mapping[str, Any]
) -> LRScheduler:
    constructor: Callable[..., LRScheduler] = getattr(schedules, name, None) or getattr(lr_scheduler, name)
    params = dict(params)
    given = ["optimizer"]
    if constructor is schedules.CosineWarmupRestarts:
        given.append("steps_per_epoch")
    _refuse(parameter_problems(constructor, params, given), "lr_scheduler_params")
    if "steps_per_epoch" in given:
        params["steps_per_epoch"] = steps_per_epoch
    if constructor is lr_scheduler.OneCycleLR and not {"total_steps", "epochs"} & params.keys():
        params["total_steps"] = steps_per_epoch * num_epochs
    try:
        if "lr_lambda" in params:
            params["lr_lambda"] = schedules.factor_schedule(params["lr_lambda"], num_epochs)
        if "schedulers" in params:
            parts = [item for part in params["schedulers"] for item in dict(part).items()]
            params["schedulers"] = [
                _build(part, optimizer, steps_per_epoch, num_epochs, inner or {}) for part, inner in parts
            ]
        if name == "ChainedScheduler":
            return constructor(**params)
        return constructor(optimizer, **params)
    except FAILURES as error:
        raise ConfigError(f"lr_scheduler_params: {name} refuses them: {error}") from None


def _refuse(problems: Mapping[str, str], key: str) -> None:
    if problems:
        raise ConfigError("\n".join(f"{key}.{name}: {text}" for name, text in problems.items()))
