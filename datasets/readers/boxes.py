"""Published boxes -> boxes inside their images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets.base import ImageTable
from datasets.readers.files import listing, progress, remembered_pairs, some
from datasets.readers.images import stamp_of
from utils.types import DataError


def clip_boxes(
    tables: Sequence[ImageTable], published: Sequence[Sequence[object]]
) -> tuple[list[ImageTable], tuple[str, ...]]:
    """Clip the boxes of tables of files to their images, whose sizes are remembered until a file changes.

    Args:
        published: for each table its boxes as the files have them, for messages.

    Returns: the tables, those without boxes as they are, and the note on clipped boxes, or none.
    Raises: DataError listing the images that cannot be read, or else the boxes without area inside their image.
    """
    clipped: list[str] = []
    tables = [
        table if table.boxes is None else _clip(table, boxes, clipped)
        for table, boxes in zip(tables, published, strict=True)
    ]
    total = sum(len(table) for table in tables if table.boxes is not None)
    if not clipped:
        return tables, ()
    shown = some(clipped, 20)
    return tables, (f"{len(clipped):,} of {total:,} boxes reached outside their image and were clipped: {shown}",)


def _clip(table: ImageTable, published: Sequence[object], clipped: list[str]) -> ImageTable:
    """Return a table with clipped boxes; `clipped` gets the images whose boxes reached outside, as folder/name."""
    assert table.boxes is not None
    assert not isinstance(table.images, np.ndarray)
    stamp = stamp_of(table.images, "sizes")
    stamp = stamp.with_name(f"{stamp.name}-{table.banner}")
    sizes = remembered_pairs(stamp, lambda: _read_sizes(table))
    heights, widths = np.array(sizes, dtype=np.int64).reshape(-1, 2).T
    inside = np.clip(table.boxes, 0, np.stack([widths, heights, widths, heights], axis=1))
    empty = np.flatnonzero((inside[:, 2] <= inside[:, 0]) | (inside[:, 3] <= inside[:, 1])).tolist()
    if empty:
        problems = [f"{table.name(k)}: {published[k]} in {widths[k]} x {heights[k]} pixels" for k in empty]
        raise DataError(f"boxes without area inside their image:\n{listing(problems)}")
    reaching = np.flatnonzero((inside != table.boxes).any(axis=1)).tolist()
    clipped += ["/".join(Path(table.name(k)).parts[-2:]) for k in reaching]
    return dataclasses.replace(table, boxes=inside)


def _read_sizes(table: ImageTable) -> list[tuple[int, int]]:
    """Return height and width of every image. Raises: DataError listing the images that cannot be read."""
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
    return sizes
