"""Made-up tables of accuracies whose truth is known, for `benchmarks/verdicts.py`.

A table has rows (the first is the baseline), seeds and test images. Its accuracies have the spread of real runs: 0.3
points over seeds at 10,000 images, a third of the variance from single images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from comparison.noise import Parts, joint_df, moderate, row_variances

ROPE, LEVEL = 0.3, 0.05
IMAGES, SEEDS, BOTH = 0.1, 0.25, 0.16
"""Standard deviations in points: of a difference over images; of a row over seeds, and what images add to each seed."""
SPREADS = {
    "alike": {},
    "spreads differ": {"unlike": 0.5},
    "bad seeds": {"bad": 0.03},
    "unequal seeds": {"missing": 0.25},
}
"""Kinds of tables: rows spread alike; by factors of log-sd 0.5; 3 % of runs lose 2 points; a quarter is missing."""


@dataclass(frozen=True)
class Tables:
    """Made-up tables. Args: values: [T, R, S], NaN where a row lacks a seed. truth: [T, R - 1], difference to row 0."""

    values: np.ndarray
    truth: np.ndarray

    @property
    def parts(self) -> Parts:
        """Variances of the differences to row 0, as compare.py estimates them."""
        return parts_of(self.values, *self.moderated)

    @property
    def moderated(self) -> tuple[np.ndarray, np.ndarray]:
        if not np.isnan(self.values).any():
            return moderate(*row_variances(self.values))
        both = [moderate(*row_variances(table)) for table in self.values]
        return np.stack([variances for variances, _ in both]), np.stack([df for _, df in both])

    @property
    def differences(self) -> np.ndarray:
        return np.nanmean(self.values[:, 1:] - self.values[:, :1], axis=-1)


def parts_of(values: np.ndarray, variances: np.ndarray, df: np.ndarray) -> Parts:
    shared = (~np.isnan(values[:, 1:] - values[:, :1])).sum(-1)
    both = 2 * BOTH**2 / shared
    return Parts(
        IMAGES**2 + both,
        (variances[:, 1:] + variances[:, :1]) / shared,
        both,
        joint_df(variances[:, 1:], df[:, 1:], variances[:, :1], df[:, :1]),
        shared,
    )


def draw(
    random: np.random.Generator,
    tables: int,
    rows: int,
    seeds: int,
    truth: str,
    unlike: float = 0.0,
    bad: float = 0.0,
    missing: float = 0.0,
) -> Tables:
    """Draw tables. Args: truth: all differences 0 ("none"), at the rope ("edge"), or of all sizes ("mixed")."""
    choices = {"none": [0.0], "edge": [-ROPE, ROPE], "mixed": [0, 0.1, -0.1, 0.3, -0.3, 0.6, -0.6, 1, -1]}[truth]
    means = np.concatenate([np.zeros((tables, 1)), random.choice(choices, (tables, rows - 1))], axis=1)
    spread = SEEDS * np.exp(unlike * random.standard_normal((tables, rows)))
    values = means[..., None] + random.standard_normal((tables, rows, seeds)) * spread[..., None]
    values += 0.3 * random.standard_normal((tables, 1, seeds))  # what all rows share of a seed
    values += random.standard_normal((tables, rows, 1)) * IMAGES / np.sqrt(2)
    values += random.standard_normal((tables, rows, seeds)) * BOTH
    values -= 2 * ((random.random(values.shape) < bad) - bad)
    if missing:
        lacks = random.random((tables, rows, seeds)) < missing
        lacks[:, 0] = False  # the baseline has all; every row has at least two seeds
        lacks[..., :2] = False
        values[lacks] = np.nan
    return Tables(values, means[:, 1:] - means[:, :1])
