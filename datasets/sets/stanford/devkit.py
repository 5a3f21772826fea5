"""The devkit's .mat files: class names and annotations."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from datasets.readers.files import listing
from datasets.readers.matlab import read_matlab
from datasets.sets.stanford.source import Say, find, need, open_folder
from datasets.sets.stanford_cars import BOX, NUM_CLASSES, Row
from utils.types import DataError

PUBLISHED_NAMES = Path(__file__).with_name("class_names.txt")


def meta_classes(devkit: Path, expected: str) -> list[str]:
    """Return the class names of a devkit, in its order."""
    mat = need(devkit, "cars_meta.mat", expected=expected)
    return [str(name).strip() for name in read_matlab(mat, "class_names")["class_names"]]


def class_names(source: Path, raw: Path, say: Say) -> list[str]:
    """Return the class names of the devkit beside other files, or, without one, those it was published with."""
    devkit = find(source, "devkit") or find(source, "car_devkit")
    if devkit is None:
        say("class names in the devkit's order: as published")
        return PUBLISHED_NAMES.read_text(encoding="utf-8").splitlines()
    say(f"class names in the devkit's order: from {devkit.name}")
    return check_classes(devkit, meta_classes(open_folder(devkit, raw, say), f"expected in {devkit}"))


def check_classes(where: Path, classes: list[str]) -> list[str]:
    if len(classes) != NUM_CLASSES or len(set(classes)) != NUM_CLASSES:
        raise DataError(f"{where}: expected {NUM_CLASSES} different class names, found {len(set(classes))}")
    return classes


def column(mat: Path, entries: np.ndarray, name: str) -> list[Any]:
    """Return a field of all annotations."""
    if name not in (entries.dtype.names or ()):
        found = ", ".join(entries.dtype.names or ()) or "no fields"
        raise DataError(f"{mat}: annotations lack the field {name!r} (found: {found})")
    return [np.asarray(value).reshape(-1)[0] for value in entries[name]]


def annotated_rows(mat: Path, entries: np.ndarray, name_field: str, classes: list[str]) -> list[Row]:
    """Turn annotations into rows.

    Raises: DataError for missing fields, classes out of range and names that stand twice.
    """
    check_classes(mat, classes)
    columns = [column(mat, entries, field) for field in (name_field, "class", *BOX)]
    rows, problems = [], []
    for name, *numbers in zip(*columns, strict=True):
        # the older layout names images with their folder
        name = str(name).strip().replace("\\", "/").rpartition("/")[2]
        label, x1, y1, x2, y2 = (int(number) for number in numbers)
        if not 1 <= label <= NUM_CLASSES:
            problems.append(f"{name}: class {label} is outside 1..{NUM_CLASSES}")
            continue
        rows.append(Row(name, label, (x1, y1, x2, y2), classes[label - 1]))
    counts = Counter(row.image_fname for row in rows)
    problems += [f"{name} stands in it more than once" for name, count in counts.items() if count > 1]
    if problems:
        raise DataError(f"{mat}: wrong annotations:\n{listing(problems)}")
    return rows
