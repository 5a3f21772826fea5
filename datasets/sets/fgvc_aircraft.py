"""FGVC-Aircraft (2013b) from the official files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np

from datasets.base import DataSet, ImageTable, sample_note
from datasets.readers.boxes import clip_boxes
from datasets.readers.downloads import find_folder, official_archive
from datasets.readers.files import leads_out, listing, read_list, refuse_lines, refuse_missing
from utils.types import DataError

FACTS = {
    "fgvc_aircraft": {
        "num_classes": 100,
        "images": (6_667, 3_333),
        "annotation=family": {"num_classes": 70},
        "annotation=manufacturer": {"num_classes": 30},
    },
}
URL = "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz"
MD5 = "d4acdd33327262359767eeaa97a4f732"
FOLDER = "fgvc-aircraft-2013b"
CLASS_LISTS = {"variant": "variants.txt", "family": "families.txt", "manufacturer": "manufacturers.txt"}
BANNER = 20
"""Rows of copyright at the bottom of every image; the authors ask to remove them."""


def fgvc_aircraft(
    *,
    data_path: str | None = None,
    download: bool = False,
    annotation: Literal["variant", "family", "manufacturer"] = "variant",
) -> DataSet:
    """Read 6,667 + 3,333 photographs of aircraft, each with a box; the first part is the official trainval.

    The copyright banner, the lowest 20 rows of pixels, is cut off.

    Args:
        data_path: folder fgvc-aircraft-2013b (with data/) or the one around it; by default input/fgvc_aircraft.
        download: fetch the archive if something is missing.
        annotation: what the classes are: 100 variants such as 737-700, 70 families such as Boeing 737, or 30
            manufacturers such as Boeing.

    Raises: DataError naming the files, lines and images that are missing or do not fit one another.
    Source: Maji et al. 2013, "Fine-Grained Visual Classification of Aircraft", arXiv:1306.5151.
    """
    outer, folder = find_folder(data_path, "input/fgvc_aircraft", FOLDER, "data/variants.txt")
    lists = (CLASS_LISTS[annotation], *(f"images_{annotation}_{part}.txt" for part in ("trainval", "test")))
    needed = [f"data/{name}" for name in (*lists, "images_box.txt", "images")]
    official_archive(outer, folder, FOLDER, needed, URL, MD5, download)

    data = folder / "data"
    classes = [fields[0].strip() for _, fields in read_list(data / lists[0], 1)]
    boxes = _boxes(data / "images_box.txt")
    parts = [_read_part(data / name, classes, boxes) for name in lists[1:]]
    paths = {image: data / "images" / f"{image}.jpg" for images, _ in parts for image in images}
    everything = [image for images, _ in parts for image in images]
    if doubled := [image for image, count in Counter(everything).items() if count > 1]:
        raise DataError(f"{data}: images listed more than once in {lists[1]} and {lists[2]}:\n{listing(doubled)}")
    refuse_missing(folder, list(paths.values()))
    published = [[boxes[image] for image in images] for images, _ in parts]
    tables = []
    for (images, labels), part_boxes in zip(parts, published, strict=True):
        corners = np.array(part_boxes, dtype=np.int64) - [1, 1, 0, 0]  # 1-based inclusive to 0-based exclusive
        tables.append(ImageTable([paths[image] for image in images], labels, corners, BANNER))
    tables, notes = clip_boxes(tables, published)
    notes += sample_note([len(table) for table in tables], FACTS["fgvc_aircraft"]["images"])
    return DataSet(tuple(classes), *tables, notes=notes)


def _boxes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return image -> x1, y1, x2, y2, 1-based and inclusive."""
    boxes, problems = {}, []
    for number, (image, *corners) in read_list(path, 5):
        try:
            x1, y1, x2, y2 = map(int, corners)
        except ValueError:
            problems.append(f"line {number}: {image}: the corners must be whole numbers")
            continue
        if leads_out(image):
            problems.append(f"line {number}: {image!r} is no image name")
        boxes[image] = (x1, y1, x2, y2)
    refuse_lines(path, problems)
    return boxes


def _read_part(path: Path, classes: list[str], boxes: dict[str, tuple[int, ...]]) -> tuple[list[str], np.ndarray]:
    """Return the images and their labels."""
    images, labels, problems = [], [], []
    label_of = {name: label for label, name in enumerate(classes)}
    for number, (image, name) in read_list(path, 2):
        if image not in boxes:
            problems.append(f"line {number}: {image} has no line in images_box.txt")
        elif name.strip() not in label_of:
            problems.append(f"line {number}: {name.strip()!r} is no class of the set")
        else:
            images.append(image)
            labels.append(label_of[name.strip()])
    refuse_lines(path, problems)
    return images, np.array(labels, dtype=np.int64)
