"""Symmetric noise: exactly the share that was asked for, every replaced label wrong, all others as they were."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.label_noise import symmetric_noise
from utils.types import ConfigError

LABELS = np.arange(20000) % 10
ROWS = np.arange(0, 20000, 2)


@given(st.floats(0, 1), st.integers(2, 12), st.integers(0, 9), st.integers(1, 60))
@settings(max_examples=50, deadline=None)
def test_a_rounded_share_of_the_rows_is_wrong_and_nothing_else(share, num_classes, seed, size):
    labels = np.arange(size) % num_classes
    rows = np.arange(size)[::2]
    noisy = symmetric_noise(labels, rows, share, num_classes, seed)
    wrong = np.flatnonzero(noisy != labels)
    assert len(wrong) == round(share * len(rows))
    assert set(wrong) <= set(rows)
    assert noisy.min() >= 0
    assert noisy.max() < num_classes
    assert np.array_equal(labels, np.arange(size) % num_classes)


def test_every_other_class_is_as_likely():
    noisy = symmetric_noise(LABELS, ROWS, 0.9, 10, seed=0)
    wrong = np.flatnonzero(noisy != LABELS)
    shift = np.bincount((noisy[wrong] - LABELS[wrong]) % 10, minlength=10)
    assert shift[0] == 0
    assert shift[1:] == pytest.approx(1000, abs=5 * 1000**0.5)


def test_the_choice_depends_on_the_seed_alone():
    np.random.seed(1)
    first = symmetric_noise(LABELS, ROWS, 0.4, 10, seed=3)
    np.random.seed(2)
    assert np.array_equal(first, symmetric_noise(LABELS, ROWS, 0.4, 10, seed=3))
    assert not np.array_equal(first, symmetric_noise(LABELS, ROWS, 0.4, 10, seed=4))
    with pytest.raises(ConfigError, match="label_noise: needs another class"):
        symmetric_noise(np.zeros(5, int), np.arange(5), 0.2, 1, seed=0)
