"""Horizontal and vertical stripes: images that are computed, not read."""

import numpy as np

from datasets.base import DataSet, ImageTable

NUM_TRAIN, NUM_TEST, SIZE = 200, 100, 16
FACTS = {"stripes": {"num_classes": 2, "images": (200, 100)}}
"""Read from the source, without importing it, to estimate costs."""


def stripes(*, noise: float = 0.1) -> DataSet:
    """Draw 300 grayscale images of 16x16 in two classes.

    Args:
        noise: standard deviation of the noise, as a share of the range of grey levels.
    """
    random = np.random.RandomState(0)  # the images belong to the data set, so the run's seed does not change them
    labels = np.arange(NUM_TRAIN + NUM_TEST, dtype=np.int64) % 2
    lines = np.arange(SIZE)[:, None] // 2 % 2 * np.ones(SIZE)  # [H, W]
    images = np.stack([lines if label == 0 else lines.T for label in labels])  # [N, H, W]
    images = np.clip(images + noise * random.randn(*images.shape), 0, 1)
    pixels = np.rint(255 * images).astype(np.uint8)
    return DataSet(
        classes=("horizontal", "vertical"),
        train=ImageTable(pixels[:NUM_TRAIN], labels[:NUM_TRAIN]),
        test=ImageTable(pixels[NUM_TRAIN:], labels[NUM_TRAIN:]),
    )
