"""Optimizers by name, and parameters that train in their own way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from configuration.schema import Configuration, OptimizerGroup
from runs.names import TIMM_FIRST
from training.names import NAME_CHECKS
from utils.lookup import parameter_problems, refusals
from utils.own_imports import load_class
from utils.own_names import is_own
from utils.types import ConfigError, first_few


def build_optimizer(
    name: str, parameters: Iterable[nn.Parameter], key: str = "optimizer_params", /, **params: Any
) -> Optimizer:
    """Build an optimizer of torch.optim, or of timm.optim where torch has none of that name or one of less use.

    Args:
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
