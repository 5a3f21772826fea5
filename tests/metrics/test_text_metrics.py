"""Counts of texts: whole ones, their characters, their probability; what of them goes into files and pictures."""

from __future__ import annotations

import csv
import random

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from losses.contract import REJECTED, Sequences
from losses.ctc import text_costs
from metrics import (
    ALL_METRICS,
    KINDS,
    MONITORS,
    TALLIES,
    TRAINING_METRICS,
    lower_is_better,
    metric_entries,
    tally_for,
)
from metrics.sequences import TextTally, edit_distances, same_texts
from models import MODULES
from runs import outcomes
from runs.folder import RunFolder
from runs.outcomes import OUTCOMES, align
from training.losses import build_loss

CLASSES = ("皖", "A", "B", "1", "2")
STEPS = 6
TARGETS = [[0, 1, 3], [0, 2, 4, 4], [1], [0, 1, 3]]
READ = [[0, 1, 3], [0, 2, 4], [], [1, 1, 3, 3]]
"""Right; one missing; nothing read; one changed and one too much."""


def padded(rows: list[list[int]], width: int = STEPS) -> torch.Tensor:
    return torch.tensor([[*row, *[REJECTED] * (width - len(row))] for row in rows])


def log_p() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(len(TARGETS), STEPS, len(CLASSES) + 1, generator=generator).log_softmax(dim=-1)


def counted(*parts: slice, judge: bool = True) -> dict[str, float]:
    tally = TextTally(len(CLASSES), judge=judge)
    target = padded(TARGETS, 4)
    for part in parts:
        log_probabilities = log_p()[part] if judge else None
        size = len(target[part])
        tally.update(torch.tensor(float(size)), padded(READ)[part], Sequences.of(target[part]), log_probabilities)
    return tally.compute()


def distance(a: list[int], b: list[int]) -> int:
    """The definition, by recursion."""
    if not a or not b:
        return len(a) + len(b)
    return min(distance(a[1:], b) + 1, distance(a, b[1:]) + 1, distance(a[1:], b[1:]) + (a[0] != b[0]))


def test_edit_distances_are_those_of_the_definition():
    draw = random.Random(0)
    pairs = [[[draw.randrange(3) for _ in range(draw.randrange(6))] for _ in range(2)] for _ in range(60)]
    read, target = (padded([pair[k] for pair in pairs], 5 + k) for k in range(2))
    expected = [distance(*pair) for pair in pairs]
    assert edit_distances(read, target).tolist() == expected
    for one, other in ((read, target), (target, read)):
        assert same_texts(one, other).tolist() == [found == 0 for found in expected]
    assert 0 < expected.count(0) < len(expected)


def test_metrics_of_texts_are_what_their_names_say():
    found = counted(slice(None))
    assert found == {
        "loss": 4.0,
        "cross_entropy": pytest.approx(text_costs(log_p(), Sequences.of(padded(TARGETS, 4))).mean().item()),
        "accuracy": 0.25,
        "character_error_rate": pytest.approx((0 + 1 + 1 + 2) / 11),
        "rejected": 0.25,
    }


def test_metrics_of_texts_do_not_depend_on_the_batches():
    whole, apart = counted(slice(None)), counted(slice(0, 1), slice(1, 4))
    assert apart == pytest.approx(whole | {"loss": (1 * 1 + 3 * 3) / 4})


def test_training_counts_whole_texts_only():
    assert counted(slice(None), judge=False) == {"loss": 4.0, "accuracy": 0.25}
    assert tuple(metric_entries("sequence", judge=False)) == TRAINING_METRICS


def test_every_kind_has_its_tally_metrics_and_outcomes():
    assert KINDS.keys() == TALLIES.keys() == OUTCOMES.keys() == MODULES.keys()
    for kind in KINDS:
        assert tally_for(kind).kind == kind
        assert {"loss", "accuracy", "rejected", "cross_entropy"} <= KINDS[kind].keys()
    assert ALL_METRICS.keys() == {name for metrics in KINDS.values() for name in metrics}
    assert "valid/character_error_rate" in MONITORS
    assert lower_is_better("valid/character_error_rate")


def test_padding_goes_and_comes():
    sequences = Sequences.of(padded(TARGETS))
    assert sequences.lengths.tolist() == [3, 4, 1, 3]
    assert sequences.labels[2].tolist() == [1, 0, 0, 0, 0, 0]
    assert torch.equal(sequences.padded(), padded(TARGETS))


@pytest.mark.parametrize(
    ("target", "read", "expected"),
    [
        ([1, 2, 3], [1, 4, 3], [(0, 1, 1), (1, 2, 4), (2, 3, 3)]),
        ([1, 2, 3], [1, 3], [(0, 1, 1), (1, 2, -1), (2, 3, 3)]),
        ([1, 2], [1, 3, 2], [(0, 1, 1), (1, -1, 3), (1, 2, 2)]),
        ([1, 2], [1, 2, 4], [(0, 1, 1), (1, 2, 2), (1, -1, 4)]),
        ([1, 2], [], [(0, 1, -1), (1, 2, -1)]),
    ],
)
def test_what_is_read_is_matched_with_what_is_written(target, read, expected):
    assert align(target, read) == expected


@pytest.fixture
def outputs() -> dict[str, torch.Tensor]:
    return {"target": padded(TARGETS, 4), "prediction": padded(READ), "scores": log_p()}


def test_predictions_hold_texts_their_probability_and_all_scores(outputs):
    columns = OUTCOMES["sequence"].columns(build_loss("ConnectionistTemporalLoss"), outputs, CLASSES)
    assert columns["target"].to_pylist() == ["皖A1", "皖B22", "A", "皖A1"]
    assert columns["prediction"].to_pylist() == ["皖A1", "皖B2", "", "AA11"]
    expected = (-text_costs(log_p(), Sequences.of(padded(READ)))).exp()
    np.testing.assert_allclose(columns["probability"].to_numpy(), expected.numpy(), rtol=1e-5)
    assert pa.types.is_float32(columns["probability"].type)
    assert np.array(columns["scores"].to_pylist()).shape == (4, STEPS, len(CLASSES) + 1)
    np.testing.assert_allclose(np.array(columns["scores"].to_pylist()), outputs["scores"].numpy())


def test_scores_too_large_for_a_file_are_left_out_and_it_is_told(outputs, monkeypatch, plain_log, caplog):
    monkeypatch.setattr(outcomes, "LARGEST_SCORES", 4 * STEPS * 6 * 4 - 1)
    columns = OUTCOMES["sequence"].columns(build_loss("ConnectionistTemporalLoss"), outputs, CLASSES)
    assert list(columns) == ["target", "prediction", "probability"]
    assert caplog.messages == ["predictions.parquet holds no scores: they would be 0.0 GB"]


@pytest.mark.filterwarnings("ignore:Glyph")
def test_mistakes_are_drawn_and_written_place_by_place(outputs, tmp_path):
    folder = RunFolder(tmp_path)
    OUTCOMES["sequence"].draw_mistakes(outputs, CLASSES, folder)
    for name in ("confusion", "places"):
        with Image.open(folder.picture(name)) as picture:
            assert picture.size[0] > 400
    with folder.confusions.open(encoding="utf-8", newline="") as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    assert rows[:3] == [("1", "皖", "皖", "2"), ("1", "A", "", "1"), ("1", "皖", "A", "1")]
    assert ("4", "2", "", "1") in rows
    assert sum(int(count) for *_, count in rows) == 12
