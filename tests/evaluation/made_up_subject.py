"""Runs that were never trained, and answers that nobody gave, for tests of what is computed from them."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import torch
from torch import Tensor

from configuration.schema import Configuration
from evaluation.images import open_part
from evaluation.subject import Answers, Subject
from losses import LOSSES
from runs.checkpoints import save_checkpoint
from runs.folder import run_folder
from training.building import prepare
from utils.lookup import load_entry

TEXTS = {
    **{"dataset": "made_up", "data_params": "{like: plates}", "image_size": "[24, 94]"},
    **{"architecture": "lprnet_small", "loss_function": "ConnectionistTemporalLoss", "batch_size": 8, "num_epochs": 1},
    "convert_to_grayscale": "false",
}
"""A run of a moment on made-up texts."""
LOSSES_OF_CLASSES = [name for name, entry in LOSSES.items() if load_entry(entry).kind == "image"]


def make_subject(config: Configuration, on: str = "test") -> Subject:
    """Return a run of this configuration with the weights it would begin with, as its epoch 0."""
    prepared = prepare(config)
    folder = run_folder(config, prepared.data.fingerprint)
    part = open_part(prepared.data, on)
    output = part.output(folder.path)
    output.mkdir(parents=True, exist_ok=True)
    subject = Subject(
        folder, config, prepared.data, prepared.classifier.eval(), part, torch.device("cpu"), epoch=0, output=output
    )
    keep(subject, 0, best=True)
    return subject


def keep(subject: Subject, epoch: int, best: bool = False) -> None:
    """Write the network's weights as those of an epoch, or as the selected ones."""
    path = subject.folder.best if best else subject.folder.kept(epoch)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint({"state_dict": subject.classifier.state_dict(), "epoch": epoch}, path)


def restore(subject: Subject) -> None:
    """Give the network its selected weights back."""
    with subject.at_epochs([]):
        pass


def scramble(subject: Subject, seed: int) -> None:
    """Give the network other weights."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in subject.classifier.network.parameters():
            parameter += 0.3 * parameter.std(correction=0) * torch.randn(parameter.shape, generator=generator)


def make_answers(
    log_probabilities: Tensor, target: Tensor, prediction: Tensor | None = None, index: Tensor | None = None
) -> Answers:
    """Return answers of these log-probabilities [N, K]; the prediction is their argmax unless it is given."""
    rows = torch.arange(len(target)) if index is None else index
    told = log_probabilities.argmax(dim=1) if prediction is None else prediction
    return Answers(rows, target, log_probabilities, torch.zeros(len(target), 1), told, log_probabilities)


def with_answers(subject: Subject, answers: Answers, validation: Answers | None = None) -> Subject:
    """Return the run as one that answers so."""
    changed = dataclasses.replace(subject)
    known: dict[str, Any] = {"answers": answers} | ({} if validation is None else {"validation": validation})
    vars(changed).update(known)  # where cached_property keeps them
    return changed


def random_answers(num_images: int, num_classes: int, seed: int = 0, sharpness: float = 2.0) -> Answers:
    """Return answers whose labels are drawn from softmax(scores / sharpness): overconfident by that temperature."""
    generator = torch.Generator().manual_seed(seed)
    scores = sharpness * 2 * torch.randn(num_images, num_classes, generator=generator, dtype=torch.float64)
    target = torch.multinomial((scores / sharpness).softmax(dim=1), 1, generator=generator).squeeze(1)
    return make_answers(scores.log_softmax(dim=1), target)


def all_right(subject: Subject) -> Subject:
    """Return the subject with what the network says as the labels, so that it is right of every image."""
    stream = copy.copy(subject.part.stream)
    labels = stream.table.labels.copy()
    labels[subject.answers.index.numpy()] = subject.answers.prediction.numpy()
    stream.table = dataclasses.replace(stream.table, labels=labels)
    return dataclasses.replace(subject, part=dataclasses.replace(subject.part, stream=stream))
