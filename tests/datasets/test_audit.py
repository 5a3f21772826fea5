"""Leaks and gaps are told: a test image that is trained on, a class that never is."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from official_layouts import draw, encoded, write_rows

from datasets.audit import audit, shared_rows
from datasets.base import DataSet, ImageTable
from datasets.sets.parquet import parquet
from training import building

SHADES = {"train": (0, 50, 100, 150), "test": (200, 100, 50)}
SHARED = [(1, 2), (2, 1)]
LABELS = {"train": [0, 1, 0, 1], "test": [0, 0, 0]}


def files(root: Path) -> DataSet:
    tables = []
    for part, shades in SHADES.items():
        for k, shade in enumerate(shades):
            draw(root / part / f"{k}.jpg", shade)
        paths = [root / part / f"{k}.jpg" for k in range(len(shades))]
        tables.append(ImageTable(paths, np.array(LABELS[part])))
    return DataSet(("a", "b"), train=tables[0], test=tables[1])


def in_memory(root: Path) -> DataSet:
    tables = [
        ImageTable(np.full((len(shades), 4, 5), np.array(shades)[:, None, None], np.uint8), np.array(LABELS[part]))
        for part, shades in SHADES.items()
    ]
    return DataSet(("a", "b"), train=tables[0], test=tables[1])


def rows_of_parquet(root: Path) -> DataSet:
    for part, shades in SHADES.items():
        write_rows(root / f"{part}.parquet", [encoded(shade) for shade in shades], LABELS[part], ["a", "b"])
    return parquet(data_path=str(root))


@pytest.mark.parametrize("build", [files, in_memory, rows_of_parquet])
def test_images_in_both_parts_are_told_with_their_names(tmp_path: Path, build: Callable[[Path], DataSet]) -> None:
    data = build(tmp_path)
    assert shared_rows(data.train, data.test) == SHARED
    first = f"{data.test.name(1)} is {data.train.name(2)}, {data.test.name(2)} is {data.train.name(1)}"
    shared = f"2 test images are training images too, byte for byte, 1 of them with another label: {first}"
    assert audit(data)[-1] == shared


def test_only_files_of_a_common_size_are_read_and_the_answer_is_remembered(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = files(tmp_path)
    sizes = [[os.path.getsize(str(path)) for path in part.images] for part in (data.train, data.test)]
    read: list[Path] = []
    whole = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or whole(path))
    assert shared_rows(data.train, data.test) == SHARED
    common = set(sizes[0]) & set(sizes[1])
    assert len(read) == sum(size in common for part in sizes for size in part)
    assert shared_rows(data.train, data.test) == SHARED
    swapped = [(there, here) for here, there in sorted(SHARED, key=lambda pair: pair[1])]
    count = len(read)
    assert len(list((cache / "lossbench" / "shared").iterdir())) == 1
    assert shared_rows(data.test, data.train) == swapped
    assert len(read) == 2 * count
    draw(tmp_path / "test" / "1.jpg", 230)
    assert shared_rows(data.train, data.test) == SHARED[1:]


def test_a_damaged_memory_is_no_answer(tmp_path: Path, cache: Path) -> None:
    data = files(tmp_path)
    shared_rows(data.train, data.test)
    (stamp,) = (cache / "lossbench" / "shared").iterdir()
    for text in ("", "no json", "[1]", "null"):
        stamp.write_text(text)
        assert shared_rows(data.train, data.test) == SHARED


def test_files_that_cannot_be_read_are_left_to_the_check_of_images(tmp_path: Path) -> None:
    data = files(tmp_path)
    (tmp_path / "test" / "1.jpg").unlink()
    assert shared_rows(data.train, data.test) == SHARED[1:]


def test_arrays_of_other_shapes_share_nothing() -> None:
    flat, tall = (ImageTable(np.zeros((2, *shape), np.uint8), np.zeros(2, int)) for shape in ((2, 3), (3, 2)))
    assert shared_rows(flat, tall) == []


def test_a_class_without_training_images_is_told_by_name() -> None:
    images = np.arange(4, dtype=np.uint8)[:, None, None]
    data = DataSet(("a", "b", "c"), ImageTable(images[:2], np.array([1, 1])), ImageTable(images[2:], np.array([0, 2])))
    assert audit(data) == ("2 classes have no training image: a, c", "1 class has no test image: b")


def test_a_run_warns_and_keeps_the_note(tmp_path: Path, quick: Callable, caplog: pytest.LogCaptureFixture) -> None:
    rows_of_parquet(tmp_path)
    config = quick(dataset="parquet", data_path=tmp_path, valid_fraction=0.5, batch_size=2, image_size=16)
    with caplog.at_level(logging.WARNING, "lossbench"):
        notes = building.prepare(config).data.data.notes
    assert notes[-1].startswith("2 test images are training images too, byte for byte")
    assert f"parquet: {notes[-1]}" in caplog.text
