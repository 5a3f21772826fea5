"""A run that is evaluated: its network with the selected weights, its data, and what it says of the images."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from msgspec import structs
from pytorch_lightning.plugins.precision import Precision
from torch import Tensor

from configuration.schema import Configuration
from datasets.data_module import DataModule
from datasets.readers.files import progress
from datasets.stream.image_stream import ImageStream
from evaluation.parts import Part, choose_part
from evaluation.requests import read_run
from models.classifier import Classifier
from runs.checkpoints import DamagedCheckpoint, load_checkpoint, load_weights_of
from runs.code import code_changes, in_words
from runs.folder import DamagedFile, RunFolder
from training.building import prepare
from training.networks import with_own_normalization
from training.trainer import build_lightning
from utils.types import Batch, ConfigError, DataError, Outputs, Sequences

LOG = logging.getLogger("lossbench")


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a network says of N images, on the CPU, in the order of the stream.

    Shapes: index [N], row in the table; target [N]; scores [N, K] float32; features [N, D] float32; prediction [N],
    REJECTED where it is none of the classes; log_probabilities [N, K]. Of texts: target [N, L] and prediction [N, T],
    REJECTED behind the text; scores [N, T, K]; log_probabilities [N, T, K + 1], the blank last.
    """

    index: Tensor
    target: Tensor
    scores: Tensor
    features: Tensor
    prediction: Tensor
    log_probabilities: Tensor

    @property
    def right(self) -> Tensor:
        """Shapes: [N] bool."""
        return self.prediction == self.target


@dataclasses.dataclass(frozen=True)
class Subject:
    """One run, on one part of data.

    Args:
        epoch: whose weights the network has, counted from 0; the selected one unless `at_epoch` says otherwise.
        output: folder for pictures.
        precision: the arithmetic of the classifier's scores; what calls parts of the network enters its context.
    """

    folder: RunFolder
    config: Configuration
    data: DataModule
    classifier: Classifier
    part: Part
    device: torch.device
    epoch: int
    output: Path
    precision: Precision = dataclasses.field(default_factory=Precision)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.data.data.classes

    @cached_property
    def answers(self) -> Answers:
        """What the network says of the part's images."""
        return self.ask(self.part.stream, f"{self.part.name} images")

    @cached_property
    def validation(self) -> Answers:
        """What it says of the validation images, for what is fitted."""
        return self.answers if self.part.name == "valid" else self.ask(self.data.valid_stream, "valid images")

    def ask(self, stream: ImageStream, label: str) -> Answers:
        """Return what the network says of a stream's images."""
        found: list[tuple[Any, ...]] = []
        with torch.no_grad():
            for batch in self.batches(stream, label):
                outputs = self.classifier(batch.image[:, 0])
                judged = self.judge(outputs.scores)
                target = batch.target.padded() if isinstance(batch.target, Sequences) else batch.target
                row: Any = (batch.index, target, outputs.scores, outputs.features.flatten(1).float(), *judged)
                found.append(tuple(each.cpu() for each in row))
        return Answers(*(torch.cat(column) for column in zip(*found, strict=True)))

    def judge(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss's own prediction and log-probabilities. Shapes: [B, K] -> [B], [B, K]."""
        loss = self.classifier.loss
        return loss.predict(scores), loss.log_probabilities(scores)

    def batches(self, stream: ImageStream, label: str) -> Iterator[Batch]:
        """Yield a stream's batches on the device, under a progress bar."""
        with progress(len(stream), label) as bar:
            for batch in self.load(stream):
                yield batch
                bar.update(len(batch.image))

    def pictures(self, places: Iterable[int]) -> list[np.ndarray]:
        """Return images before they are resized, cut to their boxes where the network sees them so.

        Shapes: uint8 [H, W, C]. Args: places: positions in the part.
        """
        return [self.part.stream.unresized(int(place)) for place in places]

    def load(self, stream: ImageStream) -> Iterator[Batch]:
        """Yield a stream's batches on the device."""
        for loaded in self.data.evaluation_loader(stream):
            yield stream.finish(type(loaded)(*(_to(each, self.device) for each in loaded)))

    def at_epoch(self, epoch: int) -> Subject:
        """Return the run with the weights of one of the folder's `kept_epochs`; the network is the same, and changed.

        Raises: ConfigError if they are damaged.
        """
        _load(self.classifier, self.folder.kept(epoch))
        return dataclasses.replace(self, epoch=epoch)

    def restore(self) -> None:
        """Give the network the selected weights back."""
        _load(self.classifier, self.folder.best)


def open_subject(path: Path, on: str = "test", overrides: Sequence[str] = ()) -> Subject:
    """Build what a run trained, with the weights that it selected.

    Args:
        path: the run's folder.
        on: "test", "valid" or a folder of FOLDER/<class>/<image>.
        overrides: `key=value` for keys that do not change what the run is, such as where its data lies.

    Raises: ConfigError or DataError for a folder that is no run, a run without weights, and data that does not fit.
    """
    return build_subject(RunFolder(path), read_run(path, overrides), on)


def build_subject(folder: RunFolder, config: Configuration, on: str = "test") -> Subject:
    """Build what a run with this configuration trained. Args, Raises: as `open_subject`."""
    config = with_own_normalization(config)
    config = structs.replace(config, pretrained=False, weights_path=None, compile=False)  # the checkpoint has them all
    # a schedule that would be refused today may have trained it
    prepared = prepare(structs.replace(config, lr_scheduler=None, lr_scheduler_params={}))
    try:
        facts = folder.read_environment()
    except DamagedFile as damage:
        raise ConfigError(f"{folder.path}: {damage}") from None
    recorded = facts.get("data_fingerprint")
    if recorded not in (None, prepared.data.fingerprint):
        LOG.warning("%s: the data is not what this run was trained on: images, labels or boxes differ", folder.path)
    if changes := code_changes(facts, config, accepted=False):
        LOG.warning("%s: code has changed since this run was trained: %s", folder.path, in_words(changes))
    _refuse_other_classes(folder, prepared.data.data.classes)
    epoch = _load(prepared.classifier, folder.best)
    if not folder.is_finished:
        LOG.warning(
            "%s: this run is not finished: its best epoch so far is evaluated, epoch %d", folder.path, epoch + 1
        )
    alone = structs.replace(config, devices=1, num_nodes=1, strategy="auto")
    trainer = build_lightning(alone, enable_progress_bar=False, plugins=[LightningEnvironment()])
    device, precision = trainer.strategy.root_device, trainer.precision_plugin
    classifier: Any = precision.convert_module(prepared.classifier.eval()).to(device)
    if device.type == "cpu" and precision.precision == "32-true":  # up to twice as fast, scores the same to 1e-6
        classifier.to(memory_format=torch.channels_last)
    classifier.forward = _in_precision(classifier.forward, precision)
    part = choose_part(prepared.data, on)
    return Subject(folder, config, prepared.data, classifier, part, device, epoch, part.output(folder.path), precision)


def _in_precision(forward: Callable[[Tensor], Outputs], precision: Precision) -> Callable[[Tensor], Outputs]:
    """Return a classifier's forward pass in the arithmetic of its test."""

    def run(image: Tensor) -> Outputs:
        with precision.forward_context():
            return forward(precision.convert_input(image))

    return run


def _refuse_other_classes(folder: RunFolder, classes: Sequence[str]) -> None:
    """Raises: DataError if scores would be read as other classes, or characters, than those that were trained."""
    try:
        trained = folder.read_classes()
    except DamagedFile as damage:
        raise ConfigError(f"{folder.path}: {damage}") from None
    if trained is None or trained == tuple(classes):
        return
    pairs = itertools.zip_longest(trained, classes)
    place, (before, now) = next((place, pair) for place, pair in enumerate(pairs) if pair[0] != pair[1])
    raise DataError(
        f"{folder.path}: the data's {len(classes)} classes are not the {len(trained)} that this run was trained on "
        f"({folder.classes.name}): number {place} was {before!r}, is {now!r}"
    )


def _load(classifier: Classifier, path: Path) -> int:
    """Load weights and return their epoch.

    Raises: ConfigError if they are damaged, incomplete or not finite; DataError if they do not fit.
    """
    try:
        checkpoint = load_checkpoint(path, "state_dict", "epoch")
    except DamagedCheckpoint as damage:
        raise ConfigError(str(damage)) from None
    try:
        load_weights_of(classifier, checkpoint["state_dict"], path)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise DataError(
            f"{path}: the weights do not fit the data's {_num_classes(classifier)} classes: {reason}"
        ) from None
    return checkpoint["epoch"]


def _num_classes(classifier: Classifier) -> int:
    return classifier.judge_tally.num_classes


def _to(value: object, device: torch.device) -> object:
    return value.to(device) if isinstance(value, Tensor) else value
