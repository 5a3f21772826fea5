"""A run that was never trained, built in a moment: an untrained network on handwritten digits."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import torch

from utils.building import prepare
from utils.evaluation.parts import choose_part
from utils.evaluation.subject import Subject
from utils.runs import RunFolder
from utils.schema import Configuration


def build_untrained(config: Configuration) -> Subject:
    """Return the subject of a run as if its first weights were the selected ones."""
    prepared = prepare(config)
    folder = RunFolder(Path(config.output_path) / "untrained")
    part = choose_part(prepared.data, "test")
    device = torch.device("cpu")
    return Subject(
        folder, config, prepared.data, prepared.classifier.eval(), part, device, 0, folder.path / "evaluation"
    )


def all_right(subject: Subject) -> Subject:
    """Return the subject with what the network says as the labels, so that it is right of every image."""
    stream = copy.copy(subject.part.stream)
    labels = stream.table.labels.copy()
    labels[subject.answers.index.numpy()] = subject.answers.prediction.numpy()
    stream.table = dataclasses.replace(stream.table, labels=labels)
    return dataclasses.replace(subject, part=dataclasses.replace(subject.part, stream=stream))
