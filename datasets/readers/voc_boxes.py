"""Boxes from the XML files of PASCAL VOC."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datasets.dense import Annotation
from datasets.readers.files import read_bytes
from utils.types import DataError

MAX_BYTES = 1 << 20


class Object(NamedTuple):
    """An object of an image.

    Args: box: x1, y1, x2, y2, 0-based, x2 and y2 exclusive. difficult: left out of the evaluation by VOC's rules.
    """

    name: str
    box: tuple[float, float, float, float]
    difficult: bool


def read_objects(path: Path) -> list[Object]:
    """Return the objects of an image; VOC counts pixels from 1, and the last one is inside.

    Raises: DataError naming the file and what is wrong with it.
    """
    content = read_bytes(path, MAX_BYTES)
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:  # entities can grow without limit
        raise DataError(f"{path}: declares entities, as no annotation does")
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise DataError(f"{path}: no XML: {error}") from None
    objects = []
    for number, one in enumerate(root.iter("object"), start=1):
        try:
            x1, y1, x2, y2 = (float(one.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax"))
        except ValueError:
            raise DataError(f"{path}: object {number}: bndbox must hold xmin, ymin, xmax and ymax") from None
        difficult = one.findtext("difficult", "0").strip() == "1"
        objects.append(Object(one.findtext("name", "").strip(), (x1 - 1, y1 - 1, x2, y2), difficult))
    return objects


def as_annotation(objects: Sequence[Object], labels: Sequence[int]) -> Annotation:
    """Return the boxes of an image with their classes; difficult objects count as crowds, which nothing is held to."""
    boxes = np.array([one.box for one in objects], dtype=np.float32).reshape(-1, 4)
    crowd = np.array([one.difficult for one in objects], dtype=bool)
    return Annotation(boxes=boxes, labels=np.array(labels, dtype=np.int64), crowd=crowd)
