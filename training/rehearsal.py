"""Steps of a loss before training, which find state that no checkpoint holds or that keeps a graph."""

from __future__ import annotations

import collections
import contextlib
import copy
import dataclasses
import functools
import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from datasets.sequences import example_targets
from losses import build_loss
from losses.base import ClassificationLoss
from models.classifier import repeat_views
from training.building import Preparation
from utils.lookup import source_place
from utils.seeding import derive_seed, seed_cpu
from utils.types import Batch, ConfigError, Outputs

GRAPH_KEPT = ("backward through the graph a second time", "modified by an inplace operation")
INTERNAL = frozenset(vars(nn.Module())) | {"task"}


def rehearse(prepared: Preparation) -> None:
    """Take two steps with the loss, an epoch's end between; restore its state in a fresh one; take a third with both.

    Features and maps are random, as many and as large as the network's. Losses, head and random numbers are the
    rehearsal's own: the run's stay as they are.

    Raises: ConfigError naming what a resume would lose, or that the loss keeps the graph of a step.
    """
    config = prepared.config
    with _own_random_numbers():
        try:
            _rehearse(prepared)
        except ConfigError as error:
            raise config.located(error) from None


def _rehearse(prepared: Preparation) -> None:
    batch = _batch(prepared)
    first, fresh = (_Rehearsed(prepared, batch) for _ in range(2))
    first.step(0)
    first.loss.on_epoch_end()
    first.step(1)
    fresh.restore(first)
    resumed, whole = fresh.step(2), first.step(2)
    lost = _differences(first.loss, fresh.loss)
    if not lost and not _same(whole, resumed):
        text = f"the third step gives {resumed:g} after a save and a resume, {whole:g} without"
        raise first.error(f"{text}: state must be buffers (self.register_buffer), and random numbers torch's own")
    if lost:
        module, _, name = lost[0].rpartition(".")
        raise _error(
            first.loss.get_submodule(module),
            f"a resume would lose {', '.join(lost)}, which no checkpoint holds: keep it as a buffer from the "
            f'constructor on, self.register_buffer("{name}", torch.tensor(...))',
        )


class _Rehearsed:
    """A loss as the run builds it, and its head.

    Args: batch: what each step sees, flat.
    """

    def __init__(self, prepared: Preparation, batch: Batch) -> None:
        config, example = prepared.config, prepared.example
        task = dataclasses.replace(
            prepared.task, num_samples=len(batch.index), classifier=copy.deepcopy(prepared.task.classifier)
        )
        self.loss: ClassificationLoss = build_loss(config.loss_function, task, **config.loss_params).train()
        self.head, self.batch, self.example = self.loss.make_head(task), batch, example

    def step(self, number: int) -> Tensor:
        """Return what a step with the random numbers of this one costs."""
        seed_cpu(derive_seed("rehearsal", number))
        np.random.seed(number)
        features, *stages = (
            torch.randn(len(self.batch.index), *each.shape[1:]).requires_grad_()
            for each in (self.example.features, *self.example.stages)
        )
        terms = self.loss.terms(Outputs(self.head(features), features, tuple(stages)), self.batch)
        if shapes := {name: list(term.shape) for name, term in terms.items() if term.ndim}:
            raise self.error(f"each of its terms must be one number, the mean over the batch, got shapes {shapes}")
        total = functools.reduce(torch.add, terms.values())
        try:
            total.backward()
        except RuntimeError as error:
            if number == 0 or not any(text in str(error) for text in GRAPH_KEPT):
                raise
            text = "it keeps the graph of an earlier step in its state: keep what .detach() gives"
            raise self.error(text) from None
        return total.detach()

    def restore(self, other: _Rehearsed) -> None:
        try:
            self.loss.load_state_dict(copy.deepcopy(other.loss.state_dict()))
        except RuntimeError as error:
            reason = " ".join(line.strip() for line in str(error).splitlines()[1:])
            text = f"the state of two steps does not fit a fresh one, so that no run could be resumed: {reason}"
            raise self.error(f"{text} Register every buffer in the constructor, in its final shape") from None
        self.head.load_state_dict(other.head.state_dict())

    def error(self, text: str) -> ConfigError:
        return _error(self.loss, text)


def _error(module: nn.Module, text: str) -> ConfigError:
    return ConfigError(f"loss_function: {source_place(type(module))}: {type(module).__name__}: {text}")


def _batch(prepared: Preparation) -> Batch:
    """Return a batch of two classes, or texts, drawn as the loss asks. Shapes: as `ClassificationLoss.terms` sees."""
    data, loss = prepared.data, prepared.classifier.loss
    size = {"repeated": loss.repeats, "class_balanced": loss.samples_per_class}.get(loss.sampling, 2)
    num_classes = len(data.data.classes)
    target: Any = repeat_views(example_targets(data.data.train, num_classes), size * loss.views)
    if prepared.config.mixing is not None:
        target = nn.functional.one_hot(target, num_classes).float()
    index = torch.arange(2).repeat_interleave(size) if loss.sampling == "repeated" else torch.arange(2 * size)
    image = torch.zeros(1, prepared.config.in_channels, *data.image_size)
    index = index.repeat_interleave(loss.views)
    return Batch(image.expand(len(index), -1, -1, -1), target, index)


@contextlib.contextmanager
def _own_random_numbers() -> Iterator[None]:
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        np.random.set_state(states[2])


def _differences(one: nn.Module, other: nn.Module) -> list[str]:
    """Return which attributes and buffers of two losses differ."""
    ours, theirs = _state(one), _state(other)
    return [name for name in ours if not _same(ours[name], theirs.get(name))]


def _state(loss: nn.Module) -> dict[str, Any]:
    found: dict[str, Any] = dict(loss.named_buffers())
    for place, module in loss.named_modules():
        values = {name: value for name, value in vars(module).items() if name not in INTERNAL}
        found |= {f"{place}.{name}".lstrip("."): value for name, value in values.items()}
    return found


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal, as far as they are tensors, numbers, texts, or collections of these."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return one.shape == other.shape and torch.allclose(one.detach(), other.detach(), 0, 0, equal_nan=True)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, (list, tuple, collections.deque)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    return one == other if isinstance(one, (int, float, str, set, type(None))) else True
