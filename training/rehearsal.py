"""Trial runs before training: an image through augmentations, network and loss, and steps of the loss.

Some parameters fail only in use, and only steps reveal state of a loss that no checkpoint holds or that keeps a graph.
"""

from __future__ import annotations

import collections
import copy
import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn

from configuration.chains import steps
from configuration.schema import Configuration
from datasets.augmentation.transforms import transform_class
from datasets.data_module import DataModule
from datasets.readers.files import some
from datasets.sequences import example_targets, label_in_words, targets
from losses.base import ClassificationLoss
from losses.contract import Batch, Outputs
from models.classifier import Classifier, repeat_views
from training.losses import build_run_loss
from training.memory import is_out_of_memory
from utils.lookup import REFUSALS_OF_LIBRARIES, refusals, source_place
from utils.seeding import derive_seed, seed_cpu
from utils.types import ConfigError, DataError, first_line

if TYPE_CHECKING:
    from training.building import Preparation

AUGMENTATIONS_TRIED = 8
GRAPH_KEPT = ("backward through the graph a second time", "modified by an inplace operation")
INTERNAL = frozenset(vars(nn.Module())) | {"task"}


def try_out(config: Configuration, data: DataModule, classifier: Classifier) -> Outputs:
    """Return what the network gives for two images.

    Raises: ConfigError naming the parameters that fail, or a loss that judges other classes than the data's.
    """
    try:
        image = data.train_stream[(0, 0)].image
        for epoch in range(1, AUGMENTATIONS_TRIED):  # a transform may act on some of them only
            image = data.train_stream[(epoch, 0)].image
    except (*REFUSALS_OF_LIBRARIES, MemoryError) as error:
        raise ConfigError(_blamed(config, data, error)) from None
    if image.shape[1] != config.in_channels:
        key = "image_augmentations" if config.augment_images else "tensor_augmentations"
        text = f"give images of {image.shape[1]} channels, convert_to_grayscale makes it {config.in_channels}"
        raise ConfigError(f"{key}: {text}")
    loss, num_classes = classifier.loss, len(data.data.classes)
    try:
        with torch.no_grad():
            outputs = classifier.eval()(torch.zeros(2, config.in_channels, *data.image_size))
    except RuntimeError as error:
        raise (ConfigError(_too_large(data, error)) if is_out_of_memory(error) else error) from None
    outputs = outputs._replace(scores=outputs.scores[:2], features=outputs.features[:2])  # an image may have many rows
    scores = outputs.scores.requires_grad_()
    judged = loss.log_probabilities(scores).shape[-1] - loss.num_blanks
    if judged != num_classes:  # the tally has no room for predictions beyond the classes
        text = f"{config.architecture} with {config.loss_function} judges {judged} classes, the data has {num_classes}"
        raise ConfigError(f"architecture: {text}")
    target: Any = example_targets(data.data.train, num_classes)
    targets_tried = [target]
    if config.mixing is not None:
        targets_tried.append(torch.nn.functional.one_hot(target, num_classes).float())
    for labels in targets_tried:
        value = loss(scores, labels)
        problem = None
        if not isinstance(value, Tensor):
            problem = f"must return a tensor of one number, got a {type(value).__name__}"
        elif value.ndim:
            problem = f"must return one number, the mean over the batch, got the shape {list(value.shape)}"
        elif not value.requires_grad:
            problem = "must return a number with a gradient: none leads from it to the scores"
        if problem:
            place = f"{source_place(type(loss))}: {config.loss_function}"
            raise ConfigError(f"loss_function: {place}: forward {problem}")
        value.backward()
    loss.predict(scores)
    classifier.train()  # judged until here: in training a loss may draw random numbers and learn
    _refuse_impossible(config, data, loss, scores[0])
    return outputs


def _refuse_impossible(config: Configuration, data: DataModule, loss: ClassificationLoss, scores: Tensor) -> None:
    """Refuse samples whose loss would be infinite, such as texts longer than their steps.

    Raises: ConfigError naming them, and the images that do not decode, which would be reported next.
    """
    problems = []
    for table in (data.train_table, data.data.test):
        for row, reason in loss.impossible(scores, targets(table, np.arange(len(table)))).items():
            problems.append(f"{table.name(row)}: {label_in_words(table, row, data.data.classes)!r} {reason}")
    if problems:
        height, width = data.image_size
        message = f"image_size: {config.architecture} on images of {height} x {width} px cannot read "
        message += f"{len(problems):,} labels: {some(problems)}"
        try:
            data.check()
        except DataError as error:
            message += f"\n{error}"
        raise ConfigError(message)


def _blamed(config: Configuration, data: DataModule, error: Exception) -> str:
    """Return a message that names the transform that fails by itself, or else the whole chain.

    Raises: the error itself if torchvision can do the chain, so that it is not the parameters that are wrong.
    """
    chains = {
        "image_augmentations": config.image_augmentations if config.augment_images else {},
        "tensor_augmentations": config.tensor_augmentations if config.augment_tensors else {},
    }
    if is_out_of_memory(error):
        return _too_large(data, error)
    alone = [
        (".".join((key, *path)), name, {key: {name: params}})
        for key, chain in chains.items()
        for path, name, params in steps(chain)
    ]
    whole = [(next(filter(chains.get, chains)), None, chains)] if alone else []
    for place, name, tried in alone + whole:
        refused = refusals(transform_class(name)) if name else REFUSALS_OF_LIBRARIES
        try:
            stream = data.augmented_stream(**tried, backend="torchvision")
            for epoch in range(AUGMENTATIONS_TRIED):
                stream[(epoch, 0)]
        except refused as failure:
            return f"{place}: a training image cannot be augmented so: {first_line(failure)}"
    raise error


def _too_large(data: DataModule, error: Exception) -> str:
    height, width = data.image_size
    return f"image_size: images of {height} x {width} px do not fit into memory: {first_line(error)}"


def rehearse(prepared: Preparation) -> None:
    """Take two steps with the loss, an epoch's end between; restore its state in a fresh one; take a third with both.

    Features and maps are random, as many and as large as the network's. Losses, head and random numbers are the
    rehearsal's own: the run's stay as they are.

    Raises: ConfigError naming what a resume would lose, or that the loss keeps the graph of a step.
    """
    try:
        with isolate_rng(include_cuda=False):
            _rehearse(prepared)
    except ConfigError as error:
        raise prepared.config.located(error) from None


def _rehearse(prepared: Preparation) -> None:
    batch = _batch(prepared)
    first, fresh = (_Rehearsed(prepared, batch) for _ in range(2))
    first.loss.begin_epoch(0)
    first.step(0)
    first.loss.on_epoch_end()
    first.loss.begin_epoch(1)
    first.step(1)
    fresh.restore(first)
    fresh.loss.begin_epoch(1)
    resumed, whole = fresh.step(2), first.step(2)
    ours, theirs = _state(first.loss), _state(fresh.loss)
    lost = [name for name in ours if not _same(ours[name], theirs.get(name))]
    if not lost and not _same(whole, resumed):
        text = f"the third step gives {resumed:g} after a save and a resume, {whole:g} without"
        text += ": state must be buffers (self.register_buffer), and random numbers torch's own"
        raise _error(first.loss, text)
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
        self.loss: ClassificationLoss = build_run_loss(
            config, task, prepared.data.data.classes, prepared.classifier.network
        ).train()
        self.head, self.batch, self.example = self.loss.make_head(task), batch, example

    def step(self, number: int) -> Tensor:
        """Return the loss of a step with the random numbers of this one."""
        seed_cpu(derive_seed("rehearsal", number))
        np.random.seed(number)
        features, *stages = (
            torch.randn(len(self.batch.index), *output.shape[1:]).requires_grad_()
            for output in (self.example.features, *self.example.stages)
        )
        terms = self.loss.terms(Outputs(self.head(features), features, tuple(stages)), self.batch)
        if shapes := {name: list(term.shape) for name, term in terms.items() if term.ndim}:
            text = f"each of its terms must be one number, the mean over the batch, got shapes {shapes}"
            raise _error(self.loss, text)
        total = functools.reduce(torch.add, terms.values())
        try:
            total.backward()
        except RuntimeError as error:
            if number == 0 or not any(text in str(error) for text in GRAPH_KEPT):
                raise
            text = "it keeps the graph of an earlier step in its state: keep what .detach() gives"
            raise _error(self.loss, text) from None
        return total.detach()

    def restore(self, other: _Rehearsed) -> None:
        try:
            self.loss.load_state_dict(copy.deepcopy(other.loss.state_dict()))
        except RuntimeError as error:
            reason = " ".join(line.strip() for line in str(error).splitlines()[1:])
            text = f"the state of two steps does not fit a fresh one, so that no run could be resumed: {reason}"
            text += " Register every buffer in the constructor, in its final shape"
            raise _error(self.loss, text) from None
        self.head.load_state_dict(other.head.state_dict())


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
    extra = data.train_stream[(0, 0)].extra  # of one sample, [V, ...]
    repeated = {name: value.repeat(len(index) // len(value), *[1] * (value.ndim - 1)) for name, value in extra.items()}
    return Batch(image.expand(len(index), -1, -1, -1), target, index, repeated)


def _state(loss: nn.Module) -> dict[str, Any]:
    """Return the buffers and all other attributes of a loss and of those within it."""
    state: dict[str, Any] = dict(loss.named_buffers())
    for place, module in loss.named_modules():
        values = {name: value for name, value in vars(module).items() if name not in INTERNAL}
        state |= {f"{place}.{name}".lstrip("."): value for name, value in values.items()}
    return state


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are equal, as far as they are tensors, numbers, texts, or collections of these."""
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
