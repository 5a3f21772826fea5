"""Tables of images, and a data set of some of its classes only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datasets.base import DataSet, ImageTable, keep_classes, table_by_class
from datasets.readers.files import Paths
from utils.types import ConfigError

CLASSES = ("ant", "bee", "cat", "dog")


def in_memory(labels: list[int]) -> ImageTable:
    """Every pixel of image i is i."""
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None].repeat(4, axis=1).repeat(4, axis=2)
    return ImageTable(images, np.array(labels))


def as_files(labels: list[int]) -> ImageTable:
    """Image i is the file i.jpg, its box starts at i."""
    boxes = np.arange(len(labels))[:, None] + np.array([0, 0, 5, 5])
    return ImageTable([Path(f"{i}.jpg") for i in range(len(labels))], np.array(labels), boxes)


def test_labels_follow_the_order_of_the_names():
    data = keep_classes(DataSet(CLASSES, in_memory([0, 1, 2, 3, 2]), in_memory([2, 0])), ["cat", "ant"])
    assert data.classes == ("cat", "ant")
    assert data.train.labels.tolist() == [1, 0, 0]
    assert data.test.labels.tolist() == [0, 1]
    assert np.asarray(data.train.images)[:, 0, 0].tolist() == [0, 2, 4]


@pytest.mark.parametrize(("names", "ordered"), [(["bee", "dog"], True), (["dog", "bee"], False)])
def test_classes_stay_ordered_in_their_order_only(names, ordered):
    data = DataSet(CLASSES, in_memory([0, 1, 2, 3]), in_memory([3, 1]), ordered=True)
    assert keep_classes(data, names).ordered is ordered


def test_files_and_boxes_stay_beside_their_labels():
    data = keep_classes(DataSet(CLASSES, as_files([1, 0, 2, 1]), as_files([2, 1])), ["bee", "cat"])
    assert data.train.images == [Path("0.jpg"), Path("2.jpg"), Path("3.jpg")]
    assert data.train.boxes is not None
    assert data.train.boxes.tolist() == [[0, 0, 5, 5], [2, 2, 7, 7], [3, 3, 8, 8]]
    assert data.train.labels.tolist() == [0, 1, 0]
    assert data.test.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["cat", "dgo"], "classes: 'dgo' is no class of the data; did you mean 'dog'?; it has ant, bee, cat, dog"),
        (["cat", "dog", "cat"], "classes: 'cat' stands twice"),
        (["cat"], "classes: must name at least two, got 1"),
        ([], "classes: must name at least two, got 0"),
        (
            ["owl"],
            "classes: 'owl' is no class of the data; it has ant, bee, cat, dog\nclasses: must name at least two, got 1",
        ),
    ],
)
def test_wrong_names_are_told_all_at_once(names, message):
    with pytest.raises(ConfigError) as error:
        keep_classes(DataSet(CLASSES, in_memory([0]), in_memory([1])), names)
    assert str(error.value) == message


def test_paths_held_as_text_are_paths_where_they_are_used():
    paths = Paths(["a/1.png", "a/2.png", "b/3.png"])
    assert list(paths) == [paths[0], paths[1], paths[-1]] == [Path("a/1.png"), Path("a/2.png"), Path("b/3.png")]
    assert list(paths[1:]) == [Path("a/2.png"), Path("b/3.png")]
    assert Path("b/3.png") in paths
    table = table_by_class({"x": paths[:2], "y": [Path("c/4.png")]}, ("y", "z", "x"))
    assert list(table.images) == [Path("c/4.png"), Path("a/1.png"), Path("a/2.png")]
    assert table.labels.tolist() == [0, 2, 2]
