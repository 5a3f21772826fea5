"""Caltech-UCSD Birds 200-2011 from the official files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from datasets.base import DataSet, ImageTable, sample_note
from datasets.readers.boxes import clip_boxes
from datasets.readers.downloads import find_folder, official_archive
from datasets.readers.files import leads_out, listing, read_list, refuse_lines, refuse_missing
from utils.types import DataError

FACTS = {"cub200": {"num_classes": 200, "images": (5_994, 5_794)}}
URL = "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz"
MD5 = "97eceeb196236b17998738112f37df78"
FOLDER = "CUB_200_2011"
LISTS = ("classes.txt", "images.txt", "image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt")


def cub200(*, data_path: str | None = None, download: bool = False) -> DataSet:
    """Read 5,994 + 5,794 photographs of birds in 200 species, each with a box.

    Classes stand in the order of classes.txt, their number included in the name: "001.Black_footed_Albatross".

    Args:
        data_path: folder CUB_200_2011 (images/ and the five lists) or the one around it; by default input/cub200.
        download: fetch the archive if something is missing.

    Raises: DataError naming the files, lines and images that are missing or do not fit one another.
    Source: Wah et al. 2011, "The Caltech-UCSD Birds-200-2011 Dataset", Caltech CNS-TR-2011-001.
    Deviations: the boxes are x, y, width, height in pixels; the authors do not say whether the first pixel is 0 or 1,
        and 0 is taken.
    """
    outer, folder = find_folder(data_path, "input/cub200", FOLDER, "image_class_labels.txt")
    official_archive(outer, folder, FOLDER, (*LISTS, "images"), URL, MD5, download)

    classes = _by_id(folder / "classes.txt", str)
    if list(classes) != list(range(1, len(classes) + 1)) or len(set(classes.values())) != len(classes):
        raise DataError(f"{folder / 'classes.txt'}: must number {len(classes)} different classes from 1 on, in order")
    names = _by_id(folder / "images.txt", str)
    labels = _by_id(folder / "image_class_labels.txt", int, names)
    in_train = _by_id(folder / "train_test_split.txt", int, names)
    boxes = _by_id(folder / "bounding_boxes.txt", _box, names)
    _check_values(folder / "image_class_labels.txt", labels, set(classes), f"must be a class from 1 to {len(classes)}")
    _check_values(folder / "train_test_split.txt", in_train, {0, 1}, "must be 1 (training) or 0 (test)")
    if wrong := [name for name in names.values() if leads_out(name)]:
        raise DataError(f"{folder / 'images.txt'}: names that lead out of images:\n{listing(wrong)}")
    refuse_missing(folder, [folder / "images" / name for name in names.values()])

    parts = [[number for number in names if in_train[number] == part] for part in (1, 0)]
    tables = [
        ImageTable(
            [folder / "images" / names[number] for number in ids],
            np.array([labels[number] - 1 for number in ids], dtype=np.int64),
            np.array([_corners(*boxes[number]) for number in ids], dtype=np.int64).reshape(-1, 4),
        )
        for ids in parts
    ]
    tables, notes = clip_boxes(tables, [[boxes[number] for number in ids] for ids in parts])
    notes += sample_note([len(table) for table in tables], FACTS["cub200"]["images"])
    return DataSet(tuple(classes.values()), *tables, notes=notes)


def _box(text: str) -> tuple[float, float, float, float]:
    x, y, width, height = map(float, text.split())
    if not all(map(math.isfinite, (x, y, width, height))):
        raise ValueError(text)
    return x, y, width, height


def _corners(x: float, y: float, width: float, height: float) -> tuple[int, int, int, int]:
    """Return x1, y1, x2, y2 around all pixels that a box touches."""
    return math.floor(x), math.floor(y), math.ceil(x + width), math.ceil(y + height)


def _by_id(path: Path, read: Any, expected: dict[int, str] | None = None) -> dict[int, Any]:
    """Return id -> value of a list, in its order; with `expected`, for exactly these ids."""
    by_id: dict[int, Any] = {}
    problems = []
    for number, (key, text) in read_list(path, 2):
        try:
            image, value = int(key), read(text.strip())
        except ValueError:
            problems.append(f"line {number}: cannot be read: {key} {text.strip()}")
            continue
        if image in by_id:
            problems.append(f"line {number}: {image} stands twice")
        elif expected is not None and image not in expected:
            problems.append(f"line {number}: {image} is no image of images.txt")
        by_id[image] = value
    refuse_lines(path, problems)
    lacking = [f"{image} {name}" for image, name in (expected or {}).items() if image not in by_id]
    if lacking:
        raise DataError(f"{path}: lacks images:\n{listing(lacking)}")
    return by_id


def _check_values(path: Path, values: dict[int, int], allowed: set[int], text: str) -> None:
    if wrong := [f"image {image}: {text}, got {value}" for image, value in values.items() if value not in allowed]:
        raise DataError(f"{path}: wrong values:\n{listing(wrong)}")
