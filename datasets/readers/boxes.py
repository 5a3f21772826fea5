"""Published boxes -> boxes inside their images."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets.base import ImageTable
from datasets.readers.files import listing, progress, remember, some
from datasets.readers.images import stamp_of
from utils.types import DataError


def clip_boxes(table: ImageTable, published: Sequence[object]) -> tuple[ImageTable, list[str]]:
    """Clip the boxes of a table of files to their images, whose sizes are remembered until a file changes.

    Args:
        published: [N], each box as its file has it, for messages.

    Returns: the table, and the images whose boxes reached outside, each as folder/name.
    Raises: DataError listing the images that cannot be read, or else the boxes without area inside their image.
    """
    assert table.boxes is not None
    heights, widths = np.array(_sizes(table), dtype=np.int64).reshape(-1, 2).T
    inside = np.clip(table.boxes, 0, np.stack([widths, heights, widths, heights], axis=1))
    empty = np.flatnonzero((inside[:, 2] <= inside[:, 0]) | (inside[:, 3] <= inside[:, 1])).tolist()
    if empty:
        problems = [f"{table.name(k)}: {published[k]} in {widths[k]} x {heights[k]} pixels" for k in empty]
        raise DataError(f"boxes without area inside their image:\n{listing(problems)}")
    reaching = np.flatnonzero((inside != table.boxes).any(axis=1)).tolist()
    return dataclasses.replace(table, boxes=inside), ["/".join(Path(table.name(k)).parts[-2:]) for k in reaching]


def clipping_note(clipped: Sequence[str], total: int) -> tuple[str, ...]:
    """Return the note on clipped boxes, or none."""
    if not clipped:
        return ()
    return (f"{len(clipped):,} of {total:,} boxes reached outside their image and were clipped: {some(clipped, 20)}",)


def _sizes(table: ImageTable) -> list[tuple[int, int]]:
    """Return height and width of every image. Raises: DataError listing the images that cannot be read."""
    assert not isinstance(table.images, np.ndarray)
    stamp = stamp_of(table.images, "sizes")
    stamp = stamp.with_name(f"{stamp.name}-{table.banner}")
    try:
        return [(height, width) for height, width in json.loads(stamp.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):  # not remembered, or not by us
        sizes, problems = [], []
    with progress(len(table), "reading sizes") as bar:
        for row in range(len(table)):
            try:
                sizes.append(table.size(row))
            except DataError as error:
                problems.append(str(error))
            bar.update()
    if problems:
        raise DataError(f"{len(problems):,} images cannot be used:\n{listing(problems)}")
    remember(stamp, json.dumps(sizes))
    return sizes
