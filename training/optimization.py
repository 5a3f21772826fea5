"""Optimizers and learning-rate schedules by name, and parameters that train in their own way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from configuration.schema import Configuration, OptimizerGroup
from metrics import MONITORS, lower_is_better
from runs.names import TIMM_FIRST
from training import schedules
from training.names import NAME_CHECKS
from utils.lookup import did_you_mean, parameter_problems, refusals
from utils.types import ConfigError, first_few

EVERY_STEP = (lr_scheduler.OneCycleLR, lr_scheduler.CyclicLR)
OUTER = ("SequentialLR", "ChainedScheduler")
PARTS = "lr_scheduler_params.schedulers"

STEPS_TRIED = 3
"""Steps that a schedule is tried with before a run; no epoch is taken to be shorter."""


def build_optimizer(
    name: str, parameters: Iterable[nn.Parameter], key: str = "optimizer_params", /, **params: Any
) -> Optimizer:
    """Build an optimizer of torch.optim, or of timm.optim where torch has none of that name or one of less use.

    Args:
        key: where its parameters stand.

    Raises: ConfigError for parameters that it does not take.
    """
    constructor = None if name in TIMM_FIRST else getattr(torch.optim, name, None)
    if constructor is None:
        import timm.optim

        constructor = getattr(timm.optim, name, None) or getattr(torch.optim, name)
    _refuse(parameter_problems(constructor, params, given=("params",)), key)
    try:
        return constructor(parameters, **params)
    except refusals(constructor) as error:
        raise ConfigError(f"{key}: {name} refuses them: {error}") from None


REST = ""
"""Name of the parameters that no group takes."""
NAMED = 12
"""Parameters that a message names."""


def assign(weights: Mapping[str, nn.Parameter], groups: Mapping[str, OptimizerGroup]) -> dict[str, list[nn.Parameter]]:
    """Return each group's parameters, those of `REST` first. A parameter belongs to the first group that names it.

    Raises: ConfigError for groups that get none.
    """
    assigned: dict[str, list[nn.Parameter]] = {name: [] for name in (REST, *groups)}
    for name, weight in weights.items():
        takers = (taker for taker, group in groups.items() if any(fnmatchcase(name, each) for each in patterns(group)))
        assigned[next(takers, REST)].append(weight)
    text = f"match no parameter that is not in a group above; there are {first_few(weights, NAMED)}"
    if empty := [name for name in groups if not assigned[name]]:
        raise ConfigError("\n".join(f"optimizer_groups.{name}.params: {text}" for name in empty))
    return assigned


def patterns(group: OptimizerGroup) -> list[str]:
    return [group.params] if isinstance(group.params, str) else group.params


def build_optimizers(config: Configuration, assigned: Mapping[str, Sequence[nn.Parameter]]) -> Optimizer:
    """Build the optimizer of a run. Args: assigned: group -> its parameters, as `assign` returns them.

    Raises: ConfigError naming every parameter of an optimizer that it does not take.
    """
    if not config.optimizer_groups and config.lookahead is None:
        return build_optimizer(config.optimizer, assigned[REST], **config.optimizer_params)
    parts, problems, groups = [], [], config.optimizer_groups
    trained = [groups.get(name) for name, parameters in assigned.items() if parameters]
    last = max(config.num_epochs if group is None else group.epochs or config.num_epochs for group in trained)
    if last < config.num_epochs:
        problems.append(f"optimizer_groups: no parameter trains after epoch {last} of {config.num_epochs}")
    for name, parameters in assigned.items():
        group, key, optimizer, params = groups.get(name), "optimizer", config.optimizer, {}
        if group is not None:
            key = f"optimizer_groups.{name}.optimizer"
            optimizer, params = group.optimizer or optimizer, group.optimizer_params
        if group is None or group.optimizer is None:
            params = config.optimizer_params | params
        try:
            if problem := NAME_CHECKS["optimizer"](optimizer):
                raise ConfigError(f"{key}: {problem}")
            if parameters:
                parts.append(build_optimizer(optimizer, parameters, f"{key}_params", **params))
        except ConfigError as error:
            problems.append(str(error))
    try:
        parts = [_looking_ahead(part, config.lookahead) for part in parts]
    except ConfigError as error:
        problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return GroupedOptimizer(parts)


def _looking_ahead(optimizer: Optimizer, params: Mapping[str, Any] | None) -> Optimizer:
    """Return an optimizer whose weights return, every k steps, part of the way to where they were k steps ago."""
    if params is None:
        return optimizer
    from timm.optim.lookahead import Lookahead

    _refuse(parameter_problems(Lookahead, params, given=("base_optimizer",)), "lookahead")
    try:
        return Lookahead(optimizer, **params)
    except refusals(Lookahead) as error:
        raise ConfigError(f"lookahead: timm refuses them: {error}") from None


class GroupedOptimizer(Optimizer):
    """Several optimizers as one, each of parameters of its own; schedules see the groups of all, one after the other.

    Args:
        parts: the optimizers. None may need a closure.
    """

    def __init__(self, parts: Sequence[Optimizer]) -> None:
        self.parts = parts
        common = set.intersection(*(set(part.defaults) for part in parts))
        defaults = {name: value for name, value in parts[0].defaults.items() if name in common}
        super().__init__([weight for group in self._groups() for weight in group["params"]], defaults)
        self.param_groups = self._groups()

    def _groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = self._groups()  # loading has put others in place


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
    _refuse(parameter_problems(_constructor(name), params, given=("optimizer",)), "lr_scheduler_params")
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

    if name not in schedulers():
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
    _refuse(parameter_problems(constructor, params, _supplied(name)), key)
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


def _refuse(problems: Mapping[str, str], key: str) -> None:
    if problems:
        raise ConfigError("\n".join(f"{key}.{name}: {text}" for name, text in problems.items()))
