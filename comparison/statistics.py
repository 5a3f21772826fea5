"""Paired tests: is a difference more than noise? scipy's where it has them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

EXACT_SEEDS = 12
"""Up to so many seeds all signs are tried; beyond, Student's t."""
EXACT_IMAGES = 10_000
"""Up to so many images on which two networks differ all outcomes are counted; beyond, the normal distribution is."""
RESAMPLES = 10_000


class SeedTest(NamedTuple):
    """Args: p_value: two-sided. method: which test. smallest: the least p that so many seeds can give."""

    p_value: float
    method: str
    smallest: float


def over_seeds(differences: Sequence[float]) -> SeedTest | None:
    """Test whether paired differences, one a seed, are 0 on average; None for fewer than two.

    With few, the exact permutation test over all signs (Fisher's), which assumes nothing of their distribution; with
    more than `EXACT_SEEDS`, the paired t test.
    """
    number = len(differences)
    if number < 2:
        return None
    values = np.asarray(differences, dtype=float)
    if number > EXACT_SEEDS:
        from scipy import stats  # takes a second to import

        if np.ptp(values) < 1e-12:  # the test's limit, where its variance is 0
            return SeedTest(float(abs(values[0]) < 1e-12), "paired t", 0.0)
        result: Any = stats.ttest_1samp(values, 0.0)
        return SeedTest(float(result.pvalue), "paired t", 0.0)
    sums = np.abs(_signs(number) @ values)
    seen = abs(values.sum())
    return SeedTest(float((sums >= seen * (1 - 1e-12)).mean()), "exact sign-flip", 2.0 ** (1 - number))


@functools.cache
def _signs(number: int) -> np.ndarray:
    """Return all combinations of signs: [2^number, number] of -1 and 1."""
    return np.array(list(itertools.product((-1.0, 1.0), repeat=number)))


def over_images(differences: np.ndarray, exact: bool = False) -> float:
    """Test whether two methods are right on as many test images; return the two-sided mid-p, or the exact p.

    Args:
        differences: [N] int, for each image the number of seeds with which the first was right, less the second's.
        exact: count the outcomes as likely as the one seen whole, so that errors of the first kind are never more than
            the level; the mid-p counts half of them, and is the less conservative.

    The test over all signs, an image with all its seeds being one draw. With one seed that is McNemar's; with several,
    its form for clusters, of which the score test of Durkalski et al. is the limit.

    Source: Fagerland et al. 2013, "The McNemar test for binary matched-pairs data: mid-p and asymptotic are better than
    exact conditional"; Durkalski et al. 2003, "Analysis of clustered matched-pair data".
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    if len(sizes) == 0:
        return 1.0
    from scipy import stats

    seen = abs(int(differences.sum()))
    if counts.sum() > EXACT_IMAGES:
        return float(2 * stats.norm.sf(seen / np.sqrt((counts * sizes.astype(float) ** 2).sum())))
    total = np.ones(1)  # probabilities of the sum over sizes * (number of plus signs)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        spaced = np.zeros(size * count + 1)
        spaced[::size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        total = np.convolve(total, spaced)
    sums = 2 * np.arange(len(total)) - (len(total) - 1)
    outside, as_seen = total[np.abs(sums) > seen].sum(), total[np.abs(sums) == seen].sum()
    return float(min(1.0, outside + as_seen / (1 if exact else 2)))


def bootstrap_interval(differences: np.ndarray, seed: int = 0, share: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of the mean difference, images drawn anew with all their seeds.

    Args:
        differences: [N] float, mean over the seeds of (first right) - (second right).

    The mean of N draws depends only on how often each value is drawn, which is multinomial.
    """
    values, counts = np.unique(differences, return_counts=True)
    number = len(differences)
    draws = np.random.default_rng(seed).multinomial(number, counts / number, size=RESAMPLES)  # [R, values]
    tail = (1 - share) / 2
    low, high = np.quantile(draws @ values / number, [tail, 1 - tail])
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values that hold for all of them together, in the order given.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    adjusted = [0.0] * len(p_values)
    reached = 0.0
    for place, each in enumerate(sorted(range(len(p_values)), key=lambda number: p_values[number])):
        reached = max(reached, min(1.0, (len(p_values) - place) * p_values[each]))
        adjusted[each] = reached
    return adjusted
