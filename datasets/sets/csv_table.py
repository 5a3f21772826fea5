"""Anybody's images by a table: a CSV file that says where each image lies and what it shows."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datasets.base import DataSet, ImageTable
from datasets.readers.boxes import clip_boxes
from datasets.readers.files import list_folder, listing, some
from datasets.readers.images import image_size
from datasets.readers.tables import (
    DELIMITERS,
    check_split,
    image_path,
    natural_order,
    parts_of,
    read_class_names,
    read_csv,
    read_images,
)
from utils.types import ConfigError, DataError

BOX = ("x1", "y1", "x2", "y2")
COLUMNS = ("path", "label", *BOX, "split")
CLASSES = "classes.txt"
LAYOUT = "a CSV file with the columns path, label, if there are boxes x1, y1, x2, y2, and split or a test.csv beside it"


class Line(NamedTuple):
    """A line of the table; the box in pixels, 0-based, x2 and y2 exclusive, None for the whole image."""

    path: Path
    label: str
    box: tuple[int, ...] | None
    split: str


def csv_table(*, data_path: str | None = None, allow_outside: bool = False) -> DataSet:
    """Read images that a CSV file names, with their labels.

    The first line names the columns: path and label; x1, y1, x2, y2 for boxes in pixels, 0-based, x2 and y2 exclusive,
    empty for a whole image; split, which is train or test. Without split, the test part is a file beside it: the same
    name with test for train, or test.csv. Fields stand between commas, semicolons or tabs. Paths are relative to the
    file's folder. Labels are class names, sorted as a reader would ("2" before "10"), or in the order of a file
    classes.txt beside it, one name a line. Without a part test, val, valid or validation is the test part.

    A table from elsewhere can name any file of this machine, and figures of a run show images, so paths that leave
    the folder (absolute ones and `..`) are refused unless allowed. Links inside the folder are followed: no table
    makes them.

    Args:
        data_path: the CSV file, or the folder of train.csv or of one CSV file alone.
        allow_outside: accept paths that leave the folder.

    Raises: ConfigError without a data_path; DataError for a wrong header, and listing every wrong line by its number.
    """
    if data_path is None:
        raise ConfigError(f"data_path: missing; dataset csv reads {LAYOUT}")
    path = _table_file(Path(data_path).expanduser())
    notes: list[str] = []
    lines = _read(path, True, allow_outside, notes)
    if lines and not lines[0].split:
        tested = _read(_test_file(path), False, allow_outside, notes)
        lines = [line._replace(split=part) for part, of in (("train", lines), ("test", tested)) for line in of]
    part_notes: list[str] = []
    train, test = parts_of(lines, part_notes)
    if not train or not test:
        raise DataError(f"{path}: no lines of split {'test' if train else 'train'}; expected {LAYOUT}")
    classes = _classes(path, train, test)
    tables = [_table(part, classes) for part in (train, test)]
    published = [[] if table.boxes is None else [tuple(box) for box in table.boxes.tolist()] for table in tables]
    tables, clipping = clip_boxes(tables, published)
    notes += [*part_notes, *_doubled_paths(path.parent, [*train, *test]), *clipping]
    return DataSet(classes, *tables, notes=tuple(notes))


def _table_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    candidates = [file for file in list_folder(path) if file.suffix.lower() in (".csv", ".tsv")]
    chosen = [file for file in candidates if file.stem == "train"] or candidates
    if len(chosen) != 1:
        held = ", ".join(file.name for file in candidates[:10]) or "none"
        raise DataError(f"{path}: name the CSV file itself as data_path (found: {held}); expected {LAYOUT}")
    return chosen[0]


def _test_file(path: Path) -> Path:
    names = dict.fromkeys([re.sub("train", "test", path.name), f"test{path.suffix}"])
    candidates = [path.with_name(name) for name in names if name != path.name and path.with_name(name).is_file()]
    if not candidates:
        raise DataError(
            f"{path}: has no column split, and there is no {' or '.join(names)} beside it; add one of the two"
        )
    return candidates[0]


def _read(path: Path, with_split: bool, allow_outside: bool, notes: list[str]) -> list[Line]:
    """Read the lines of a table, whose column split counts in the first of two alone."""
    table = read_csv(path, ("path", "label"), DELIMITERS)
    box_columns = [name for name in BOX if name in table.columns]
    if box_columns and len(box_columns) < len(BOX):
        lacking = ", ".join(name for name in BOX if name not in table.columns)
        raise DataError(f"{path}: lacks the columns {lacking} of the boxes (found: {', '.join(table.columns)})")
    if not with_split and "split" in table.columns:
        notes.append(f"{path.name}: its column split is not used: the other file has none")

    def read(number: int, row: dict[str, str]) -> Line:
        image = image_path(path.parent, row["path"], allow_outside)
        split = check_split(row["split"]) if with_split and "split" in row else ""
        if not row["label"]:
            raise ValueError("no label")
        return Line(image, row["label"], _box([row[name] for name in box_columns]), split)

    return read_images(path, table, COLUMNS, read, notes)


def _box(fields: list[str]) -> tuple[int, ...] | None:
    """Return a box. Raises: ValueError unless it is four whole numbers with area, or nothing."""
    if not any(fields):
        return None
    shown = ", ".join(fields)
    try:
        numbers = [float(field) for field in fields]  # tables with empty fields often say 12.0 for 12
        box = tuple(int(number) for number in numbers)
    except (ValueError, OverflowError):
        raise ValueError(f"box ({shown}) must be four whole numbers") from None
    if list(box) != numbers or max(map(abs, box)) >= 2**31:
        raise ValueError(f"box ({shown}) must be four whole numbers")
    if box[0] >= box[2] or box[1] >= box[3]:
        raise ValueError(f"box ({shown}) has no area")
    return box


def _classes(path: Path, train: list[Line], test: list[Line]) -> tuple[str, ...]:
    named = path.with_name(CLASSES)
    classes = read_class_names(named) if named.is_file() else tuple(natural_order({line.label for line in train}))
    if unknown := natural_order({line.label for line in (*train, *test)} - set(classes)):
        lacking = CLASSES if named.is_file() else f"the training part (a {CLASSES} beside it may name all)"
        raise DataError(f"{path}: labels that are not in {lacking}:\n{listing(unknown)}")
    if len(classes) < 2:
        raise DataError(f"{path}: {len(classes)} class, at least 2 are needed")
    return classes


def _table(lines: list[Line], classes: tuple[str, ...]) -> ImageTable:
    images, label_of = [line.path for line in lines], {name: label for label, name in enumerate(classes)}
    boxes = None
    if any(line.box for line in lines):
        boxes = np.array([line.box or (0, 0, *image_size(line.path)) for line in lines], np.int64)
    return ImageTable(images, np.array([label_of[line.label] for line in lines], dtype=np.int64), boxes)


def _doubled_paths(folder: Path, lines: list[Line]) -> list[str]:
    """Return a note on the images that several lines name."""
    labels: dict[Path, list[str]] = {}
    for line in lines:
        labels.setdefault(line.path, []).append(line.label)
    doubled = [path for path in labels if len(labels[path]) > 1]
    if not doubled:
        return []
    differ = sum(len(set(labels[path])) > 1 for path in doubled)
    shown = some([os.path.relpath(path, folder) for path in doubled])
    return [f"{len(doubled):,} images stand in the table more than once, {differ:,} with several labels: {shown}"]
