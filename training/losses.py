"""Losses by the names and parameters of a configuration: checks, and errors with their place."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import losses
from losses import NOT_CLASSIFICATION, TORCH_LOSSES
from losses.contract import ParameterError, Task
from runs.names import LOSSES
from utils.lookup import did_you_mean, load_entry, parameter_problems, source_place
from utils.own_imports import place_of
from utils.types import ConfigError, first_few

if TYPE_CHECKING:
    from configuration.schema import Configuration
    from losses.base import ClassificationLoss

KEYS = {
    "task.num_classes": "loss_function",
    "task.num_samples": "loss_function",
    "task.classifier": "architecture",
    "class_weights": "class_weights",
}
"""What a loss refuses besides its parameters -> the key that it follows from."""


def check_loss_name(name: str) -> str | None:
    """Return what is wrong with a loss's name, or None; imports nothing."""
    if name in LOSSES or name in TORCH_LOSSES:
        return None
    if name in NOT_CLASSIFICATION:
        return f"torch.nn.{name} cannot train a classifier: {NOT_CLASSIFICATION[name]}"
    if (file := _file_without_line(name)) is not None:
        line = f'"{name}": Entry("losses.{file}:{name}", "what it is, in one line")'
        return f"unknown loss {name!r}; losses/{file}.py defines it: add {line} to LOSSES in losses/__init__.py"
    return f"unknown loss {name!r}{did_you_mean(name, [*LOSSES, *TORCH_LOSSES])} (python train.py --list losses)"


def _file_without_line(name: str) -> str | None:
    """Return the file here that defines a loss of this name, found by its text; None also for what others extend."""
    texts = {file.stem: file.read_text(encoding="utf-8") for file in sorted(Path(losses.__file__).parent.glob("*.py"))}
    if any(re.search(rf"^class \w+\(.*\b{re.escape(name)}\b", text, re.MULTILINE) for text in texts.values()):
        return None
    defines = re.compile(rf"^class {re.escape(name)}\b", re.MULTILINE)
    return next((stem for stem, text in texts.items() if defines.search(text)), None)


def loss_kind(name: str) -> str:
    """Return what a loss judges, "image" or "sequence"; those of torch.nn judge images."""
    return load_entry(LOSSES[name]).kind if name in LOSSES else "image"


def _place(constructor: Any) -> str:
    return f"loss_function: {source_place(constructor)}: {constructor.__name__}"


@contextlib.contextmanager
def refusals_placed() -> Iterator[None]:
    """Give what a loss refuses its place in a configuration. Raises: ConfigError."""
    try:
        yield
    except ParameterError as error:
        raise ConfigError(f"{KEYS.get(error.key, f'loss_params.{error.key}')}: {error.text}") from None


def build_loss(name: str, task: Task | None = None, /, **params: Any) -> ClassificationLoss:
    """Build a loss by its class name, as `losses.build_loss`, after checking its parameters and those of losses within.

    Raises: ConfigError for an unknown name, a parameter the loss does not take or one out of range.
    """
    from losses.base import parts_of
    from losses.checks import contract_problems

    if problems := list(_problems(name, params, "loss_function", "loss_params")):
        raise ConfigError("\n".join(problems))
    try:
        with refusals_placed():
            loss = losses.build_loss(name, task, **params)
    except ValueError as error:
        if not params:  # there is nothing that it could refuse
            raise
        raise ConfigError(f"loss_params: {name} refuses them: {error}") from None
    except (AttributeError, TypeError) as error:
        if task is not None or "NoneType" not in str(error):
            raise
        text = "must be built without a task, too: its parameters are checked so, before there is any data"
        raise ConfigError(f"{_place(losses.loss_class(name))} {text}. With task=None: {error}") from None
    lines = [
        f"{_place(type(part))}.{key} must be {allowed}: it belongs to the contract of losses/base.py; give a parameter "
        "of your own another name"
        for part in parts_of(loss)
        for key, allowed in contract_problems(part).items()
    ]
    if lines:
        raise ConfigError("\n".join(lines))
    return loss


def _problems(name: str, params: Mapping[str, Any], key: str, params_key: str) -> Iterator[str]:
    """Yield what is wrong with a loss's name and parameters, and with those of the losses within it.

    A loss within another is a parameter `x` of text, its parameters are `x_params`.
    """
    if problem := check_loss_name(name):
        yield f"{key}: {problem}"
        return
    from losses.base import ClassificationLoss
    from losses.torch_losses import torch_loss_class

    constructor: Any = load_entry(LOSSES[name]) if name in LOSSES else torch_loss_class(name)
    if name in LOSSES and not (isinstance(constructor, type) and issubclass(constructor, ClassificationLoss)):
        yield f"loss_function: {place_of(constructor, name)} must be a subclass of losses.base.ClassificationLoss"
        return
    problems = parameter_problems(constructor, params, given=() if name in TORCH_LOSSES else ("task",))
    yield from (f"{params_key}.{param}: {text}" for param, text in problems.items())
    signature = inspect.signature(constructor).parameters
    for param in signature:
        inner, within = params.get(param, signature[param].default), params.get(f"{param}_params") or {}
        if f"{param}_params" in signature and isinstance(inner, str) and isinstance(within, dict):
            yield from _problems(inner, within, f"{params_key}.{param}", f"{params_key}.{param}_params")


def build_for_network(config: Configuration, task: Task | None, network: Any) -> ClassificationLoss:
    """Build a run's loss, one for each head of a network that has several. Raises: ConfigError."""
    name, params, heads = config.loss_function, config.loss_params, getattr(network, "heads", ())
    if not heads:
        return build_loss(name, task, **params)
    build_loss(name, None, **params)  # reports mistakes in parameters with their place
    from losses.several_heads import SeveralHeads

    def build(task: Task | None) -> ClassificationLoss:
        return losses.build_loss(name, task, **params)

    with refusals_placed():
        views = 2 if getattr(network, "grid", 0) else 1
        loss = SeveralHeads(task, heads, build, getattr(network, "own_terms", None), views)
    if config.mixing is not None and not loss.soft_targets:
        raise ConfigError(f"mixing: {config.architecture} with {name} takes no soft labels, as mixing gives them")
    return loss


def build_run_loss(config: Configuration, task: Task, classes: Sequence[str], network: Any) -> ClassificationLoss:
    """Build a run's loss, its classes weighted as the configuration has it. Raises: ConfigError."""
    loss = build_for_network(config, task, network)
    weights: Any = config.class_weights
    if isinstance(weights, dict):
        weights = {str(name): weight for name, weight in weights.items()}
        if unknown := [name for name in weights if name not in classes]:
            there = f"; there are {first_few(classes, 12)}"
            texts = [f"class_weights.{name}: unknown class{did_you_mean(name, classes) or there}" for name in unknown]
            raise ConfigError("\n".join(texts))
        weights = [weights.get(name, 1.0) for name in classes]
    with refusals_placed():
        return loss if weights is None else loss.with_options(class_weights=weights)
