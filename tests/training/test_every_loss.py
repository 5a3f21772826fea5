"""Every loss by name trains a network on real images, from the configuration to what the run leaves."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from configuration.schema import Configuration
from losses import LOSSES
from runs.checkpoints import load_checkpoint
from runs.folder import RunFolder
from training import runner
from utils.lookup import load_entry
from utils.types import ConfigError

pytestmark = pytest.mark.usefixtures("plain_log")
PARAMS = {  # margins of a size that a few steps reach
    "OneSidedMarginLoss": "{lambda_min: 1, lambda_max: 6}",
}


@pytest.fixture
def small(quick) -> Callable[..., Configuration]:
    """Return a function that reads a configuration of one epoch on a few classes."""

    def read(num_classes: int = 4, **changes) -> Configuration:
        classes = ["3", "8", "0", "6"][:num_classes]
        return quick(**({"classes": classes, "num_epochs": 1, "batch_size": 16, "valid_fraction": 0.3} | changes))

    return read


OF_TEXTS = [name for name in LOSSES if load_entry(LOSSES[name]).kind == "sequence"]


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in OF_TEXTS])
def test_every_loss_of_images_trains_on_digits(small, name):
    few = load_entry(LOSSES[name]).num_classes or 4
    folder, summary = runner.train(small(few, loss_function=name, loss_params=PARAMS.get(name, "{}")))
    table = check_what_is_left(folder, summary)
    assert {*table["target"]} == {*range(few)}
    assert summary["test/accuracy"] > 1.3 / few


@pytest.mark.parametrize("name", OF_TEXTS)
def test_every_loss_of_texts_trains_on_stripes(quick, name):
    texts = {"dataset": "made_up", "data_params": "{like: plates, num_classes: 3}", "architecture": "lprnet_small"}
    sizes = {"convert_to_grayscale": "false", "num_epochs": 12, "batch_size": 8, "optimizer_params__lr": 0.02}
    folder, summary = runner.train(quick(loss_function=name, select_on="test", dropout=0, **texts, **sizes))
    table = check_what_is_left(folder, summary)
    assert {len(text) for text in table["target"]} == {5}
    assert {*"".join(table["target"])} == {*"ABC"}
    assert summary["test/character_error_rate"] < 0.5
    assert {len(steps) for steps in table["scores"]} == {18}


def check_what_is_left(folder: RunFolder, summary: dict[str, Any]) -> dict[str, list]:
    """Check that a run's files say the same; return its predictions."""
    table = pq.read_table(folder.predictions).to_pydict()
    right = sum(p == t for p, t in zip(table["prediction"], table["target"], strict=True))
    assert summary["test/accuracy"] == right / len(table["target"])
    assert math.isfinite(summary["test/loss"])
    assert math.isfinite(summary["test/cross_entropy"])
    row = folder.read_metrics()[-1]
    assert row["valid/accuracy"] == summary["valid/accuracy"] or summary["selected_epoch"] != row["epoch"]
    assert json.loads(folder.summary.read_text())["test/loss"] == summary["test/loss"]
    return table


def test_a_trained_network_teaches_its_like(small):
    taught, first = runner.train(small())
    params = f"{{mode: self, teacher_path: {taught.best}}}"
    folder, second = runner.train(small(loss_function="TeacherFreeDistillationLoss", loss_params=params))
    teacher, kept = (load_checkpoint(each.best)["state_dict"] for each in (taught, folder))
    names = [name for name in teacher if name.startswith("network.")]
    assert names
    for name in names:
        assert torch.equal(kept[name.replace("network.", "loss.teacher.", 1)], teacher[name]), name
    assert second["test/accuracy"] > 0.5
    assert second["num_parameters"] == first["num_parameters"]


OTHER_TEACHERS: list[tuple[dict[str, Any], str]] = [
    ({"num_classes": 3}, ".* last layer.* the same"),
    ({"loss_function": "LargeMarginSoftmaxLoss"}, ".* last layer.* the same"),
    ({"loss_function": "OneSidedMarginLoss"}, "was trained by OneSidedMarginLoss"),  # whose lowest score wins
]


def test_a_teacher_of_other_classes_a_last_layer_of_its_own_or_another_reading_is_refused(small):
    for change, message in OTHER_TEACHERS:
        other, _ = runner.train(small(**change))
        params = f"{{mode: self, teacher_path: {other.best}}}"
        with pytest.raises(ConfigError, match=rf"command line: loss_params\.teacher_path: {message}"):
            runner.train(small(loss_function="TeacherFreeDistillationLoss", loss_params=params))


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("CenterLoss", "{base: HingLoss}", r"command line: loss_params\.base: unknown loss 'HingLoss'; did you mean"),
        ("CenterLoss", "{base: HingeLoss, base_params: {a: 1}}", r"command line: loss_params\.base_params\.a: unknown"),
        ("BinaryCrossEntropyLoss", "{}", r"command line: loss_function: .* tells two classes apart, the data has 4"),
        (
            "CenterLoss",
            "{base: BinaryCrossEntropyLoss}",
            r"command line: loss_params\.base: .* two classes apart",
        ),
        ("TeacherFreeDistillationLoss", "{mode: self, teacher_path: gone.ckpt}", r"params\.teacher_path: .*gone\.ckpt"),
        ("BeYourOwnTeacherLoss", "{stages: [-9]}", r"command line: loss_params\.stages: the architecture has no"),
    ],
)
def test_what_does_not_fit_the_run_is_told_with_its_place(small, name, params, message):
    with pytest.raises(ConfigError, match=message):
        runner.train(small(loss_function=name, loss_params=params))
