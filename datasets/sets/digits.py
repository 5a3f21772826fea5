"""Handwritten digits of 8x8 pixels, part of scikit-learn: real images without a download."""

from __future__ import annotations

import numpy as np

from datasets.base import DataSet, ImageTable

FACTS = {"digits": {"num_classes": 10, "images": (1_438, 359)}}
TEST_SHARE = 0.2
SPLIT_SEED = 20240229
"""Of the split alone, never the run's: every run is tested on the same images."""


def digits() -> DataSet:
    """Read 1,797 images of 8x8 in 10 classes, their 17 gray levels spread over 0 to 255.

    No official split exists for this sample, so a fixed fifth of each class is the test part: 1,438 + 359 images.

    Source: the test part of Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI, as shipped by
        scikit-learn.
    """
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    images = np.rint(np.asarray(values).reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)  # [N, 8, 8]
    labels = np.asarray(labels).astype(np.int64)

    random = np.random.RandomState(SPLIT_SEED)  # frozen by NumPy's policy, as its newer generators are not
    is_test = np.zeros(len(labels), dtype=bool)
    for label in range(10):
        rows = np.flatnonzero(labels == label)
        is_test[random.permutation(rows)[: round(TEST_SHARE * len(rows))]] = True
    return DataSet(
        classes=tuple(str(label) for label in range(10)),
        train=ImageTable(images[~is_test], labels[~is_test]),
        test=ImageTable(images[is_test], labels[is_test]),
    )
