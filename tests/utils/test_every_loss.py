"""Every loss by name trains a network on real images, from the configuration to what the run leaves."""

from __future__ import annotations

import json
import math

import pyarrow.parquet as pq
import pytest

from losses import LOSSES
from utils import runner
from utils.lookup import load_entry

pytestmark = pytest.mark.usefixtures("plain_log")
PARAMS = {  # margins of a size that a few steps reach
    "BinaryOneSidedMarginLoss": "{lambda_min: 1, lambda_max: 6}",
    "OneSidedMarginLoss": "{lambda_min: 1, lambda_max: 6}",
}


@pytest.fixture
def no_pictures(monkeypatch):
    """Pictures take longer than training here and have tests of their own."""
    monkeypatch.setattr("utils.report.draw_results", lambda *arguments, **options: None)
    monkeypatch.setattr("utils.report.draw_augmentations", lambda *arguments: None)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_trains_on_digits(quick, no_pictures, name):
    few = load_entry(LOSSES[name]).num_classes or 4
    classes = ["3", "8", "0", "6"][:few]
    folder, summary = runner.train(
        quick(
            loss_function=name,
            loss_params=PARAMS.get(name, "{}"),
            classes=classes,
            num_epochs=1,
            batch_size=16,
            valid_fraction=0.3,
        )
    )
    table = pq.read_table(folder.predictions).to_pydict()
    right = sum(p == t for p, t in zip(table["prediction"], table["target"], strict=True))
    assert {*table["target"]} == {*range(few)}
    assert summary["test/accuracy"] == right / len(table["target"])
    assert summary["test/accuracy"] > 1.5 / few
    assert math.isfinite(summary["test/loss"])
    assert math.isfinite(summary["test/cross_entropy"])
    (row,) = folder.read_metrics()
    assert row["valid/accuracy"] == summary["valid/accuracy"]
    assert json.loads(folder.summary.read_text())["test/loss"] == summary["test/loss"]
