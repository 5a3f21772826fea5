"""Test images at a small size, read from the data set as training reads it, neither cut nor augmented."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from msgspec import structs

from comparison.page.predictions import SharedTest
from configuration.reading import read_configuration
from evaluation.catalogue import NAME_CHECKS
from utils.types import UserError, first_line

if TYPE_CHECKING:
    from PIL import Image

    from datasets.base import DataSet, ImageTable

MOST, SIDE = 200, 96
"""Images on a page; the longer side of each in pixels at most."""
EXACT_UP_TO = 32
"""Pixels of a side up to which an image is kept without loss."""
QUALITY = 80


class Unreadable(Exception):
    """Data that cannot be read any more, or is not that of the runs' test."""


def open_data(shared: SharedTest) -> DataSet:
    """Open the data that a run's configuration names; nothing is downloaded. Raises: Unreadable."""
    try:
        from datasets import load_data_set

        config = read_configuration(str(shared.run.folder.config), (), NAME_CHECKS, of_a_run=True)
        data = load_data_set(structs.replace(config, download=False))
    except (UserError, ImportError, OSError) as error:
        raise Unreadable(f"the data cannot be read any more: {_in_a_line(error)}") from None
    fits = shared.index.min() >= 0 and shared.index.max() < len(data.test)
    if not fits or not np.array_equal(_labels(data, shared.index), shared.target):
        raise Unreadable("the data has changed: its labels are not those of the predictions")
    return data


def _in_a_line(error: Exception) -> str:
    """Return the first line of an error, which may go on with a list."""
    return first_line(error).removesuffix(":")


def _labels(data: DataSet, rows: np.ndarray) -> np.ndarray:
    """Return targets as predictions.parquet has them: [N] classes or texts."""
    labels = data.test.labels[rows]
    if labels.ndim == 1:
        return labels
    from datasets.sequences import decode_texts  # with torch, which classes do without

    return np.array(decode_texts(labels, data.classes))


def draw_thumbnails(
    shared: SharedTest, table: ImageTable, positions: Iterable[int]
) -> tuple[dict[int, str | None], list[str]]:
    """Return position -> data URI of the image at a small size, and notes on those that cannot be read."""
    uris: dict[int, str | None] = {}
    notes = []
    for position in positions:
        try:
            uris[position] = _data_uri(table.load(int(shared.index[position])))
        except (UserError, OSError) as error:
            uris[position] = None
            notes.append(f"no image: {_in_a_line(error)}")
    return uris, notes


def _data_uri(image: Image.Image) -> str:
    small = image.copy()
    small.thumbnail((SIDE, SIDE))
    exact = max(small.size) <= EXACT_UP_TO
    kind, options = ("png", {"optimize": True}) if exact else ("jpeg", {"quality": QUALITY})
    file = io.BytesIO()
    small.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
