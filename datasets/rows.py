"""Rows of the training part: which are trained on, which validate, and how many each class keeps."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from configuration.schema import Configuration
from datasets import params_of_every_set
from datasets.base import DataSet
from datasets.stream.sampling import stratified_split
from utils.types import DataError

Imbalance = Annotated[float, Meta(ge=1)]
Kind = Literal["exponential", "step"]


def split_rows(config: Configuration, data: DataSet) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to train on, of the training part, and to validate on, of it or of the test part.

    Validation images are held out first, so they are as balanced as the whole part is, however few images of a class
    are left to train on.

    Raises: DataError if either is too small.
    """
    if config.select_on == "test":
        train, valid = np.arange(len(data.train)), np.arange(len(data.test))
    else:
        strata = data.train.labels if data.train.strata is None else data.train.strata
        train, valid = stratified_split(strata, config.valid_fraction, config.seed)
    if data.kind == "image":
        train = long_tail(data.train.labels, train, **params_of_every_set(config))
    if len(train) < 2 or len(valid) == 0:
        raise DataError(
            f"{config.dataset}: {len(data.train)} training images leave {len(train)} to train on and "
            f"{len(valid)} to validate on; change valid_fraction (now {config.valid_fraction})"
        )
    return train, valid


def long_tail(
    labels: np.ndarray, rows: np.ndarray, *, imbalance: Imbalance = 1.0, imbalance_kind: Kind = "exponential"
) -> np.ndarray:
    """Return the rows that are left when later classes keep fewer images than earlier ones.

    The images that a class keeps do not depend on a run's seed. With `select_on: test` on CIFAR they are those of the
    authors' code.

    Args:
        imbalance: how many times as many images the first class keeps as the last; 1 keeps all.
        imbalance_kind: "exponential", falling from class to class, or "step", where the later half of the classes
            keeps 1 / imbalance.

    Shapes: labels of the whole part [N], rows [M] ascending -> rows ascending.
    Source: Cao et al. 2019, "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", arXiv:1906.07413,
        sec. 4.1, after Cui et al. 2019, arXiv:1901.05555.
    Deviations: none on sets whose classes are equally large. On others a class keeps all its images where it has fewer
        than the rule gives it; each class keeps at least one.
    """
    if imbalance == 1:
        return rows
    num_classes = int(labels.max()) + 1
    counts = long_tailed_counts(np.bincount(labels[rows], minlength=num_classes), imbalance, imbalance_kind)
    random = np.random.RandomState(0)  # the generator and the seed of the authors' code
    kept = [random.permutation(rows[labels[rows] == label])[:count] for label, count in enumerate(counts)]
    return np.sort(np.concatenate(kept))


def long_tailed_counts(counts: np.ndarray, imbalance: float, kind: str) -> np.ndarray:
    """Return how many images each class keeps of those that it has. Shapes: [K] -> [K] int64."""
    number = len(counts)
    if kind == "step":
        falling = np.where(np.arange(number) < number // 2, 1.0, 1 / imbalance)
    else:
        falling = (1 / imbalance) ** (np.arange(number) / max(number - 1, 1))
    return np.minimum(counts, np.maximum(np.floor(counts.sum() / number * falling), 1)).astype(np.int64)
