"""The subject of an evaluation: a trained run with its network, its data, and its answers for the images."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
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
from evaluation.images import Part, open_part
from evaluation.requests import read_run
from losses.contract import Batch, Outputs, Sequences
from models.classifier import Classifier
from runs.checkpoints import DamagedCheckpoint, load_checkpoint, load_weights_of
from runs.code import code_changes, in_words
from runs.folder import DamagedFile, RunFolder
from training.building import prepare
from training.networks import with_own_normalization
from training.trainer import build_lightning
from utils.types import ConfigError, DataError

LOG = logging.getLogger("lossbench")


@dataclasses.dataclass(frozen=True)
class Answers:
    """A network's answers for N images, on the CPU, in the order of the stream.

    Shapes: index [N], row in the table; target [N]; scores [N, K] float32; features [N, D] float32; prediction [N],
    REJECTED for none of the classes; log_probabilities [N, K]. Of texts: target [N, L] and prediction [N, T],
    padded with REJECTED; scores [N, T, K]; log_probabilities [N, T, K + 1], the blank last.
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
        epoch: epoch of the network's weights, counted from 0; the selected one outside of `at_epochs`.
        output: folder of the evaluation.
        precision: arithmetic of the classifier's scores; code that calls parts of the network enters its context.
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
        """Answers for the part's images."""
        return self.ask(self.part.stream, f"{self.part.name} images")

    @cached_property
    def validation(self) -> Answers:
        """Answers for the validation images, to fit parameters on."""
        return self.answers if self.part.name == "valid" else self.ask(self.data.valid_stream, "valid images")

    @torch.no_grad()
    def ask(self, stream: ImageStream, label: str) -> Answers:
        """Return the network's answers for a stream's images.

        Args: label: names them in the progress bar and in the error.
        Raises: DataError if scores are NaN, of which no number of an evaluation would be right.
        """
        rows: list[tuple[Tensor, ...]] = []
        for batch in self.batches(stream, label):
            outputs = self.classifier(batch.image[:, 0])
            target = batch.target.padded() if isinstance(batch.target, Sequences) else batch.target
            row: Any = (batch.index, target, outputs.scores, outputs.features.flatten(1).float())
            rows.append(tuple(tensor.cpu() for tensor in (*row, *self.judge(outputs.scores))))
        answers = Answers(*(torch.cat(column) for column in zip(*rows, strict=True)))
        if bad := int(answers.scores.flatten(1).isnan().any(dim=1).sum()):
            text = "the training has diverged; retrain with a smaller learning rate (optimizer_params.lr)"
            raise DataError(
                f"{self.folder.path}: NaN among the scores of {bad:,} of {len(answers.scores):,} {label}: {text}"
            )
        return answers

    def judge(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss's own prediction and log-probabilities. Shapes: [B, K] -> [B], [B, K]."""
        loss = self.classifier.loss
        return loss.predict(scores), loss.log_probabilities(scores)

    def judge_views(self, images: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield prediction [B] and log-probabilities [B, K] of each view. Shapes: images [B, V, C, H, W]."""
        for view in images.unbind(1):
            yield self.judge(self.classifier(view).scores)

    def batches(self, stream: ImageStream, label: str) -> Iterator[Batch]:
        """Yield a stream's batches on the device, with a progress bar."""
        with progress(len(stream), label) as bar:
            for batch in self.load(stream):
                yield batch
                bar.update(len(batch.image))

    def load(self, stream: ImageStream) -> Iterator[Batch]:
        """Yield a stream's batches on the device."""
        for loaded in self.data.evaluation_loader(stream):
            moved = (value.to(self.device) if isinstance(value, Tensor) else value for value in loaded)
            yield stream.finish(type(loaded)(*moved))

    def original_images(self, positions: Iterable[int]) -> list[np.ndarray]:
        """Return images of the part before resizing, cropped to their boxes if the network sees them so.

        Shapes: uint8 [H, W, C].
        """
        return [self.part.stream.unresized(int(position)) for position in positions]

    def choose_epochs(self, epochs: Sequence[int] | None, key: str) -> list[int]:
        """Return the requested ones of the run's kept epochs, ascending; all of them for None.

        Raises: ConfigError, beginning with the key, for an epoch that was not kept.
        """
        kept = self.folder.kept_epochs()
        if epochs is None:
            return kept
        if missing := sorted({*epochs} - {*kept}):
            available = ", ".join(map(str, kept)) or "none, see keep_epochs"
            raise ConfigError(
                f"{key}: must be kept epochs of the run ({available}), got {', '.join(map(str, missing))}"
            )
        return sorted({*epochs})

    @contextlib.contextmanager
    def at_epochs(self, epochs: Sequence[int]) -> Iterator[Iterator[Subject]]:
        """Yield the run at each of its kept epochs, in one network; afterwards it has the selected weights again.

        Raises: ConfigError for damaged weights.
        """
        try:
            yield (dataclasses.replace(self, epoch=_load(self.classifier, self.folder.kept(epoch))) for epoch in epochs)
        finally:
            _load(self.classifier, self.folder.best)


def open_subject(path: Path, on: str = "test", overrides: Sequence[str] = ()) -> Subject:
    """Build the network and the data of a run, with its selected weights.

    Args:
        path: the run's folder.
        on: "test", "valid" or a folder of FOLDER/<class>/<image>.
        overrides: `key=value` for keys that do not change the run's identity, such as data_path.

    Raises: ConfigError or DataError for a folder that is not a run, a run without weights, and data that does not fit.
    """
    return build_subject(RunFolder(path), read_run(path, overrides), on)


def build_subject(folder: RunFolder, config: Configuration, on: str = "test") -> Subject:
    """Build the network and the data of a run by this configuration. Args, Raises: as `open_subject`."""
    fresh = {"pretrained": False, "weights_path": None, "compile": False}  # all weights are in the checkpoint
    config = structs.replace(with_own_normalization(config), **fresh)
    # the run may have a schedule that is refused today
    prepared = prepare(structs.replace(config, lr_scheduler=None, lr_scheduler_params={}))
    path, classes = folder.path, prepared.data.data.classes
    try:
        facts, trained = folder.read_environment(), folder.read_classes()
    except DamagedFile as damage:
        raise ConfigError(f"{path}: {damage}") from None
    recorded = facts.get("data_fingerprint")
    if recorded not in (None, prepared.data.fingerprint):
        LOG.warning("%s: the data is not what this run was trained on: images, labels or boxes differ", path)
    if changes := code_changes(facts, config, accepted=False):
        LOG.warning("%s: code has changed since this run was trained: %s", path, in_words(changes))
    if trained is not None and trained != tuple(classes):
        pairs = itertools.zip_longest(trained, classes)
        number, (before, now) = next((number, pair) for number, pair in enumerate(pairs) if pair[0] != pair[1])
        raise DataError(
            f"{path}: the data's {len(classes)} classes are not the {len(trained)} that this run was trained on "
            f"({folder.classes.name}): class {number} was {before!r}, is now {now!r}"
        )
    epoch = _load(prepared.classifier, folder.best)
    if not folder.is_finished:
        LOG.warning("%s: this run is not finished; evaluating its best epoch so far, epoch %d", path, epoch + 1)
    alone = structs.replace(config, devices=1, num_nodes=1, strategy="auto")
    trainer = build_lightning(alone, enable_progress_bar=False, plugins=[LightningEnvironment()])
    device, precision = trainer.strategy.root_device, trainer.precision_plugin
    classifier: Any = precision.convert_module(prepared.classifier.eval()).to(device)
    if device.type == "cpu" and precision.precision == "32-true":  # up to twice as fast, scores the same to 1e-6
        classifier.to(memory_format=torch.channels_last)
    forward = classifier.forward

    def forward_in_precision(image: Tensor) -> Outputs:
        with precision.forward_context():
            return forward(precision.convert_input(image))

    classifier.forward = forward_in_precision
    part = open_part(prepared.data, on)
    return Subject(folder, config, prepared.data, classifier, part, device, epoch, part.output(path), precision)


def _load(classifier: Classifier, path: Path) -> int:
    """Load weights and return their epoch.

    Raises: ConfigError if they are damaged, incomplete, of other shapes or not finite.
    """
    try:
        checkpoint = load_checkpoint(path, "state_dict", "epoch")
    except DamagedCheckpoint as damage:
        raise ConfigError(str(damage)) from None
    load_weights_of(classifier, checkpoint["state_dict"], path)
    return checkpoint["epoch"]
