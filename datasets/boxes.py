"""Bounding boxes from elsewhere, held against their images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datasets.files import listing, some
from datasets.images import image_size
from utils.types import DataError


class Clipped(NamedTuple):
    """Boxes inside their images.

    Shapes: boxes [N, 4] int64; sizes [N, 2], width and height in pixels; changed and empty, ascending rows of those
    that reached outside and of those without area inside.
    """

    boxes: np.ndarray
    sizes: np.ndarray
    changed: np.ndarray
    empty: np.ndarray


def clip_boxes(images: Sequence[Path], boxes: np.ndarray) -> Clipped:
    """Cut boxes to their images.

    Args:
        boxes: [N, 4] int64: x1, y1, x2, y2 in pixels, 0-based, x2 and y2 exclusive.

    Raises: DataError that lists the images whose size cannot be read.
    """
    sizes, problems = [], []
    for image in images:
        try:
            sizes.append(image_size(image))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError(f"{len(problems):,} images cannot be used:\n{listing(problems)}")
    limits = np.array(sizes, dtype=np.int64).reshape(-1, 2)
    inside = np.clip(boxes, 0, np.tile(limits, 2))
    empty = (inside[:, 2] <= inside[:, 0]) | (inside[:, 3] <= inside[:, 1])
    return Clipped(inside, limits, np.flatnonzero((inside != boxes).any(axis=1)), np.flatnonzero(empty))


def clipped_note(names: Sequence[str], total: int) -> str:
    """Return the note that tells whose boxes were clipped."""
    return f"{len(names):,} of {total:,} boxes reached outside their image and were clipped: {some(names, 20)}"
