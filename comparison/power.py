"""How many seeds would decide, from the differences seen so far."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from comparison.noise import Parts, half_width
from sweeps.seeds import POWER

MOST_SEEDS = 200
"""Seeds beyond which nobody is sent for more."""


class Need(NamedTuple):
    """Seeds in all with which a row is decided with probability `POWER`; None for more than `MOST_SEEDS`, or never.

    Args:
        low, high: the same with a variance over seeds at the ends of its 80 % interval.
        ever: whether any number would do: what the test images leave open, seeds cannot close.
    """

    seeds: int | None
    low: int | None = None
    high: int | None = None
    ever: bool = True


def chance_to_decide(
    difference: float, parts: Parts, seeds: np.ndarray, rope: float | None, level: float
) -> np.ndarray:
    """Return the probability that so many seeds in all, [K], decide: those that are there stay among them.

    The test images stay, so that the difference moves around the one seen by what further seeds bring: with the
    variance of a seed times 1/now - 1/then.
    """
    from scipy.special import stdtr

    later, one, now = _later(parts, seeds)
    moves = np.sqrt(one * (1 / now - 1 / seeds)) + 1e-300

    def within(limit: np.ndarray) -> np.ndarray:
        return stdtr(parts.df, (limit - difference) / moves) - stdtr(parts.df, (-limit - difference) / moves)

    variance, df = later.total
    outer = half_width(variance, df, level)
    inner = np.zeros_like(outer) if rope is None else np.maximum(0, rope - half_width(variance, df, 2 * level))
    return np.where(inner >= outer, 1.0, 1 - within(outer) + within(inner))


def _later(parts: Parts, seeds: np.ndarray) -> tuple[Parts, float, float]:
    """Return the variances to expect of so many seeds, the variance of a single one, and how many there are now."""
    now = float(parts.num_seeds)
    one, both = float(np.maximum(parts.seeds, parts.both)) * now, parts.both * now / seeds
    df = parts.df * (seeds - 1) / max(now - 1, 1)
    return Parts(np.maximum(parts.images - parts.both, 0) + both, one / seeds, both, df, seeds), one, now


def needed_seeds(difference: float, parts: Parts, rope: float | None, level: float) -> Need:
    """Return how many seeds decide whether a difference is there or within the rope. Args: parts: of one difference."""
    from scipy.special import chdtri

    seeds = np.arange(int(parts.num_seeds) + 1, MOST_SEEDS + 1)

    if len(seeds) == 0:
        return Need(None)

    def first(factor: float) -> int | None:
        scaled = parts._replace(seeds=np.maximum(parts.seeds, parts.both) * factor)
        enough = chance_to_decide(difference, scaled, seeds, rope, level) >= POWER
        return int(seeds[enough.argmax()]) if enough.any() else None

    ever = chance_to_decide(difference, parts, np.array([1e6]), rope, level)[0] >= POWER
    df = float(parts.df)
    factors = (df / float(chdtri(df, 0.1)), df / float(chdtri(df, 0.9)))
    low, high = first(factors[0]), first(factors[1])
    if low is not None and high is not None:
        low, high = min(low, high), max(low, high)
    return Need(first(1.0), low, high, bool(ever))
