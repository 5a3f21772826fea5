"""Labels that are texts: padded in the table, counted in the target, refused where only a class makes sense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from official_layouts import write_plates

import train
from datasets.audit import audit
from datasets.base import DataSet, ImageTable
from datasets.data_module import DataModule
from datasets.sequences import (
    encode_texts,
    example_targets,
    label_in_words,
    same_label,
    targets,
    text_problems,
)
from datasets.stream.loader import ResumableLoader
from datasets.stream.sampling import ClassBalancedBatches
from losses.base import ClassificationLoss
from losses.contract import Batch, Sequences
from tests.conftest import pictures
from training import building, checks, report
from utils.types import ConfigError, DataError

LPRNET = ("architecture=lprnet_small", "loss_function=ConnectionistTemporalLoss", "select_on=test", "batch_size=2")
CLASSES = ("A", "B", "1", "2")
TEXTS = ["B12", "A", "2211", "AB"]
LABELS = [[1, 2, 3, -1], [0, -1, -1, -1], [3, 3, 2, 2], [0, 1, -1, -1]]


def table(texts: list[str], first_pixel: int = 0) -> ImageTable:
    """Every pixel of image i is first_pixel + i."""
    pixels = (first_pixel + np.arange(len(texts))).astype(np.uint8)
    labels = encode_texts(texts, CLASSES)
    return ImageTable(np.tile(pixels[:, None, None], (1, 24, 94)), labels, strata=labels[:, 0])


@pytest.fixture
def data() -> DataSet:
    return DataSet(CLASSES, table(TEXTS * 5), table(["B2", "1"], 100), kind="sequence")


@pytest.fixture
def module(quick: Callable, data: DataSet) -> Callable[..., DataModule]:
    """Return a function that builds the data of a run on texts."""

    def build(data_set: DataSet = data, sampling: str = "shuffle", **changes: Any) -> DataModule:
        return DataModule(quick(batch_size=8, **changes), data_set, (24, 94), sampling=sampling, group_size=2)

    return build


def test_texts_are_rows_of_labels_padded_to_the_longest() -> None:
    labels = encode_texts(TEXTS, CLASSES)
    assert labels.dtype == np.int64
    assert labels.tolist() == LABELS
    assert [label_in_words(table(TEXTS), row, CLASSES) for row in range(4)] == TEXTS
    chosen = table(TEXTS).select(np.array([2, 0]))
    assert [label_in_words(chosen, row, CLASSES) for row in range(2)] == ["2211", "B12"]
    long, short = table(["A1", "2211"]), table(["A1", "A2"])  # compared without their padding
    assert same_label(long, 0, short, 0)
    assert not same_label(long, 0, short, 1)


def test_targets_hold_zeros_for_padding_and_the_lengths_of_texts() -> None:
    whole = targets(table(TEXTS), np.array([0, 1]))
    assert isinstance(whole, Sequences)
    assert whole.labels.tolist() == [[1, 2, 3, 0], [0, 0, 0, 0]]
    assert whole.lengths.tolist() == [3, 1]
    one = targets(table(TEXTS), 2)
    assert (one[0].tolist(), one[1].tolist()) == ([3, 3, 2, 2], 4)
    assert whole.labels.dtype == whole.lengths.dtype == one[1].dtype == torch.int64
    ends = example_targets(table(TEXTS), 4)
    assert isinstance(ends, Sequences)
    assert (ends.labels.tolist(), ends.lengths.tolist()) == ([[0], [3]], [1, 1])
    images = ImageTable(np.zeros((3, 2, 2), np.uint8), np.array([4, 0, 2]))
    assert torch.equal(torch.as_tensor(targets(images, np.array([2, 0]))), torch.tensor([2, 4]))
    assert torch.equal(torch.as_tensor(targets(images, 0)), torch.tensor(4))
    assert torch.equal(torch.as_tensor(example_targets(images, 5)), torch.tensor([0, 4]))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_joins_texts_beside_their_images(module: Callable[..., DataModule], workers: int) -> None:
    data = module()
    batches = data.epoch_batches()
    options: dict = {"num_workers": workers, "collate_fn": data.train_stream.finish}
    loader = ResumableLoader(data.train_stream, batches, lambda: (0, 0), **options)
    batch: Batch = next(iter(loader))
    assert isinstance(batch.target, Sequences)
    assert batch.target.labels.shape == (8, 4)
    for row, labels, length in zip(batch.index.tolist(), *map(torch.Tensor.tolist, batch.target), strict=True):
        text = TEXTS[row % 4]
        assert [CLASSES[label] for label in labels[:length]] == list(text)
        assert labels[length:] == [0] * (4 - len(text))
    loaded = data.train_stream.__getitems__([(0, 0), (0, 1)])
    moved = data.transfer_batch_to_device(loaded, torch.device("meta"), 0)
    assert isinstance(moved.target, Sequences)
    assert {part.device.type for part in moved.target} == {"meta"}


def test_validation_holds_out_a_share_of_each_first_character(module: Callable[..., DataModule], data: DataSet) -> None:
    strata = data.train.strata
    assert strata is not None
    assert strata[:4].tolist() == [1, 0, 3, 0]
    runs = [module(valid_fraction=0.4, seed=seed) for seed in (0, 0, 1)]
    for run in runs:
        held = strata[run.valid_rows]
        assert np.bincount(held, minlength=4).tolist() == [4, 2, 0, 2]
    assert np.array_equal(runs[0].valid_rows, runs[1].valid_rows)
    assert not np.array_equal(runs[0].valid_rows, runs[2].valid_rows)


def test_the_fingerprint_follows_the_texts(module: Callable[..., DataModule], data: DataSet) -> None:
    changed = DataSet(CLASSES, table(["B11", *TEXTS[1:], *TEXTS * 4]), data.test, kind="sequence")
    same = DataSet(CLASSES, table(TEXTS * 5), data.test, kind="sequence")
    assert module(same).fingerprint == module().fingerprint != module(changed).fingerprint


@pytest.mark.parametrize("labels", [[-1, -1], [0, 4], [-1, 1], [1, -2]])
def test_labels_that_are_no_texts_are_told_with_the_image(
    module: Callable[..., DataModule], data: DataSet, labels: list[int]
) -> None:
    wrong = ImageTable(data.test.images, np.array([[0, 3], labels]))
    problems = text_problems("test", wrong, 4)
    expected = "the test part has 1 labels that are no text of the 4 characters, 0 to 3, with -1 after it: image 1 "
    assert problems == [f"{expected}{labels}"]
    with pytest.raises(DataError, match="are no text of the 4 characters"):
        module(DataSet(CLASSES, data.train, wrong, kind="sequence"))


def test_the_audit_tells_shared_images_and_characters_never_trained_on() -> None:
    data = DataSet(CLASSES, table(["A1", "1111"]), table(["A1", "B"]), kind="sequence")
    shared = "2 test images are training images too, byte for byte, 1 of them with another label: "
    assert audit(data) == (
        "2 characters have no training image: B, 2",
        f"{shared}image 0 is image 0, image 1 is image 1",
    )


def test_balanced_classes_are_refused(module: Callable[..., DataModule], data: DataSet) -> None:
    message = "^loss_function: asks for batches of balanced classes; the images show texts instead"
    with pytest.raises(ConfigError, match=message):
        module(sampling="class_balanced").epoch_batches()
    with pytest.raises(ConfigError, match=message):
        ClassBalancedBatches(data.train.labels, 8, 0, group_size=2)
    assert len(module(sampling="repeated").epoch_batches()) == len(module().epoch_batches())


def test_figures_name_the_text(
    module: Callable[..., DataModule], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[str]] = []
    monkeypatch.setattr(report, "plot_augmentations", lambda originals, views, labels, path: drawn.append(labels))
    data = module()
    with pictures():
        report.draw_augmentations(data, tmp_path / "a.png", num_samples=3, num_views=1)
    rows = data.train_rows[[0, (len(data.train_rows) - 1) // 2, len(data.train_rows) - 1]]
    assert drawn == [[TEXTS[row % 4] for row in rows]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["architecture=lprnet"], "loss_function: CrossEntropyLoss judges images, plates holds sequences"),
        (["architecture=resnet18"], "architecture: resnet18 is for images, plates holds sequences"),
        (["classes=[A,P]"], "classes: leave it out: the data holds sequences, whose classes are characters"),
        (["data_params.alphabet=AAP"], "data_params.alphabet: 'A' stands 2 times"),
        (["data_params.alphabet=[A, P]"], "data_params.alphabet: must be a text or null, got ['A', 'P']"),
        (
            [*LPRNET, "monitor=valid/f1"],
            "monitor: plates holds sequences, which have loss, cross_entropy, accuracy, character_error_rate, rejected",
        ),
        (
            [*LPRNET, "loss_params.beam_width=0"],
            "ConnectionistTemporalLoss refuses them: beam_width must be >= 1, got 0",
        ),
        (
            [*LPRNET, "image_size=[24,44]"],
            "px cannot read 2 labels: {root}/0.jpg: '京PL3N67' needs 7 steps, there are 6, {root}/1.jpg: '川JK0707' "
            "needs 7 steps, there are 6",
        ),
    ],
)
def test_what_does_not_fit_texts_ends_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: list[str], message: str
) -> None:
    plates = write_plates(tmp_path)
    folders = [f"data_path={plates}", f"output_path={tmp_path}/o", f"logging_dir={tmp_path}/logs"]
    assert train.main(["--check", "dataset=plates", "image_size=[24,94]", *folders, *settings]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning: plates: ")]
    assert len(errors) == 1
    assert errors[0].endswith(message.replace("{root}", str(plates)))


def test_texts_too_long_and_images_that_do_not_decode_are_told_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plates = write_plates(tmp_path)
    (plates / "3.jpg").write_bytes(b"no picture")
    settings = ["dataset=plates", f"data_path={plates}", f"output_path={tmp_path}/o", f"logging_dir={tmp_path}/logs"]
    assert train.main(["--check", *settings, *LPRNET, "image_size=[24,44]"]) == 2
    told = capsys.readouterr().err
    assert "cannot read 2 labels" in told
    assert "images cannot be used" in told
    assert str(plates / "3.jpg") in told


class SequenceLoss(ClassificationLoss):
    """Stands for a loss that judges texts."""

    kind = "sequence"


class BalancedSequenceLoss(SequenceLoss):
    sampling = "class_balanced"


@pytest.mark.parametrize(
    ("loss", "changes", "message"),
    [
        (SequenceLoss, {"label_noise": 0.5}, "label_noise: replaces classes, plates holds sequences"),
        (BalancedSequenceLoss, {}, "loss_function: asks for batches of balanced classes; the images show texts"),
        (SequenceLoss, {"mixing": "MixUp"}, "mixing: CrossEntropyLoss judges sequences, MixUp mixes images"),
    ],
)
def test_a_loss_for_texts_meets_no_settings_for_classes(
    quick: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    loss: type[ClassificationLoss],
    changes: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setattr(checks, "build_loss", lambda name, task, **params: loss(task))
    monkeypatch.setattr(building, "build_for_network", lambda config, task, network: loss(task))
    monkeypatch.setattr(building, "build_run_loss", lambda config, task, classes, network: loss(task))
    plates = {"dataset": "plates", "data_path": write_plates(tmp_path), "architecture": "lprnet_small"}
    sizes = {"convert_to_grayscale": "false", "image_size": "[24, 94]", "batch_size": 2, "select_on": "test"}
    with pytest.raises(ConfigError, match=message):
        building.prepare(quick(**plates, **sizes, **changes))
