"""What is known of each row: better or worse than the baseline, the same within a rope, or undecided.

Both tests are of one estimate with one variance (`noise`), each corrected by Holm for the comparisons of a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from comparison.groups import Difference, Group
from comparison.noise import (
    Parts,
    half_width,
    holm,
    image_parts,
    joint_df,
    leading_rows,
    moderate,
    p_difference,
    p_same,
    row_variances,
)
from comparison.power import Need, needed_seeds
from comparison.predictions import NotPaired, ReadImages
from sweeps.seeds import LEVEL

Decision = Literal["better", "worse", "same", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """What is known of a row, compared with the baseline of its column.

    Args:
        decision: at the level of its table, after Holm's correction.
        difference: of the metric, over the seeds that both have; of means where they share none.
        low, high: the 95 % interval of this difference alone, over seeds and, where `images` is not 0, test images.
        p_difference, p_same: as of one comparison; `adjusted_difference` and `adjusted_same` after Holm's correction.
        parts: variances; None without at least two seeds.
        need: seeds in all that would decide; None where it is decided, or nothing can be said.
        reason: why there is no interval, or none over images.
        images: over how many test images, 0 where only seeds count.
    """

    difference: Difference | None = None
    decision: Decision = "undecided"
    low: float = float("nan")
    high: float = float("nan")
    p_difference: float = 1.0
    p_same: float = 1.0
    adjusted_difference: float = 1.0
    adjusted_same: float = 1.0
    parts: Parts | None = None
    need: Need | None = None
    reason: str = ""
    images: int = 0

    @property
    def num_seeds(self) -> int:
        return 0 if self.difference is None else len(self.difference.by_seed)


@dataclass(frozen=True)
class Column:
    """The verdicts of the groups of one column, and which of them may be the best."""

    verdicts: dict[Group, Verdict]
    leading: frozenset[Group]


def judge_table(
    columns: Sequence[Sequence[Group]],
    baselines: Sequence[Group | None],
    metric: str,
    rope: float | None,
    higher_is_better: bool,
    read: ReadImages | None,
    level: float = LEVEL,
) -> list[Column]:
    """Return what is known of the groups of a table's columns.

    Args:
        rope: in the unit of the numbers as they are stored; None for no "same".
        read: None to count seeds only.
    """
    judged = [_measure(groups, base, metric, read) for groups, base in zip(columns, baselines, strict=True)]
    found = [(column, group) for column, (verdicts, _) in enumerate(judged) for group in verdicts]
    tested = [(column, group) for column, group in found if judged[column][0][group].parts is not None]
    verdicts = [judged[column][0][group] for column, group in tested]
    differ = holm(np.array([verdict.p_difference for verdict in verdicts]))
    raw = [1.0 if rope is None else _p_same(verdict, rope) for verdict in verdicts]
    alike = holm(np.array(raw))
    decided = [min(pair) < level for pair in zip(differ, alike, strict=True)]
    share = level / max(1, len(decided) - sum(decided))
    for place, (column, group) in enumerate(tested):
        verdict = verdicts[place]
        assert verdict.difference is not None
        assert verdict.parts is not None
        decision: Decision = "undecided"
        if alike[place] < level:
            decision = "same"
        elif differ[place] < level:
            decision = "better" if (verdict.difference.value > 0) == higher_is_better else "worse"
        need = needed_seeds(verdict.difference.value, verdict.parts, rope, share) if decision == "undecided" else None
        judged[column][0][group] = replace(
            verdict,
            decision=decision,
            p_same=raw[place],
            adjusted_difference=float(differ[place]),
            adjusted_same=float(alike[place]),
            need=need,
        )
    return [
        Column(verdicts, _leading(groups, members, metric, higher_is_better, level))
        for (verdicts, members), groups in zip(judged, columns, strict=True)
    ]


def _p_same(verdict: Verdict, rope: float) -> float:
    assert verdict.difference is not None
    assert verdict.parts is not None
    return float(p_same(np.array(verdict.difference.value), *verdict.parts.total, rope))


class _Members:
    """The groups of a column with what their differences can be off, whichever two are compared."""

    def __init__(self, groups: Sequence[Group], metric: str, read: ReadImages | None) -> None:
        self.values = {group: group.values(metric) for group in groups}
        self.groups = [group for group, values in self.values.items() if values]
        seeds = sorted({seed for group in self.groups for seed in self.values[group]})
        table = np.array([[self.values[group].get(seed, np.nan) for seed in seeds] for group in self.groups])
        self.variances, self.df = moderate(*row_variances(table)) if len(self.groups) > 1 else (np.zeros(1),) * 2
        self.reasons: dict[Group, str] = {}
        self._images: dict[Group, dict[int, tuple[bytes, np.ndarray]]] = {}
        for group in self.groups:
            if read is None:
                break
            try:
                self._images[group] = {run.seed: read(run) for run in group.runs if run.seed in self.values[group]}
            except NotPaired as problem:
                self.reasons[group] = problem.reason

    def parts(self, group: Group, other: Group) -> tuple[Parts | None, int, str]:
        """Return the variances of a difference, over how many images, and why there is none, or none of images."""
        ours, theirs = self.values[group], self.values[other]
        shared = [seed for seed in ours if seed in theirs]
        if not shared:
            return self._unpaired(ours, theirs)
        if len(shared) < 2:
            return None, 0, "one seed"
        places = [self.groups.index(each) for each in (group, other)]
        (first, second), (df, other_df) = self.variances[places], self.df[places]
        of_images, both, number, reason = self._of_images(group, other, shared)
        freedom = joint_df(first, df, second, other_df)
        count = np.array(len(shared))
        parts = Parts(np.array(of_images), np.array((first + second) / len(shared)), np.array(both), freedom, count)
        return parts, number, reason

    def _of_images(self, group: Group, other: Group, shared: Sequence[int]) -> tuple[float, float, int, str]:
        if group not in self._images or other not in self._images:
            return 0.0, 0.0, 0, self.reasons.get(group) or self.reasons.get(other, "")
        ours, theirs = self._images[group], self._images[other]
        if len({side[seed][0] for side in (ours, theirs) for seed in shared}) > 1:
            return 0.0, 0.0, 0, "other test images"
        stacked = np.stack([ours[seed][1] - theirs[seed][1] for seed in shared])
        return *image_parts(stacked), stacked.shape[1], ""

    @staticmethod
    def _unpaired(ours: dict[int, float], theirs: dict[int, float]) -> tuple[Parts | None, int, str]:
        """Without a shared seed: Welch's variance of two means, over seeds only."""
        if min(len(ours), len(theirs)) < 2:
            return None, 0, "no seed in common"
        each = [np.var(list(side.values()), ddof=1) / len(side) for side in (ours, theirs)]
        free = sum(part**2 / (len(side) - 1) for part, side in zip(each, (ours, theirs), strict=True))
        df = sum(each) ** 2 / free if free else float(len(ours) + len(theirs) - 2)
        count = np.array(min(len(ours), len(theirs)))
        return Parts(np.array(0.0), np.array(sum(each)), np.array(0.0), np.array(df), count), 0, "no seed in common"


def _measure(
    groups: Sequence[Group], baseline: Group | None, metric: str, read: ReadImages | None
) -> tuple[dict[Group, Verdict], _Members]:
    """Return the estimates of a column, without decisions."""
    members, verdicts = _Members(groups, metric, read), {}
    for group in groups if baseline is not None else ():
        if group is baseline or baseline is None:
            continue
        difference = Difference.between(group, baseline, metric)
        if difference is None:
            verdicts[group] = Verdict(reason=f"no {metric} on one side")
            continue
        parts, images, reason = members.parts(group, baseline)
        if parts is None:
            verdicts[group] = Verdict(difference, reason=reason)
            continue
        variance, df = parts.total
        half = float(half_width(variance, df))
        probability = float(p_difference(np.array(difference.value), variance, df))
        low, high = difference.value - half, difference.value + half
        verdicts[group] = Verdict(
            difference, "undecided", low, high, probability, parts=parts, reason=reason, images=images
        )
    return verdicts, members


def _leading(
    groups: Sequence[Group], members: _Members, metric: str, higher_is_better: bool, level: float
) -> frozenset[Group]:
    """Return the groups that may be the best, those among them that cannot be compared; none of a single group."""
    known = members.groups
    if len(known) < 2:
        return frozenset()
    shape = (len(known), len(known))
    found, fields = np.zeros(shape), [np.zeros(shape) for _ in Parts._fields]
    fields[1], fields[3] = np.full(shape, np.inf), np.ones(shape)
    for place, group in enumerate(known):
        for other in range(place):
            parts, _, _ = members.parts(group, known[other])
            difference = Difference.between(group, known[other], metric)
            if parts is None or difference is None:
                continue
            value = difference.value if higher_is_better else -difference.value
            found[place, other], found[other, place] = value, -value
            for field, part in zip(fields, parts, strict=True):
                field[place, other] = field[other, place] = part
    leading = leading_rows(found, Parts(*fields), level)
    return frozenset(group for group, leads in zip(known, leading, strict=True) if leads)
