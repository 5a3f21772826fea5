"""Predictions of runs from elsewhere: what cannot be paired is named, and nothing is read beyond memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from leaving import CE, OSM, contrast, leave, leave_losses, study, text_of


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"right": [True] * 99}, "other test images"),
        ({"right": [True] * 100, "targets": [1] * 100}, "other test images"),
        ({"right": [True] * 100, "targets": ["A1"] * 100}, "other test images"),
        ({"accuracy": 0.9}, "no predictions"),
    ],
)
def test_runs_of_other_images_are_not_paired(tmp_path, other, reason):
    leave(tmp_path, CE, right=[True] * 100)
    leave(tmp_path, OSM, **other)
    found = contrast(study(tmp_path), "OneSidedMarginLoss")
    assert found.over_images is None
    assert (found.reason, found.verdict) == (reason, "not testable")
    assert f" not testable: n = 1, {reason}\n" in text_of(study(tmp_path))
    assert f"no test over images in 1 of 1: {found.detail}" in text_of(study(tmp_path))
    assert "-s0-" in found.detail
    assert f" has {reason}" in found.detail


def test_damaged_predictions_are_named(tmp_path):
    leave(tmp_path, CE, right=[True] * 10)
    leave(tmp_path, OSM, right=[True] * 10).predictions.write_bytes(b"PAR1")
    found = contrast(study(tmp_path), "OneSidedMarginLoss")
    assert found.reason == "unreadable predictions"
    assert "cannot be read" in found.detail


def zeros(rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.nulls(rows, pa.int32()).fill_null(0), [0]).dictionary_decode()


def words(rows: int, length: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.nulls(rows, pa.int32()).fill_null(0), ["x" * length])


def reason_of(tmp_path: Path, columns: dict[str, pa.Array]) -> str:
    """Compare a sound run with one of such predictions, and return why they are not paired."""
    leave(tmp_path, CE, right=[True] * 10)
    file = leave(tmp_path, OSM, right=[True] * 10).predictions
    pq.write_table(pa.table(columns), file, compression="zstd")
    assert file.stat().st_size < 200_000
    found = contrast(study(tmp_path), "OneSidedMarginLoss")
    assert (found.over_images, found.reason) == (None, "unreadable predictions")
    return found.detail.removeprefix(f"{file}: ")


def refuse_many(read: Callable[..., pa.Table], rows: int) -> Callable[..., pa.Table]:
    def reading(self: pq.ParquetFile, *arguments: Any, **options: Any) -> pa.Table:
        assert self.metadata.num_rows < rows, "was read"
        return read(self, *arguments, **options)

    return reading


def test_a_small_file_of_more_predictions_than_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    rows = 4_000_000  # stored once, with how often
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PHYS_PAGES": 100 << 20, "SC_PAGE_SIZE": 1}[name])
    monkeypatch.setattr(pq.ParquetFile, "read", refuse_many(pq.ParquetFile.read, rows))
    told = reason_of(tmp_path, {name: zeros(rows) for name in ("index", "target", "prediction")})
    assert told == "0.2 GB, more than this machine's memory of 0.1 GB"


def test_predictions_of_two_runs_are_added_up(tmp_path, monkeypatch):
    rows = 100_000  # 4.8 MB to read one run's, 0.1 MB to keep them
    for loss in (CE, OSM):
        leave(tmp_path, loss, right=[True] * rows)
    for memory, reason in ((5.0, ""), (4.85, "unreadable predictions")):
        size = {"SC_PHYS_PAGES": int(memory * 10**6), "SC_PAGE_SIZE": 1}
        monkeypatch.setattr("os.sysconf", size.__getitem__)
        assert contrast(study(tmp_path), "OneSidedMarginLoss").reason == reason


def test_texts_are_refused_that_would_each_take_what_the_longest_takes(tmp_path):
    rows, length = 40_000, 10**7
    columns = {"index": pa.array(range(rows)), "target": words(rows, length), "prediction": words(rows, length)}
    assert reason_of(tmp_path, columns).startswith("3,200.0 GB, more than this machine's memory of ")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"index": [0], "target": [1]}, "has not one column each of index, target, prediction"),
        ({"index": [0], "target": [1.5], "prediction": [1.5]}, "no predictions of classes or texts"),
        ({"index": [0], "target": [1], "prediction": ["a"]}, "no predictions of classes or texts"),
        ({"index": [0], "target": [[1]], "prediction": [[1]]}, "no predictions of classes or texts"),
        ({"index": [0, 0], "target": [1, 1], "prediction": [1, 1]}, "an image stands twice"),
    ],
)
def test_what_is_no_table_of_predictions_is_named(tmp_path, columns, told):
    assert reason_of(tmp_path, {name: pa.array(values) for name, values in columns.items()}) == told


def test_bytes_that_are_no_text_are_named(tmp_path):
    texts = pa.array([b"\xff"]).view(pa.string())
    told = reason_of(tmp_path, {"index": pa.array([0]), "target": texts, "prediction": texts})
    assert told.startswith("cannot be read: ")
    assert "Invalid UTF8" in told


def test_predictions_that_are_a_pipe_are_not_waited_for(tmp_path):
    leave(tmp_path, CE, right=[True] * 10)
    os.mkfifo(leave(tmp_path, OSM).predictions)
    assert contrast(study(tmp_path), "OneSidedMarginLoss").detail.endswith("cannot be read: no regular file")


def test_predictions_are_not_read_where_no_test_of_them_is_asked_for(tmp_path, monkeypatch):
    leave_losses(tmp_path)
    monkeypatch.setattr("comparison.predictions.read_predictions", lambda *_: pytest.fail("predictions were read"))
    for options in ({"tests": "seeds"}, {"tests": "none"}, {"metric": "test/cross_entropy"}):
        assert len(study(tmp_path, **options).cells) == 2
    monkeypatch.setattr("comparison.panels.MOST_AUTOMATIC", 0)
    assert study(tmp_path).not_tested.startswith("1 comparisons, so tested over seeds only")
