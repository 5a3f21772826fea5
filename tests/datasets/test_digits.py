from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from datasets.sets.digits import digits


def test_a_fifth_of_every_class_is_the_test_part() -> None:
    data = digits()
    assert (len(data.train), len(data.test)) == (1438, 359)
    total = np.bincount(load_digits(return_X_y=True)[1])
    assert np.array_equal(np.bincount(data.test.labels), [round(0.2 * count) for count in total])


def test_the_split_never_changes() -> None:
    data = digits()
    assert data.test.labels[:12].tolist() == [1, 2, 6, 7, 9, 5, 5, 0, 8, 3, 7, 8]
    assert data.train.labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 3]


def test_parts_hold_all_images_once_with_their_labels() -> None:
    values, labels = load_digits(return_X_y=True)
    data = digits()
    expected = sorted((tuple(row), label) for row, label in zip(values.tolist(), labels.tolist(), strict=True))
    found = []
    for part in (data.train, data.test):
        levels = np.asarray(part.images).reshape(-1, 64).astype(float) * 16 / 255
        found += [(tuple(row), label) for row, label in zip(np.rint(levels), part.labels.tolist(), strict=True)]
    assert sorted(found) == expected
    assert np.unique(np.asarray(data.train.images)).tolist() == [round(v * 255 / 16) for v in range(17)]
    assert data.train.load(0).mode == "L"
