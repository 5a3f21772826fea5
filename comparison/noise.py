"""How far a difference of two rows can be off, over test images and seeds: crossed random effects.

A difference of two rows on image i with seed s is mu + image_i + seed_s + both_is, and the variance of its mean over N
images and S seeds is var(image) / N + var(seed) / S + var(both) / NS. Three mean squares estimate it. Few seeds say
little of their own variance, so that of each row is drawn towards that of all rows, as far as they agree (Smyth 2004).
All functions take leading axes, for many tables at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

CERTAIN = 1e9
"""Degrees of freedom of a variance that is known."""


class Parts(NamedTuple):
    """Variances of a mean difference.

    Args:
        images: over test images, for these networks. seeds: over seeds, on these images. both: counted in either.
        df: degrees of freedom of `seeds`. num_seeds: over how many the mean is.
    """

    images: np.ndarray
    seeds: np.ndarray
    both: np.ndarray
    df: np.ndarray
    num_seeds: np.ndarray

    @property
    def total(self) -> tuple[np.ndarray, np.ndarray]:
        """The variance over other images and other seeds, and its degrees of freedom (Satterthwaite 1946).

        They are at most twice those of the seeds: where few seeds happen to agree, the images would vouch for them.
        """
        seeds = np.maximum(self.seeds, self.both)  # as they are but for chance
        variance = self.images + seeds - self.both
        with np.errstate(divide="ignore", invalid="ignore"):
            df = np.where(seeds > 0, variance**2 / (seeds**2 / self.df), CERTAIN)
        return variance, np.minimum(df, np.where(seeds > 0, 2 * self.df, CERTAIN))


def row_variances(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's variance over seeds beside what all rows share of a seed, and its degrees of freedom.

    Args: values: [..., R, S]; NaN where a row lacks a seed, in a single table only.
    """
    rows, seeds = values.shape[-2:]
    if not np.isnan(values).any():
        centred = values - values.mean(-1, keepdims=True)
        residual = centred - centred.mean(-2, keepdims=True)
        df = np.full(values.shape[:-1], (seeds - 1) * (rows - 1) / rows)
        return (residual**2).sum(-1) / np.maximum(df, 1e-9), df
    row, seed = np.nonzero(~np.isnan(values))
    design = np.concatenate([np.eye(rows)[row], np.eye(seeds)[seed]], axis=1)  # [cells, R + S]
    left = np.linalg.svd(design, full_matrices=False)
    basis = left.U[:, 1e-9 * left.S[0] < left.S]
    cells = values[row, seed]
    residual = cells - basis @ (basis.T @ cells)
    free = 1 - (basis**2).sum(1)
    df = np.bincount(row, free, rows)
    df[df < 1e-9] = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(df > 0, np.bincount(row, residual**2, rows) / df, np.nan), df


def moderate(variances: np.ndarray, df: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw the variances of rows towards their common one, and return them with their degrees of freedom.

    Half of the degrees of freedom that the rows lend one another are counted, as few rows say little of how they agree;
    `benchmarks/verdicts.py` has the error rates with and without.

    Args: variances, df: [..., R]; without degrees of freedom, a row takes what the others have.

    Source: Smyth 2004, "Linear models and empirical Bayes methods for assessing differential expression".
    """
    from scipy.special import digamma, polygamma

    usable = df > 0
    weights, known = np.where(usable, df, 0.0), np.where(usable, np.nan_to_num(variances), 0.0)
    total = weights.sum(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (weights * known).sum(-1, keepdims=True) / total
        half = np.where(usable, df, 2.0) / 2
        logs = np.log(np.maximum(known, 1e-5 * pooled)) - digamma(half) + np.log(half)
        count = usable.sum(-1, keepdims=True)
        mean = np.where(usable, logs, 0.0).sum(-1, keepdims=True) / count
        spread = np.where(usable, (logs - mean) ** 2 * count / (count - 1) - polygamma(1, half), 0.0)
        excess = spread.sum(-1, keepdims=True) / count
        differ = (excess > 1e-3) & (count > 2) & (pooled > 0)
        lent = 2 * _inverse_trigamma(np.where(differ, excess, 1.0))
        prior = np.where(differ, np.exp(mean + digamma(lent / 2) - np.log(lent / 2)), pooled)
        moderated = np.where(differ, (lent * prior + weights * known) / (lent + weights), pooled)
    return moderated, np.where(differ, np.minimum(lent / 2 + weights, total), np.broadcast_to(total, df.shape))


def _inverse_trigamma(value: np.ndarray) -> np.ndarray:
    from scipy.special import polygamma

    guess = 0.5 + 1 / value
    for _ in range(8):  # Newton's method as in Smyth 2004; it converges from this start
        trigamma = polygamma(1, guess)
        guess = guess + trigamma * (1 - trigamma / value) / polygamma(2, guess)
    return guess


def joint_df(first: np.ndarray, df: np.ndarray, second: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the degrees of freedom of a sum of two rows' variances, which are estimated together."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(first + second > 0, (first + second) / (first / df + second / other), np.minimum(df, other))


def image_parts(differences: np.ndarray) -> tuple[float, float]:
    """Return the variances `images` and `both` of `Parts`. Args: differences: [S, N], of each image with each seed."""
    seeds, number = differences.shape
    if number < 2:
        return 0.0, 0.0
    total = float(np.einsum("sn,sn->", differences, differences, dtype=np.float64))
    means = differences.sum(0, dtype=np.float64) / seeds
    by_seed = differences.sum(1, dtype=np.float64) / number
    mean = float(means.mean())
    of_images = float((means**2).sum()) - number * mean**2
    rest = total - seeds * number * mean**2 - seeds * of_images - number * float(((by_seed - mean) ** 2).sum())
    both = max(rest, 0.0) / ((seeds - 1) * (number - 1)) / (seeds * number) if seeds > 1 else 0.0
    return of_images / (number - 1) / number, both


def p_difference(difference: np.ndarray, variance: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Return the two-sided p of "the difference is 0", of Student's t."""
    from scipy.special import stdtr

    return np.minimum(1.0, 2 * stdtr(df, -_ratio(np.abs(difference), variance)))


def p_same(difference: np.ndarray, variance: np.ndarray, df: np.ndarray, rope: float) -> np.ndarray:
    """Return the p of "the difference is `rope` or more, either way": two one-sided tests (Schuirmann 1987)."""
    from scipy.special import stdtr

    return stdtr(df, -_ratio(rope - np.abs(difference), variance))


def half_width(variance: np.ndarray, df: np.ndarray, level: float = 0.05) -> np.ndarray:
    """Return half of the width of the interval of 1 - `level`."""
    from scipy.special import stdtrit

    return stdtrit(df, 1 - level / 2) * np.sqrt(variance)


def _ratio(value: np.ndarray, variance: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 0, value / np.sqrt(variance), np.where(value == 0, 0.0, np.sign(value) * np.inf))


def holm(p_values: np.ndarray | list[float]) -> np.ndarray:
    """Return p values that hold for all of the last axis together.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values, axis=-1, kind="stable")
    steps = np.take_along_axis(values, order, -1) * np.arange(values.shape[-1], 0, -1)
    adjusted = np.empty_like(values)
    np.put_along_axis(adjusted, order, np.minimum(1.0, np.maximum.accumulate(steps, -1)), -1)
    return adjusted


def leading_rows(differences: np.ndarray, parts: Parts, level: float = 0.05) -> np.ndarray:
    """Return which rows may be the best: [R] bool. The best row is among them with probability 1 - `level`.

    A row is left out where another is better at level / (R - 1), one-sided: for the truly best row these are R - 1
    tests, whatever the other pairs are (multiple comparisons with the best, Hsu 1984, with Bonferroni's bound).

    Args: differences: [R, R], row less column, higher being better. parts: of these, each [R, R].
    """
    from scipy.special import stdtr

    variance, df = parts.total
    off = ~np.eye(len(differences), dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(variance > 0, differences / np.sqrt(variance), np.sign(differences) * np.inf)
    p_worse = stdtr(df, np.where(np.isnan(score), 0.0, score))
    return ~((p_worse < level / max(1, len(differences) - 1)) & off).any(1)
