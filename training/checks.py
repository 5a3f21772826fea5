"""Checks of a configuration before its run is built, and warnings about what is allowed but rarely meant."""

from __future__ import annotations

import itertools
import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

from configuration.schema import KEYS, Configuration
from datasets import data_param_problems, known_num_classes, mixing_in_words, task_problem
from datasets.augmentation.mixing import build_mixing
from datasets.augmentation.transforms import build_transforms, torchvision_of
from losses.base import ClassificationLoss
from losses.contract import Task
from metrics import missing_package
from models import architecture_problems, weights_problem
from runs.folder import RunFolder
from training import learning_rates, optimizers
from training.further_metrics import further_metrics
from training.losses import build_loss
from training.networks import for_channels, own_normalization
from utils.types import ConfigError

if TYPE_CHECKING:
    from datasets.data_module import DataModule  # with Lightning, which takes a second

LOG = logging.getLogger("lossbench")
OF_NETWORKS = ("name", "num_classes", "in_channels")
"""Parameters of an architecture that the run sets."""
FEW_VALIDATION_IMAGES = 100
HIGHEST_LEARNING_RATE = 10.0


def check_parameters(config: Configuration, further: tuple[ParameterCheck, ...] = ()) -> None:
    """Check all parameters of data set, loss, optimizer, scheduler and transforms against their constructors.

    Args: further: checks of what follows training.
    Raises: ConfigError naming every mistake with its place.
    """
    if lines := [line for check in (*PARAMETER_CHECKS, *further) for line in check.problems(config)]:
        raise config.located(ConfigError("\n".join(lines)))


def _check_data_params(config: Configuration) -> None:
    """Check data_params against what takes them, without reading data."""
    if problems := data_param_problems(config):
        raise ConfigError("\n".join(f"data_params.{key}: {text}" for key, text in problems.items()))


def _check_task(config: Configuration) -> None:
    if problem := task_problem(config):
        raise ConfigError(f"task: {problem}")
    if missing := missing_package(config.task):
        raise ConfigError(f"task: {config.task} needs {missing}: pip install {missing}")


def _check_loss(config: Configuration) -> None:
    """Build the loss, for the classes of the data where their number matters, and check that it takes mixed labels."""
    loss, count = build_loss(config.loss_function, None, **config.loss_params), known_num_classes(config)
    fixed = {part.num_classes for part in loss.modules() if isinstance(part, ClassificationLoss)} - {None}
    if count is not None and fixed - {count}:
        build_loss(config.loss_function, Task(count, 1, nn.Linear(1, count)), **config.loss_params)
    if config.mixing is None:
        return
    names = mixing_in_words(config.mixing)
    if loss.kind != "image":
        raise ConfigError(f"mixing: {config.loss_function} judges {loss.kind}s, {names} mixes images")
    if not loss.soft_targets:
        raise ConfigError(f"mixing: {config.loss_function} takes no soft labels, as {names} gives them")


def _check_architecture(config: Configuration) -> None:
    """Check parameters against the signature of ours; building reports those with a key of their own."""
    params = {key: value for key, value in config.architecture_params.items() if key not in (*KEYS, *OF_NETWORKS)}
    problems = architecture_problems(config.architecture, params)
    lines = [f"architecture_params.{key}: {text}" for key, text in problems.items()]
    if problem := weights_problem(config.architecture, config.pretrained):
        lines.append(f"pretrained: {problem}")
    if lines:
        raise ConfigError("\n".join(lines))


def _check_mixing(config: Configuration) -> None:
    if config.mixing is not None:
        build_mixing(config.mixing, **config.mixing_params)


def _check_optimization(config: Configuration) -> None:
    mistakes = []
    try:
        optimizer = _build_trial_optimizer(config)
    except ConfigError as mistake:
        mistakes.append(mistake)
        optimizer = torch.optim.AdamW(
            [nn.Parameter(torch.zeros(2, 2))]
        )  # so that mistakes in the schedule are reported as well
    try:
        learning_rates.try_out(build_schedule(config, optimizer, learning_rates.STEPS_TRIED), optimizer)
    except ConfigError as mistake:
        mistakes.append(mistake)
    if mistakes:
        raise ConfigError("\n".join(map(str, mistakes)))


def _build_trial_optimizer(config: Configuration) -> torch.optim.Optimizer:
    """Build a run's optimizer for weights of its own, a matrix for each group."""
    groups = (optimizers.REST, *config.optimizer_groups)
    return optimizers.build_optimizers(config, {name: [nn.Parameter(torch.zeros(2, 2))] for name in groups})


def build_schedule(config: Configuration, optimizer: torch.optim.Optimizer, steps: int) -> dict[str, Any] | None:
    """Return the learning-rate schedule of a run of so many steps an epoch, as `learning_rates.build_scheduler`."""
    params = config.lr_scheduler_params
    return learning_rates.build_scheduler(config.lr_scheduler, optimizer, steps, config.num_epochs, **params)


def check_schedule(config: Configuration, steps: int) -> None:
    """Build the schedule for the steps of an epoch that the data gives, with weights of its own.

    Raises: ConfigError if it cannot divide them, or a cycle ends before the run does.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # training builds it again
        build_schedule(config, _build_trial_optimizer(config), steps)
    params = config.lr_scheduler_params
    cycles = [("lr_scheduler_params", config.lr_scheduler, params, config.num_epochs)]
    if "schedulers" in params:
        ends = [min(epoch, config.num_epochs) for epoch in params.get("milestones", ())]
        spans = itertools.pairwise([0, *ends, config.num_epochs])
        parts = zip(enumerate(params["schedulers"]), spans, strict=False)  # in a chain, a cycle stands alone
        cycles = [
            (f"{learning_rates.PARTS}.{place}.{name}", name, inner or {}, end - start)
            for (place, each), (start, end) in parts
            for name, inner in each.items()
        ]
    for key, name, inner, epochs in cycles:
        total = inner.get("total_steps") or inner.get("epochs", 0) * inner.get("steps_per_epoch", steps)
        if name == "OneCycleLR" and 0 < total < epochs * steps:
            text = f"its cycle has {total:,} steps, the run {epochs * steps:,} ({epochs} epochs of {steps:,})"
            raise ConfigError(
                f"{key}: {text}; leave out total_steps and epochs: the cycle then lasts as long as the run"
            )


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
            warnings.simplefilter("ignore")  # the run builds each again and shows its warnings
            try:
                self.check(config)
            except ConfigError as error:
                return str(error).splitlines()
        return []


PARAMETER_CHECKS = (
    *(
        ParameterCheck(
            (key, "task"), lambda config, key=key: build_transforms(getattr(config, key), key, torchvision_of(config))
        )
        for key in ("image_augmentations", "tensor_augmentations")
    ),
    ParameterCheck(("dataset", "data_params"), _check_data_params),
    ParameterCheck(("task", "dataset", "data_params"), _check_task),
    ParameterCheck(("loss_function", "loss_params", "mixing", "dataset", "data_params", "classes"), _check_loss),
    ParameterCheck(("architecture", "architecture_params", "pretrained"), _check_architecture),
    ParameterCheck(("mixing", "mixing_params"), _check_mixing),
    ParameterCheck(("metrics",), further_metrics),
    ParameterCheck(
        (
            *("optimizer", "optimizer_params", "optimizer_groups", "lookahead"),
            *("lr_scheduler", "lr_scheduler_params", "num_epochs"),
        ),
        _check_optimization,
    ),
)
"""All such checks; a sweep makes each once for the values of its keys, not for every run."""


class Sequel(NamedTuple):
    """Work after the test of a run; its settings are checked together with the run's.

    Args:
        checks: of the parameters, each raises ConfigError.
        refuse: raises ConfigError for settings that do not suit the kind of data, "image" or "sequence".
        run: does what has not been done yet; must not raise for what only it lacks, as the run is finished.
    """

    checks: tuple[ParameterCheck, ...] = ()
    refuse: Callable[[Configuration, str], None] = lambda config, kind: None
    run: Callable[[Configuration, RunFolder], None] = lambda config, folder: None


NOTHING = Sequel()


def check_writable(config: Configuration) -> None:
    """Raise ConfigError if the run cannot write to its folders."""
    mistakes = {}
    for key in ("output_path", "logging_dir"):
        folder = Path(getattr(config, key))
        probe = folder / f".writable-{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            mistakes[(key,)] = f"cannot write to {str(folder)!r}: {error.strerror}; choose another folder"
    if mistakes:
        raise config.error(mistakes)


def warn_before_training(config: Configuration, data: DataModule, network: nn.Module) -> None:
    """Warn about few validation images, crops of another size than the test images, odd numbers and slow precision."""
    validation = len(data.valid_rows)
    if config.select_on == "valid" and validation < FEW_VALIDATION_IMAGES:
        _warn(
            config,
            "valid_fraction",
            f"{validation} validation images select the checkpoint, each {100 / validation:.1f} points of "
            "accuracy; a larger valid_fraction selects more reliably",
        )
    trained, (height, width) = tuple(data.train_stream[(0, 0)].image.shape[-2:]), data.image_size
    if trained != (height, width):
        key = "image_augmentations" if config.augment_images else "tensor_augmentations"
        text = f"training images are {trained[0]} x {trained[1]}, validation and test images {height} x {width}"
        _warn(config, key, f"{text} (image_size)")
    rate = config.optimizer_params.get("lr")
    if isinstance(rate, (int, float)) and rate > HIGHEST_LEARNING_RATE:
        _warn(config, "optimizer_params", f"lr is {rate:g}; few optimizers learn with more than 1")
    used = config.normalization
    if used is not None and max(used.mean) > 1:
        key = "normalization_params_grayscale" if config.convert_to_grayscale else "normalization_params_rgb"
        _warn(config, key, f"mean is {used.mean}, pixels go from 0 to 1; divide mean and std by 255")
    on_cpu = config.accelerator == "cpu" or (config.accelerator == "auto" and not torch.cuda.is_available())
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    if (
        on_cpu
        and config.precision.startswith("bf16")
        and any(1 < each.groups == each.in_channels for each in convolutions)
    ):
        text = f"{config.architecture} has depthwise convolutions, which a CPU may train 25 times slower in bfloat16"
        _warn(config, "precision", f"{text}; try 32-true")


def warn_about_weights(config: Configuration) -> None:
    """Warn if pretrained weights see images otherwise than they were trained. Args: config: `normalize` resolved."""
    own = own_normalization(config)
    if own is None:
        return
    if config.convert_to_grayscale and len(own.mean) == 3:
        text = "the weights were trained on colour images; the network's first layer is summed to one channel"
        _warn(config, "convert_to_grayscale", text)
    expected, used = for_channels(own, config.in_channels), config.normalization
    if used is None or (used.mean, used.std) != (expected.mean, expected.std):
        text = f"the weights were trained with mean {expected.mean} and std {expected.std}; normalize: auto takes these"
        _warn(config, "normalize", text)


def warn_after_test(accuracy: float, target: np.ndarray) -> None:
    """Warn about an accuracy that no image is needed for.

    Args:
        accuracy: share of the test images.
        target: their classes, [N] int64.
    """
    chance = np.bincount(target).max() / len(target)
    if accuracy <= chance:
        LOG.warning(
            "test accuracy %.2f %% is no better than always answering the most frequent class (%.2f %%): the network "
            "has learnt nothing that it could use; look at the curves, the learning rate and the labels",
            100 * accuracy,
            100 * chance,
        )


def _warn(config: Configuration, key: str, text: str) -> None:
    LOG.warning("%s: %s: %s", config.place((key,)), key, text)
