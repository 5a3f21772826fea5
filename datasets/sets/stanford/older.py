"""The older official layout: car_ims, cars_annos.mat, car_devkit. One numbering through both parts."""

from __future__ import annotations

from pathlib import Path

from datasets.readers.matlab import read_matlab
from datasets.sets.stanford.devkit import annotated_rows, column, meta_classes
from datasets.sets.stanford.source import Annotations, Say, find, images_in, need, open_folder
from datasets.sets.stanford_cars import Row
from utils.types import DataError

NAME = "older"
FILES = "car_ims, cars_annos.mat, car_devkit"
NEEDS = "car_ims and cars_annos.mat"


def marks(source: Path) -> list[str]:
    """Return what of the layout a folder holds."""
    return [path.name for name in ("car_ims", "cars_annos.mat") if (path := find(source, name))]


def read(source: Path, raw: Path, say: Say, expected: str) -> Annotations:
    """Read the annotations and find the images."""
    mat = need(source, "cars_annos.mat", expected=expected)
    images = need(source, "car_ims", expected=expected)
    content = read_matlab(mat, "annotations", "class_names")
    entries, own_names = content["annotations"], [str(name).strip() for name in content["class_names"]]
    devkit = find(source, "car_devkit") or find(source, "devkit")
    classes = meta_classes(open_folder(devkit, raw, say), expected) if devkit else own_names
    for k, (name, own) in enumerate(zip(classes, own_names, strict=False), start=1):
        if name != own and own in classes:  # spellings differ between editions, orders must not
            raise DataError(f"{mat}: class {k} is {own!r}, but {name!r} in {devkit}")
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    annotated = annotated_rows(mat, entries, "relative_im_path", classes)
    for row, is_test in zip(annotated, column(mat, entries, "test"), strict=True):
        rows["test" if int(is_test) else "train"].append(row)
    found = images_in(open_folder(images, raw, say))
    return Annotations(classes, rows, {"train": found, "test": found})
