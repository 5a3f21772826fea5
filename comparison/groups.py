"""Groups of runs that differ in their seeds only: their numbers, and the keys in which groups differ."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from comparison.reading import Run, is_number
from configuration.settings import shown


@dataclass(frozen=True, eq=False)
class Group:
    """The runs of one configuration, in the order of their seeds."""

    settings: dict[str, Any]
    runs: tuple[Run, ...]

    def values(self, metric: str) -> dict[int, float]:
        """Return seed -> number, of the runs that have it."""
        return {run.seed: float(run.summary[metric]) for run in self.runs if is_number(run.summary.get(metric))}


@dataclass(frozen=True)
class Spread:
    """Mean, standard deviation (of a sample, n - 1; None for one) and number of some values."""

    mean: float
    std: float | None
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        numbers = list(values)
        if not numbers:
            return None
        return cls(statistics.fmean(numbers), statistics.stdev(numbers) if len(numbers) > 1 else None, len(numbers))


@dataclass(frozen=True)
class Difference:
    """A group's number less another's, over the seeds that both have; where they share none, of the two means.

    Args:
        value: the mean. by_seed: the difference of each shared seed, in their order.
        unshared: how many seeds have the number in one of the groups alone.
    """

    value: float
    by_seed: dict[int, float]
    unshared: int

    @classmethod
    def between(cls, group: Group, other: Group, metric: str) -> Difference | None:
        """Subtract the other group's number from a group's; None if one of them has no such number."""
        ours, theirs = group.values(metric), other.values(metric)
        if not ours or not theirs:
            return None
        shared = [seed for seed in ours if seed in theirs]
        value = statistics.fmean(ours[seed] for seed in shared or ours)
        value -= statistics.fmean(theirs[seed] for seed in shared or theirs)
        return cls(value, {seed: ours[seed] - theirs[seed] for seed in shared}, len(ours.keys() ^ theirs.keys()))

    @property
    def is_paired(self) -> bool:
        return bool(self.by_seed)


def group_runs(runs: Iterable[Run]) -> list[Group]:
    """Return the groups in an order that depends on their settings alone."""
    same: dict[frozenset[tuple[str, Any]], list[Run]] = {}
    for run in runs:
        same.setdefault(frozenset(run.settings.items()), []).append(run)
    groups = [Group(runs[0].settings, tuple(sorted(runs, key=lambda run: run.seed))) for runs in same.values()]
    varied = varied_keys(groups)
    return sorted(groups, key=lambda group: [order(group.settings.get(key)) for key in varied])


def varied_keys(groups: Sequence[Group]) -> list[str]:
    """Return the keys in which groups differ, in the order of the schema; having a parameter or not is a difference."""
    keys = list(dict.fromkeys(key for group in groups for key in group.settings))
    ranks = {key: rank for rank, key in enumerate(dict.fromkeys(key.partition(".")[0] for key in keys))}
    varied = [key for key in keys if len({group.settings.get(key, _ABSENT) for group in groups}) > 1]
    return sorted(varied, key=lambda key: (ranks[key.partition(".")[0]], key))


_ABSENT = object()


def order(value: Any) -> tuple[int, float, str]:
    """Return a key that sorts values of several types: numbers by size, then all else by its text."""
    if is_number(value):
        return 0, float(value), ""
    return (1, 0.0, "") if value is None else (2, 0.0, shown(value))
