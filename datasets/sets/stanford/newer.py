"""The newer official layout: cars_train, cars_test, devkit and the test part's labels. A numbering for each part."""

from __future__ import annotations

from pathlib import Path

from datasets.readers.matlab import read_matlab
from datasets.sets.stanford.devkit import annotated_rows, meta_classes
from datasets.sets.stanford.source import Annotations, Say, find, images_in, need, open_folder
from datasets.sets.stanford_cars import OFFICIAL_COUNTS
from utils.types import DataError

NAME = "newer"
WITH_LABELS = "cars_test_annos_withlabels.mat"
FILES = f"cars_train, cars_test, devkit, {WITH_LABELS}"
NEEDS = f"cars_train, cars_test, devkit and {WITH_LABELS}"


def marks(source: Path) -> list[str]:
    """Return what of the layout a folder holds."""
    return [path.name for name in ("cars_train", "cars_test") if (path := find(source, name))]


def read(source: Path, raw: Path, say: Say, expected: str) -> Annotations:
    """Read the annotations and find the images."""
    images = {part: need(source, f"cars_{part}", expected=expected) for part in OFFICIAL_COUNTS}
    devkit = open_folder(need(source, "devkit", "car_devkit", expected=expected), raw, say)
    labelled = find(source, WITH_LABELS) or find(devkit, WITH_LABELS)
    if labelled is None:
        raise DataError(
            f"{source}: {WITH_LABELS} is missing, here and in the devkit; the devkit's cars_test_annos.mat has boxes "
            "but no classes"
        )
    classes = meta_classes(devkit, expected)
    mats = {"train": need(devkit, "cars_train_annos.mat", expected=expected), "test": labelled}
    rows = {}
    for part, mat in mats.items():
        rows[part] = annotated_rows(mat, read_matlab(mat, "annotations")["annotations"], "fname", classes)
    return Annotations(classes, rows, {part: images_in(open_folder(path, raw, say)) for part, path in images.items()})
