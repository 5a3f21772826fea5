"""Optimizers by name, and parameters that train in their own way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from configuration.schema import Configuration, OptimizerGroup
from runs.names import TIMM_FIRST
from training.decays import Treatment, grouped
from training.names import NAME_CHECKS
from utils.lookup import parameter_problems, refusals
from utils.own_imports import load_class
from utils.own_names import is_own
from utils.types import ConfigError, first_few


def build_optimizer(
    name: str,
    parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
    key: str = "optimizer_params",
    /,
    **params: Any,
) -> Optimizer:
    """Build an optimizer of torch.optim, or of timm.optim where torch has none of that name or one of less use.

    Args:
        parameters: as torch takes them, in groups or not.
        key: where its parameters stand.

    Raises: ConfigError for parameters that it does not take.
    """
    constructor = None if name in TIMM_FIRST else getattr(torch.optim, name, None)
    if is_own(name):
        constructor = load_class(name, Optimizer, key.removesuffix("_params"))
    elif constructor is None:
        import timm.optim

        constructor = getattr(timm.optim, name, None) or getattr(torch.optim, name)
    refuse(parameter_problems(constructor, params, given=("params",)), key)
    try:
        return constructor(parameters, **params)
    except refusals(constructor) as error:
        raise ConfigError(f"{key}: {name} refuses them: {error}") from None


NO_TREATMENTS: Mapping[int, Treatment] = {}
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
    text = f"match no parameter that trains and is not in a group above; there are {first_few(weights, NAMED)}"
    if empty := [name for name in groups if not assigned[name]]:
        raise ConfigError("\n".join(f"optimizer_groups.{name}.params: {text}" for name in empty))
    return assigned


def patterns(group: OptimizerGroup) -> list[str]:
    return [group.params] if isinstance(group.params, str) else group.params


def build_treated(
    name: str,
    parameters: Sequence[nn.Parameter],
    by: Mapping[int, Treatment],
    key: str = "optimizer_params",
    /,
    **params: Any,
) -> Optimizer:
    """Build an optimizer whose parameters are treated as `by` says, each treatment a group of the optimizer.

    Raises: as `build_optimizer`.
    """
    if not by:
        return build_optimizer(name, parameters, key, **params)
    groups = grouped(parameters, by)
    optimizer = build_optimizer(name, [{"params": members} for members in groups.values()], key, **params)
    for treatment, group in zip(groups, optimizer.param_groups, strict=True):
        group["lr"] *= treatment.scale
        if not treatment.decays:
            group["weight_decay"] = 0.0
    return optimizer


def build_optimizers(
    config: Configuration, assigned: Mapping[str, Sequence[nn.Parameter]], by: Mapping[int, Treatment] = NO_TREATMENTS
) -> Optimizer:
    """Build the optimizer of a run.

    Args:
        assigned: group -> its parameters, as `assign` returns them.
        by: how single parameters are treated, as `decays.treatments` returns it.

    Raises: ConfigError naming every parameter of an optimizer that it does not take.
    """
    if not config.optimizer_groups and config.lookahead is None:
        return build_treated(config.optimizer, assigned[REST], by, **config.optimizer_params)
    parts, problems, groups = [], [], config.optimizer_groups
    if idle := _idle_epoch(config, [groups.get(name) for name, parameters in assigned.items() if parameters]):
        when = f"after epoch {idle - 1} of" if idle > 1 else "in the first epoch of"
        problems.append(f"optimizer_groups: no parameter trains {when} {config.num_epochs}")
    problems += _never_training(config)
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
                parts.append(build_treated(optimizer, parameters, by, f"{key}_params", **params))
        except ConfigError as error:
            problems.append(str(error))
    try:
        parts = [_looking_ahead(part, config.lookahead) for part in parts]
    except ConfigError as error:
        problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return GroupedOptimizer(parts)


def is_active(group: OptimizerGroup | None, epoch: int) -> bool:
    """Tell whether a group's parameters train in an epoch, counted from 0; None for those of no group."""
    return group is None or (group.start_epoch or 0) <= epoch < (group.epochs or math.inf)


def _idle_epoch(config: Configuration, groups: Sequence[OptimizerGroup | None]) -> int | None:
    """Return the first epoch, counted from 1, in which no group trains; None if there is none."""
    epochs = range(config.num_epochs)
    return next((epoch + 1 for epoch in epochs if not any(is_active(group, epoch) for group in groups)), None)


def _never_training(config: Configuration) -> list[str]:
    """Return a line for each group that ends before it starts, or starts after the run."""
    problems = []
    for name, group in config.optimizer_groups.items():
        start, end = group.start_epoch or 0, min(group.epochs or config.num_epochs, config.num_epochs)
        if start >= end:
            text = f"epochs are counted from 0, and this group's last is {end - 1}, got {start}"
            problems.append(f"optimizer_groups.{name}.start_epoch: {text}")
    return problems


def _looking_ahead(optimizer: Optimizer, params: Mapping[str, Any] | None) -> Optimizer:
    """Return an optimizer whose weights return, every k steps, part of the way to where they were k steps ago."""
    if params is None:
        return optimizer
    from timm.optim.lookahead import Lookahead

    refuse(parameter_problems(Lookahead, params, given=("base_optimizer",)), "lookahead")
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


def refuse(problems: Mapping[str, str], key: str) -> None:
    if problems:
        raise ConfigError("\n".join(f"{key}.{name}: {text}" for name, text in problems.items()))
