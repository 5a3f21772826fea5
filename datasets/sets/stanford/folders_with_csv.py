"""Class folders beside files of boxes: car_data/{train,test}/<class>/<image>, anno_train.csv, anno_test.csv, names.csv.

The anno files have no header: file name, x1, y1, x2, y2, number of the class in names.csv, from 1. Boxes are the
devkit's, in 1-based inclusive pixels.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from datasets.readers.csv_files import read_fields
from datasets.readers.files import listing
from datasets.sets.stanford.devkit import class_names
from datasets.sets.stanford.labelled_folders import read_part_folders
from datasets.sets.stanford.names import labels_of
from datasets.sets.stanford.source import Annotations, Say, find, need, open_folder
from datasets.sets.stanford_cars import OFFICIAL_COUNTS, Row
from utils.types import DataError

NAME = "class folders with boxes"
FILES = "car_data/{train,test}/<class>/<image>, anno_train.csv, anno_test.csv, names.csv"
NEEDS = "car_data, anno_train.csv, anno_test.csv and names.csv"


def marks(source: Path) -> list[str]:
    """Return what of the layout a folder holds."""
    return [name for name in ("anno_train.csv", "anno_test.csv") if (source / name).is_file()]


def read(source: Path, raw: Path, say: Say, expected: str) -> Annotations:
    """Read boxes by the images' names, and labels from the folders and the anno files, which must agree."""
    classes = class_names(source, raw, say)
    names_csv = need(source, "names.csv", expected=expected)
    names = [",".join(fields).strip() for _, fields in read_fields(names_csv)]
    label_of = labels_of(names_csv.name, names, classes, say)
    holder = find(source, "car_data")
    root = open_folder(holder, raw, say) if holder else source
    folders = {part: need(root, part, expected=expected) for part in OFFICIAL_COUNTS}
    found = read_part_folders(folders, raw, classes, say)
    paths = {part: need(source, f"anno_{part}.csv", expected=expected) for part in OFFICIAL_COUNTS}
    annotated = {part: _read_annotations(path) for part, path in paths.items()}
    first = 0 if any(row.label == 0 for part_rows in annotated.values() for row in part_rows) else 1
    rows, problems = {}, []
    for part, images in found.items():
        rows[part] = []
        for row in annotated[part]:
            if not 0 <= row.label - first < len(names):
                problems.append(
                    f"{part}: {row.image_fname}: class {row.label} is none of the {len(names)} of names.csv"
                )
                continue
            label = label_of[names[row.label - first]]
            folder_label = images[row.image_fname][0] if row.image_fname in images else label
            if folder_label != label:
                problems.append(f"{part}: {row.image_fname}: {classes[label - 1]}, but in {classes[folder_label - 1]}/")
            rows[part].append(row._replace(label=label, class_name=classes[label - 1]))
    if problems:
        raise DataError(f"{source}: anno files do not fit the folders:\n{listing(problems)}")
    return Annotations(classes, rows, {part: {name: path for name, (_, path) in found[part].items()} for part in found})


def _read_annotations(path: Path) -> list[Row]:
    """Return the lines, their labels as they stand there.

    Raises: DataError that lists the lines of another form, and the images that stand in several.
    """
    rows, problems = [], []
    for number, fields in read_fields(path):
        try:
            x1, y1, x2, y2, label = (int(field) for field in fields[1:6])
            rows.append(Row(fields[0].strip(), label, (x1, y1, x2, y2), ""))
        except ValueError:
            problems.append(f"line {number}: not a file name, a box and a class: {', '.join(fields)}")
    counts = Counter(row.image_fname for row in rows)
    problems += [f"{name} stands in it more than once" for name, count in counts.items() if count > 1]
    if problems:
        raise DataError(f"{path}: wrong lines:\n{listing(problems)}")
    return rows
