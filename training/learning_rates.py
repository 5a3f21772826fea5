"""Learning-rate schedules by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from metrics import MONITORS, lower_is_better
from training import schedules
from training.optimizers import refuse
from utils.lookup import did_you_mean, parameter_problems, refusals
from utils.own_imports import load_class
from utils.own_names import is_own
from utils.types import ConfigError

EVERY_STEP = (lr_scheduler.OneCycleLR, lr_scheduler.CyclicLR)
OUTER = ("SequentialLR", "ChainedScheduler")
PARTS = "lr_scheduler_params.schedulers"

STEPS_TRIED = 3
"""Steps that a schedule is tried with before a run; no epoch is taken to be shorter."""


def build_scheduler(
    name: str | None, optimizer: Optimizer, steps_per_epoch: int, num_epochs: int, /, **params: Any
) -> dict[str, Any] | None:
    """Build a scheduler of torch.optim.lr_scheduler or of `training.schedules`.

    What only the run knows is filled in where it is not given: `steps_per_epoch`, and OneCycleLR's `max_lr`, the
    optimizer's own learning rates, and `total_steps`: the steps of the run, or inside SequentialLR those between its
    milestones. SequentialLR and ChainedScheduler take a
    list of {name: parameters} as `schedulers` and step when these do: every epoch, or every optimizer step.
    SequentialLR's `milestones` are epochs either way.

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
    if name in OUTER:
        parts = _parts(name, params)
        interval = _interval(parts[0][0])
        params["schedulers"] = _build_parts(name, parts, optimizer, steps_per_epoch, num_epochs, params)
        if interval == "step" and "milestones" in params:
            params["milestones"] = [epoch * steps_per_epoch for epoch in params["milestones"]]
    else:
        interval = _interval(name)
    scheduler = _build(name, optimizer, steps_per_epoch, num_epochs, params)
    return {"scheduler": scheduler, "interval": interval} | ({"monitor": monitor} if monitor else {})


def try_out(schedule: dict[str, Any] | None, optimizer: Optimizer) -> None:
    """Take a few steps with an optimizer and its schedule: some parameters are refused only then.

    Raises: ConfigError for parameters that either fails on.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for _ in range(STEPS_TRIED):
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        _try_step("optimizer_params", optimizer, lambda: 1.0)
        if schedule is not None:
            _try_step("lr_scheduler_params", schedule["scheduler"], *([1.0] if "monitor" in schedule else []))


def _try_step(key: str, stepped: Any, *args: Any) -> None:
    kinds = [type(part) for part in getattr(stepped, "parts", [stepped])]
    try:
        stepped.step(*args)
    except tuple({refusal for kind in kinds for refusal in refusals(kind)}) as error:
        names = ", ".join(kind.__name__ for kind in kinds)
        raise ConfigError(f"{key}: {names} rejects these parameters: {error}") from None


def _constructor(name: str) -> Callable[..., LRScheduler]:
    if is_own(name):
        return load_class(name, LRScheduler, "lr_scheduler")
    return getattr(schedules, name, None) or getattr(lr_scheduler, name)


def _supplied(name: str) -> tuple[str, ...]:
    """Return the parameters of a schedule that the run sets."""
    restarts = _constructor(name) is schedules.CosineWarmupRestarts
    return ("optimizer", "steps_per_epoch") if restarts else ("optimizer",)


def _with_peak(name: str, params: Mapping[str, Any], peak: Any) -> dict[str, Any]:
    """Return a schedule's parameters; OneCycleLR rises to the optimizer's own learning rates unless others are set."""
    return {"max_lr": peak, **params} if name == "OneCycleLR" else dict(params)


def _interval(name: str) -> str:
    constructor = _constructor(name)
    return "step" if constructor in EVERY_STEP else getattr(constructor, "interval", "epoch")


def _parts(name: str, params: Mapping[str, Any]) -> list[tuple[str, Any, str]]:
    """Return the schedules inside another with their parameters and the keys that they stand at.

    Raises: ConfigError for what are none, and for schedules that cannot stand side by side.
    """
    refuse(parameter_problems(_constructor(name), params, given=("optimizer",)), "lr_scheduler_params")
    listed = params["schedulers"]
    if not (listed and isinstance(listed, list) and all(isinstance(part, Mapping) for part in listed)):
        raise ConfigError(f"{PARTS}: must be a list of {{name: parameters}}, got {listed!r}")
    parts = [
        (part, inner or {}, f"{PARTS}.{place}.{part}")
        for place, each in enumerate(listed)
        for part, inner in each.items()
    ]
    problems = [f"{key}: {text}" for part, inner, key in parts if (text := _misplaced(part, inner))]
    if not problems:
        problems = _problems_together(name, [part for part, _, _ in parts], params.get("milestones", []))
        for part, inner, key in parts:
            unfit = parameter_problems(_constructor(part), _with_peak(part, inner, 1.0), _supplied(part))
            problems += [f"{key}.{param}: {text}" for param, text in unfit.items()]
    if problems:
        raise ConfigError("\n".join(problems))
    return parts


def _problems_together(name: str, names: Sequence[str], milestones: Sequence[int]) -> list[str]:
    """Return why schedules cannot stand side by side in another, a line each."""
    steps = {part: _interval(part) == "step" for part in names}
    problems = []
    if any(steps.values()) and not all(steps.values()):
        by_step, by_epoch = (", ".join(part for part in steps if steps[part] is each) for each in (True, False))
        problems.append(f"{PARTS}: {by_step} counts optimizer steps, {by_epoch} epochs: {name} cannot hold both")
    elif name == "ChainedScheduler" and len(names) > 1 and any(steps.values()):
        text = f"{names[0]} sets the learning rate whatever it was, so it cannot be chained with others"
        problems.append(f"{PARTS}: {text}")
    if name == "SequentialLR":
        if len(milestones) != len(names) - 1 or sorted({0, *milestones}) != [0, *milestones]:
            text = f"{len(names)} schedules need {len(names) - 1}, rising, each an epoch from 1 on, got {milestones}"
            problems.append(f"lr_scheduler_params.milestones: {text}")
        if names.count("OneCycleLR") > 1:  # both would keep their peaks in the optimizer, in one place
            problems.append(f"{PARTS}: SequentialLR can hold one OneCycleLR only")
    return problems


def _misplaced(name: str, params: Any) -> str | None:
    """Return why a schedule cannot stand inside another, or None."""
    from training.names import schedulers

    if name not in schedulers() and not is_own(name):
        return f"unknown schedule{did_you_mean(str(name), schedulers())} (python train.py --list schedulers)"
    if name in (*OUTER, "ReduceLROnPlateau"):
        return "cannot stand inside another schedule"
    return None if isinstance(params, Mapping) else f"must be a mapping of parameters, got {params!r}"


def _build_parts(
    name: str,
    parts: Sequence[tuple[str, Any, str]],
    optimizer: Optimizer,
    steps_per_epoch: int,
    num_epochs: int,
    params: Mapping[str, Any],
) -> list[LRScheduler]:
    """Build the schedules inside another.

    Those of SequentialLR start from the optimizer's own learning rate and momentum, each as if it were alone.
    OneCycleLR is built last: what it keeps in the optimizer must stay.
    """
    if name == "ChainedScheduler":
        return [_build(part, optimizer, steps_per_epoch, num_epochs, inner, key) for part, inner, key in parts]
    keys = ("lr", "momentum", "betas")
    before = [{key: group[key] for key in keys if key in group} for group in optimizer.param_groups]
    bounds = [0, *params["milestones"], num_epochs]
    built: dict[int, LRScheduler] = {}
    for place in sorted(range(len(parts)), key=lambda place: parts[place][0] == "OneCycleLR"):
        part, inner, key = parts[place]
        for group in optimizer.param_groups:
            group.pop("initial_lr", None)
        if part == "OneCycleLR" and not {"total_steps", "epochs"} & inner.keys():
            epochs = max(bounds[place + 1] - bounds[place], 1)  # one that starts after the run's end is never used
            inner = {**inner, "total_steps": epochs * steps_per_epoch}
        built[place] = _build(part, optimizer, steps_per_epoch, num_epochs, inner, key)
        for group, values in zip(optimizer.param_groups, before, strict=True):
            group.update(values)
    return [built[place] for place in range(len(parts))]


def _build(
    name: str,
    optimizer: Optimizer,
    steps_per_epoch: int,
    num_epochs: int,
    params: Mapping[str, Any],
    key: str = "lr_scheduler_params",
) -> LRScheduler:
    """Build one schedule, whose parameters stand at `key`."""
    constructor = _constructor(name)
    params = _with_peak(name, params, [group["lr"] for group in optimizer.param_groups])
    refuse(parameter_problems(constructor, params, _supplied(name)), key)
    if "steps_per_epoch" in _supplied(name):
        params["steps_per_epoch"] = steps_per_epoch
    if constructor is lr_scheduler.OneCycleLR and not {"total_steps", "epochs"} & params.keys():
        params["total_steps"] = steps_per_epoch * num_epochs
    if constructor is lr_scheduler.OneCycleLR and "epochs" in params:
        params.setdefault("steps_per_epoch", steps_per_epoch)
    try:
        if "lr_lambda" in params:
            params["lr_lambda"] = schedules.factor_schedule(params["lr_lambda"], num_epochs)
        if name == "ChainedScheduler":
            return constructor(**params)
        return constructor(optimizer, **params)
    except ZeroDivisionError:
        text = (
            f"{name} cannot divide {steps_per_epoch * num_epochs} steps so: try more epochs, or another share of them"
        )
        raise ConfigError(f"{key}: {text}") from None
    except refusals(constructor) as error:
        raise ConfigError(f"{key}: {name} refuses them: {error}") from None
