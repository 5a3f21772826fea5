"""No label reaches a GPU that the head has no score for: there that is an assert of the device, without words."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from datasets import build_dataset
from datasets.base import DataSet, ImageTable
from datasets.data_module import DataModule
from losses.torch_losses import TorchLoss
from training import building, networks
from utils.types import ConfigError, DataError


def narrowed(by: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every network's head have fewer outputs than it was asked for, or more."""
    build = networks.build_model
    monkeypatch.setattr(
        networks, "build_model", lambda name, classes, *args, **kw: build(name, classes - by, *args, **kw)
    )


@pytest.mark.parametrize(
    ("loss", "classes"),
    [
        *(("CrossEntropyLoss", 9), ("CrossEntropyLoss", 11), ("OneSidedMarginLoss", 9), ("FocalLoss", 9)),
        ("OnlineLabelSmoothingLoss", 9),
    ],
)
def test_a_head_of_another_number_of_scores_is_reported_before_training(loss, classes, quick, monkeypatch) -> None:
    narrowed(10 - classes, monkeypatch)
    with pytest.raises(ConfigError, match=f"test_resnet with {loss} judges {classes} classes, the data has 10"):
        building.prepare(quick(loss_function=loss))


def soft_labels_only(self: TorchLoss, scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return scores.sum() if target.ndim == 1 else -(target * scores.log_softmax(dim=-1)).sum()


def test_soft_labels_of_another_width_are_told_before_training(quick: Any, monkeypatch) -> None:
    narrowed(1, monkeypatch)
    monkeypatch.setattr(TorchLoss, "forward", soft_labels_only)
    with pytest.raises(ConfigError, match="judges 9 classes, the data has 10"):
        building.prepare(quick(mixing="MixUp"))


@pytest.mark.parametrize("output_channels", [None, 24])
def test_a_head_of_another_width_still_has_a_score_for_every_class(output_channels: int | None, quick: Any) -> None:
    given = {} if output_channels is None else {"output_channels": output_channels}
    classifier = building.prepare(quick(architecture="ghostnet", image_size=32, **given)).classifier
    assert classifier.eval()(torch.zeros(2, 1, 32, 32)).scores.shape == (2, 10)
    assert classifier.head.in_features == (output_channels or 1280)


@pytest.mark.parametrize("label", [-1, 10, 2**40])
@pytest.mark.parametrize(("part", "name"), [("train", "training"), ("test", "test")])
def test_a_label_beyond_the_classes_is_reported_in_every_part(part, name, label, quick) -> None:
    data = build_dataset("digits")
    table = getattr(data, part)
    labels = table.labels.copy()
    labels[3] = label
    wrong = dataclasses.replace(data, **{part: dataclasses.replace(table, labels=labels)})
    message = rf"the {name} part has 1 labels outside 0 to 9, the 10 classes: image 3 \({label}\)"
    with pytest.raises(DataError, match=message):
        DataModule(quick(), wrong, (8, 8))


@pytest.mark.parametrize("label", [-1, 10])
@pytest.mark.parametrize("corruption", ["noisy_labels", "label_noise"])
def test_labels_that_are_wrong_on_purpose_are_checked_too(corruption: str, label: int, quick: Any, monkeypatch) -> None:
    def corrupt(*args: Any) -> np.ndarray:
        labels = build_dataset("digits").train.labels.copy()
        labels[:] = label
        return labels

    monkeypatch.setattr("datasets.label_noise.read_noisy_labels", corrupt)
    monkeypatch.setattr("datasets.label_noise.symmetric_noise", corrupt)
    value = "labels.npy" if corruption == "noisy_labels" else 0.5
    with pytest.raises(DataError, match=r"the training part has [\d]+ labels outside 0 to 9"):
        DataModule(quick(**{corruption: value}), build_dataset("digits"), (8, 8))


@pytest.mark.parametrize("text", [[0, 3], [-1, 0], [0, -2], [-1, -1]])
@pytest.mark.parametrize(("part", "name"), [("train", "training"), ("test", "test")])
def test_texts_of_other_characters_are_reported_in_every_part(part, name, text, quick) -> None:
    images = np.zeros((20, 8, 8), np.uint8)
    right = ImageTable(images, np.tile(np.array([[0, 2], [1, -1]]), (10, 1)))
    labels = right.labels.copy()
    labels[5] = text
    data = DataSet(("a", "b", "c"), right, right, kind="sequence")
    assert len(DataModule(quick(), data, (8, 8)).train_rows) == 18
    with pytest.raises(DataError, match=rf"the {name} part has 1 labels that are no text of the 3 characters"):
        DataModule(quick(), dataclasses.replace(data, **{part: dataclasses.replace(right, labels=labels)}), (8, 8))
