"""Boxes meet the sizes of their images, which are read once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from official_layouts import draw

from datasets.base import ImageTable
from datasets.readers.boxes import clip_boxes
from utils.types import DataError

BOXES = np.array([[0, 0, 30, 16], [2, 3, 8, 9]])


def table(folder: Path, banner: int = 0) -> ImageTable:
    for k in range(2):
        if not (folder / f"{k}.jpg").exists():
            draw(folder / f"{k}.jpg", 60 * k)
    return ImageTable([folder / f"{k}.jpg" for k in range(2)], np.array([0, 1]), BOXES, banner)


def boxes(clipped: ImageTable) -> list[list[int]]:
    assert clipped.boxes is not None
    return clipped.boxes.tolist()


def test_boxes_end_where_their_images_end(tmp_path: Path) -> None:
    (clipped,), notes = clip_boxes([table(tmp_path / "set")], [["first", "second"]])
    assert boxes(clipped) == [[0, 0, 20, 16], [2, 3, 8, 9]]
    assert notes == ("1 of 2 boxes reached outside their image and were clipped: set/0.jpg",)


def test_sizes_are_remembered_until_a_file_changes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    size = ImageTable.size
    monkeypatch.setattr(ImageTable, "size", lambda table, row: read.append(row) or size(table, row))
    for _ in range(2):
        assert boxes(clip_boxes([table(tmp_path)], [[""] * 2])[0][0])[0] == [0, 0, 20, 16]
    assert read == [0, 1]
    assert boxes(clip_boxes([table(tmp_path, banner=4)], [[""] * 2])[0][0])[0] == [0, 0, 20, 12]
    draw(tmp_path / "0.jpg", 5, (25, 9))
    assert boxes(clip_boxes([table(tmp_path)], [[""] * 2])[0][0])[0] == [0, 0, 25, 9]
    for stamp in (cache / "lossbench" / "sizes").iterdir():
        stamp.write_text("[1]")
    assert boxes(clip_boxes([table(tmp_path)], [[""] * 2])[0][0])[0] == [0, 0, 25, 9]


def test_images_that_cannot_be_read_and_boxes_without_area_are_listed(tmp_path: Path) -> None:
    damaged = table(tmp_path)
    (tmp_path / "1.jpg").write_bytes(b"no image")
    for _ in range(2):
        with pytest.raises(DataError, match=r"^1 images cannot be used:\n  .*1\.jpg"):
            clip_boxes([damaged], [[""] * 2])
    draw(tmp_path / "1.jpg", 60, (2, 16))
    with pytest.raises(DataError, match=r"^boxes without area .*:\n  .*1\.jpg: second in 2 x 16 pixels$"):
        clip_boxes([damaged], [["first", "second"]])
