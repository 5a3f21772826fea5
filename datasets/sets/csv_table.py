"""Anybody's images by a table: a CSV file that says where each image lies and what it shows."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datasets.base import DataSet, ImageTable
from datasets.readers.boxes import clip_boxes
from datasets.readers.files import list_folder, listing, some
from datasets.readers.images import image_size
from datasets.readers.tables import (
    DELIMITERS,
    SPLITS,
    check_split,
    choose_test_part,
    image_path,
    natural_order,
    read_class_names,
    read_csv,
    refuse_wrong_lines,
    unused_columns,
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
    lines = _read(path, "train", allow_outside, notes)
    if lines and not lines[0].split:
        test_path = _test_file(path)
        lines = [line._replace(split="train") for line in lines]
        lines += [line._replace(split="test") for line in _read(test_path, "test", allow_outside, notes)]
    parts = {name: [line for line in lines if line.split == name] for name in SPLITS}
    test_name, part_notes = choose_test_part([name for name in SPLITS if parts[name]], "split")
    if not parts["train"] or test_name is None:
        raise DataError(f"{path}: no lines of split {'test' if parts['train'] else 'train'}; expected {LAYOUT}")
    train, test = parts["train"], parts[test_name]
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


def _read(path: Path, part: str, allow_outside: bool, notes: list[str]) -> list[Line]:
    """Read the lines of a table.

    Raises: DataError that lists all wrong lines.
    """
    columns, rows, problems = read_csv(path, ("path", "label"), DELIMITERS)
    box_columns = [name for name in BOX if name in columns]
    if box_columns and len(box_columns) < len(BOX):
        lacking = ", ".join(name for name in BOX if name not in columns)
        raise DataError(f"{path}: lacks the columns {lacking} of the boxes (found: {', '.join(columns)})")
    notes += unused_columns(path, columns, COLUMNS)
    if part == "test" and "split" in columns:
        notes.append(f"{path.name}: its column split is not used: the other file has none")
    lines = []
    for number, row in rows:
        try:
            image = image_path(path.parent, row["path"], allow_outside)
            split = check_split(row["split"]) if part == "train" and "split" in columns else ""
            if not row["label"]:
                raise ValueError("no label")
            lines.append(Line(image, row["label"], _box([row[name] for name in box_columns]), split))
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    refuse_wrong_lines(path, problems, [line.path for line in lines])
    return lines


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
    images = [line.path for line in lines]
    label_of = {name: label for label, name in enumerate(classes)}
    labels = np.array([label_of[line.label] for line in lines], dtype=np.int64)
    if not any(line.box for line in lines):
        return ImageTable(images, labels)
    return ImageTable(
        images, labels, np.array([line.box or (0, 0, *image_size(line.path)) for line in lines], np.int64)
    )


def _doubled_paths(folder: Path, lines: list[Line]) -> list[str]:
    """Return a note on the images that several lines name."""
    counts = Counter(line.path for line in lines)
    doubled = [path for path, count in counts.items() if count > 1]
    if not doubled:
        return []
    labels: dict[Path, set[str]] = {}
    for line in lines:
        labels.setdefault(line.path, set()).add(line.label)
    differ = sum(len(labels[path]) > 1 for path in doubled)
    shown = some([os.path.relpath(path, folder) for path in doubled])
    return [f"{len(doubled):,} images stand in the table more than once, {differ:,} with several labels: {shown}"]
