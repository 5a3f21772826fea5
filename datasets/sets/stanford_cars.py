"""Stanford Cars from the folder that prepare_stanford_dataset.py writes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datasets.base import DataSet, ImageTable, sample_note
from datasets.readers.boxes import clip_boxes
from datasets.readers.files import list_folder, listing, read_text
from datasets.readers.images import is_image_name
from datasets.readers.tables import read_csv
from utils.types import DataError

FACTS = {"stanford_cars": {"num_classes": 196, "images": (8_144, 8_041)}}
NUM_CLASSES = 196
OFFICIAL_COUNTS = {"train": 8_144, "test": 8_041}
BOX = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
NO_BOX = ("",) * 4
COLUMNS = ("image_fname", "class", *BOX, "class_name")
RAW_NAMES = ("car_ims", "cars_annos", "cars_train", "cars_test", "devkit", "car_devkit")


class Row(NamedTuple):
    """A line of a label file: the class 1-based, the box in 1-based inclusive pixels or None, both as published."""

    image_fname: str
    label: int
    box: tuple[int, ...] | None = None
    class_name: str = ""


def stanford_cars(*, data_path: str | None = None, stanford_data_path: str = "input/stanford") -> DataSet:
    """Read 8,144 + 8,041 photographs of cars in 196 classes, each with a box, or a sample of them.

    The folder holds train/, test/, train_labels.csv, test_labels.csv with the columns image_fname, class, bbox_x1,
    bbox_y1, bbox_x2, bbox_y2, class_name, and classes.txt; without the last, class names come from the label files.
    Columns are matched by name, images and boxes by the image's name. A box that reaches outside its image is clipped.
    Where the source had none, the columns of the box are empty.

    Args:
        data_path: the prepared folder; if None, `stanford_data_path`.
        stanford_data_path: the key of older configurations for the same.

    Raises: DataError naming the files and rows that are missing, doubled or inconsistent.
    Source: Krause et al. 2013, "3D Object Representations for Fine-Grained Categorization".
    """
    folder = Path(data_path or stanford_data_path).expanduser()
    _check_layout(folder)
    rows = {part: read_labels(folder / f"{part}_labels.csv") for part in OFFICIAL_COUNTS}
    classes = _class_names(folder, [row for part in rows.values() for row in part])

    problems = []
    for part, part_rows in rows.items():
        labelled, present = {row.image_fname for row in part_rows}, {path.name for path in list_folder(folder / part)}
        problems += [f"{part}/{name}: no such image" for name in sorted(labelled - present)]
        problems += [f"{part}/{name}: no label" for name in sorted(present - labelled) if is_image_name(Path(name))]
    if problems:
        raise DataError(f"{folder}: images and labels do not fit:\n{listing(problems)}")
    published = [[row.box for row in rows[part]] for part in rows]
    tables = []
    for part, boxes in zip(rows, published, strict=True):
        paths = [folder / part / row.image_fname for row in rows[part]]
        labels = np.array([row.label - 1 for row in rows[part]], dtype=np.int64)
        corners = None if boxes[0] is None else np.array(boxes, dtype=np.int64) - [1, 1, 0, 0]  # to 0-based exclusive
        tables.append(ImageTable(paths, labels, corners))
    tables, notes = clip_boxes(tables, published)
    sample = sample_note([len(table) for table in tables], [*OFFICIAL_COUNTS.values()])
    return DataSet(classes, *tables, notes=(*sample, *notes))


def read_labels(path: Path) -> list[Row]:
    """Read a label file.

    Raises: DataError listing missing columns, values that are no whole numbers, classes outside 1..196, names that are
        doubled or lead out of the folder.
    """
    _, lines, problems = read_csv(path, COLUMNS)
    rows = []
    for number, line in lines:
        name, fields = line["image_fname"], [line[column] for column in BOX]
        if not name or Path(name).name != name or "\\" in name:
            problems.append(f"line {number}: image_fname {name!r} is no file name")
            continue
        try:
            label, box = int(line["class"]), tuple(map(int, fields)) if any(fields) else None
        except ValueError:
            problems.append(f"line {number}: {name}: class and box must be whole numbers")
            continue
        if not 1 <= label <= NUM_CLASSES:
            problems.append(f"line {number}: {name}: class {label} is outside 1..{NUM_CLASSES}")
        rows.append(Row(name, label, box, line["class_name"]))
    doubled = [name for name, count in Counter(row.image_fname for row in rows).items() if count > 1]
    problems += [f"{name} stands in it more than once" for name in doubled]
    without = [row.image_fname for row in rows if row.box is None]
    if len(without) < len(rows):
        problems += [f"{name}: no box, where others have one" for name in without]
    if problems:
        raise DataError(f"{path}: wrong rows:\n{listing(problems)}")
    return rows


def _check_layout(folder: Path) -> None:
    """Refuse a folder that is not the prepared one, and say what it is."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; prepare_stanford_dataset.py writes it (data_path names another)")
    expected = [*OFFICIAL_COUNTS, *(f"{part}_labels.csv" for part in OFFICIAL_COUNTS)]
    missing = [name for name in expected if not (folder / name).exists()]
    if not missing:
        return
    if raw := [path.name for path in list_folder(folder) if path.name.split(".")[0] in RAW_NAMES]:
        raise DataError(
            f"{folder}: holds the data as published ({', '.join(raw)}), not the prepared folder.\n"
            f"Run: python prepare_stanford_dataset.py --source {folder} --dest FOLDER"
        )
    raise DataError(f"{folder}: not a prepared folder, missing:\n{listing(missing)}")


def _class_names(folder: Path, rows: list[Row]) -> tuple[str, ...]:
    """Return the 196 names in the devkit's order, which is not the alphabet's."""
    names: dict[int, str] = {}
    for row in rows:
        if names.setdefault(row.label, row.class_name) != row.class_name:
            raise DataError(f"{folder}: class {row.label} has two names: {names[row.label]!r} and {row.class_name!r}")
    path = folder / "classes.txt"
    if not path.exists():
        return tuple(names.get(k) or f"class {k}" for k in range(1, NUM_CLASSES + 1))
    try:
        classes = tuple(read_text(path).splitlines())
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if len(classes) != NUM_CLASSES:
        raise DataError(f"{path}: expected {NUM_CLASSES} class names, one a line, found {len(classes)}")
    wrong = [
        f"class {k} is {classes[k - 1]!r} here and {name!r} in the label files"
        for k, name in sorted(names.items())
        if classes[k - 1] != name
    ]
    if wrong:
        raise DataError(f"{path}: not the order of the label files:\n{listing(wrong)}")
    return classes
