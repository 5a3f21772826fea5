"""Mean and standard deviation of a table's pixels, for the `normalization_params_*` of a configuration."""

from __future__ import annotations

from typing import Literal

import numpy as np

from datasets.base import ImageTable
from datasets.preprocessing import Preprocessing

LEVELS = 256


def channel_statistics(
    table: ImageTable,
    image_size: tuple[int, int] | None = None,
    grayscale: bool = False,
    *,
    crop: bool = False,
    erase: bool | Literal["white"] = False,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Compute mean and standard deviation per channel, pooled over all pixels of all images.

    One image is in memory at a time. The pixels are those that training sees before augmentation: 8 bits a channel
    after cropping, resizing and conversion, so counting the 256 levels is exact.

    Args:
        table: the images.
        image_size: height and width in pixels to resize to; None to take images as they are stored.
        grayscale: one channel instead of three.
        crop: cut images to their boxes.
        erase: with `crop`: paint what is outside the box instead, black or white.

    Returns: mean and population standard deviation, one number a channel, on pixels from 0 to 1.
    Raises: ValueError if the table is empty; DataError if an image cannot be read.
    """
    if len(table) == 0:
        raise ValueError("no images to compute statistics of")
    preprocessing = Preprocessing(image_size, grayscale=grayscale, crop=crop, erase=erase)
    counts = np.zeros((1 if grayscale else 3, LEVELS), dtype=np.int64)
    for index in range(len(table)):
        pixels = preprocessing.load(table, index)
        for channel, values in enumerate(pixels.reshape(-1, len(counts)).T):
            counts[channel] += np.bincount(values, minlength=LEVELS)
    levels = np.arange(LEVELS) / (LEVELS - 1)
    total = counts.sum(axis=1)
    mean = counts @ levels / total  # [C]
    variance = (counts * (levels - mean[:, None]) ** 2).sum(axis=1) / total
    return tuple(mean.tolist()), tuple(np.sqrt(variance).tolist())
