"""Parameters are checked against what takes them, each kind by itself, before anything is built for the run."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from configuration.schema import KEYS, Configuration
from datasets import DATA_KEYS, DATASETS, known_num_classes, mixing_in_words
from datasets.augmentation.mixing import build_mixing
from datasets.augmentation.transforms import build_transforms
from losses import build_loss
from losses.base import ClassificationLoss
from models import architecture_problems, weights_problem
from training import optimization
from utils.lookup import load_entry, parameter_problems
from utils.types import ConfigError, Task

OF_NETWORKS = ("name", "num_classes", "in_channels")
"""What an architecture is given by the run."""


def check_parameters(config: Configuration, further: tuple[ParameterCheck, ...] = ()) -> None:
    """Check all parameters of data set, loss, optimizer, scheduler and transforms against their constructors.

    Args: further: checks of what follows training.
    Raises: ConfigError naming every mistake with its place.
    """
    if lines := [line for check in (*PARAMETER_CHECKS, *further) for line in check.problems(config)]:
        raise config.located(ConfigError("\n".join(lines)))


def _check_data_params(config: Configuration) -> None:
    """Check data_params against the signature of the data set's function, without reading any data."""
    params = {key: value for key, value in config.data_params.items() if key not in KEYS}
    problems = {key: f"comes from {key}, a key of its own" for key in config.data_params if key in KEYS}
    problems |= parameter_problems(load_entry(DATASETS[config.dataset]), params, given=DATA_KEYS)
    if problems:
        raise ConfigError("\n".join(f"data_params.{key}: {text}" for key, text in problems.items()))


def _check_loss(config: Configuration) -> None:
    """Build the loss and check that it takes what the mixing gives."""
    loss = build_loss(config.loss_function, None, **config.loss_params)
    if config.mixing is None:
        return
    names = mixing_in_words(config.mixing)
    if loss.kind != "image":
        raise ConfigError(f"mixing: {config.loss_function} judges {loss.kind}s, {names} mixes images")
    if not loss.soft_targets:
        raise ConfigError(f"mixing: {config.loss_function} takes no soft labels, as {names} gives them")


def _check_classes(config: Configuration) -> None:
    """Build a loss that asks for a number of classes for as many as the data has, where that is known."""
    known = known_num_classes(config)
    if known is None:
        return
    try:
        loss = build_loss(config.loss_function, None, **config.loss_params)
    except ConfigError:
        return  # told by `_check_loss`
    asked = {part.num_classes for part in loss.modules() if isinstance(part, ClassificationLoss)} - {None}
    if asked - {known}:
        build_loss(config.loss_function, Task(known, 1, nn.Linear(1, known)), **config.loss_params)


def _check_architecture(config: Configuration) -> None:
    """Check architecture_params against the signature of ours; what is set elsewhere is told when it is built."""
    params = {key: value for key, value in config.architecture_params.items() if key not in (*KEYS, *OF_NETWORKS)}
    if problems := architecture_problems(config.architecture, params):
        raise ConfigError("\n".join(f"architecture_params.{key}: {text}" for key, text in problems.items()))


def _check_pretrained(config: Configuration) -> None:
    if problem := weights_problem(config.architecture, config.pretrained):
        raise ConfigError(f"pretrained: {problem}")


def _check_mixing(config: Configuration) -> None:
    if config.mixing is not None:
        build_mixing(config.mixing, **config.mixing_params)


def _check_optimization(config: Configuration) -> None:
    weights, mistakes = [nn.Parameter(torch.zeros(2, 2))], []
    try:
        optimizer = optimization.build_optimizer(config.optimizer, weights, **config.optimizer_params)
    except ConfigError as mistake:
        mistakes.append(mistake)
        optimizer = torch.optim.AdamW(weights)  # so that what is wrong with the schedule is told as well
    try:
        schedule = optimization.build_scheduler(
            config.lr_scheduler, optimizer, optimization.STEPS_TRIED, config.num_epochs, **config.lr_scheduler_params
        )
        optimization.try_out(schedule, optimizer)
    except ConfigError as mistake:
        mistakes.append(mistake)
    if mistakes:
        raise ConfigError("\n".join(map(str, mistakes)))


class ParameterCheck(NamedTuple):
    """A check of parameters against what takes them.

    Args:
        keys: those that it looks at, no others.
        check: raises ConfigError.
    """

    keys: tuple[str, ...]
    check: Callable[[Configuration], Any]

    def problems(self, config: Configuration) -> list[str]:
        """Return what is wrong, a line each, with the key at its head."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each is built once more for the run; its warnings are told then
            try:
                self.check(config)
            except ConfigError as error:
                return str(error).splitlines()
        return []


PARAMETER_CHECKS = (
    ParameterCheck(
        ("image_augmentations",), lambda config: build_transforms(config.image_augmentations, "image_augmentations")
    ),
    ParameterCheck(
        ("tensor_augmentations",), lambda config: build_transforms(config.tensor_augmentations, "tensor_augmentations")
    ),
    ParameterCheck(("dataset", "data_params"), _check_data_params),
    ParameterCheck(("loss_function", "loss_params", "mixing"), _check_loss),
    ParameterCheck(("dataset", "data_params", "classes", "loss_function", "loss_params"), _check_classes),
    ParameterCheck(("architecture", "architecture_params"), _check_architecture),
    ParameterCheck(("architecture", "pretrained"), _check_pretrained),
    ParameterCheck(("mixing", "mixing_params"), _check_mixing),
    ParameterCheck(
        ("optimizer", "optimizer_params", "lr_scheduler", "lr_scheduler_params", "num_epochs"), _check_optimization
    ),
)
"""All such checks; a sweep makes each on the values of its keys alone, not on every run."""
