"""Wrong labels on purpose."""

from __future__ import annotations

import numpy as np

from utils.seeding import derive_seed
from utils.types import ConfigError


def symmetric_noise(labels: np.ndarray, rows: np.ndarray, share: float, num_classes: int, seed: int) -> np.ndarray:
    """Replace the labels of some rows, each by a different class, uniformly.

    Exactly round(share * M) of the M rows are chosen, once for the run; all of them end up wrong. (Drawing from all K
    classes instead would leave a K-th of them right.)

    Args:
        labels: of the whole part.
        rows: those that may be changed, [M].
        share: of the rows, 0 to 1.
        num_classes: K, >= 2.
        seed: the run's.

    Shapes: labels [N] int64 -> a changed copy.
    Raises: ConfigError if there is no other class.
    Source: Zhang et al. 2020, "Delving Deep into Label Smoothing", arXiv:2011.12562, experiments with noisy labels.
    Deviations: the paper corrupts all training images and selects the epoch on the clean test part. Here the rows that
        are trained on are corrupted; with `select_on: test` these are all, and the protocol is the paper's.
    """
    if num_classes < 2:
        raise ConfigError(f"label_noise: needs another class to replace labels by, there is {num_classes}")
    random = np.random.default_rng(derive_seed(seed, "label noise"))
    chosen = random.permutation(rows)[: round(share * len(rows))]
    labels = labels.copy()
    labels[chosen] = (labels[chosen] + random.integers(1, num_classes, len(chosen))) % num_classes
    return labels
