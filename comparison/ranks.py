"""Rows over several data sets: mean ranks and how far apart they must be, and how probably a row is better.

scipy has all tests, which scikit-posthocs and autorank wrap; the critical difference is a quantile of its range.
rliable's probability of improvement is the mean of Mann and Whitney's statistic; the package has not moved since 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from comparison.groups import Group
from comparison.noise import holm
from comparison.panels import Comparison
from comparison.reading import DATA
from comparison.table import Table, Text
from comparison.units import p_text

RESAMPLES = 2000


@dataclass(frozen=True)
class Ranks:
    """Args:
    rows: the best mean rank first. sets: names of the data sets.
    ranks: mean rank of each row, 1 for the best. critical: by how much they must differ (Nemenyi); None without a test.
    friedman: p of "all rows are alike"; None for fewer than three rows or sets.
    near: on how many sets a row is within the rope of the best.
    improvement: row -> probability that a run is better than one of the baseline, low and high of its 95 % interval.
    wilcoxon: row -> p over the sets against the baseline, and after Holm's correction.
    shortfalls: [rows, sets], by how much each row misses the best of a set.
    """

    rows: tuple[str, ...]
    sets: tuple[str, ...]
    ranks: tuple[float, ...]
    critical: float | None
    friedman: float | None
    near: tuple[int, ...]
    improvement: dict[str, tuple[float, float, float]]
    wilcoxon: dict[str, tuple[float, float]]
    shortfalls: np.ndarray


def rank_rows(comparison: Comparison) -> Ranks | None:
    """Rank the rows that all data sets have; None for fewer than two rows or sets, or a metric without a direction.

    Columns of one data set, such as networks, are averaged: they are not independent.
    """
    metric, better = comparison.options.metric, comparison.better
    cells: dict[str, dict[str, list[Group]]] = {}
    for _, cell in comparison.placed_cells:
        if cell.spread is not None:
            name = f"{cell.group.settings.get('dataset')} {str(cell.group.settings.get(DATA))[:6]}"
            cells.setdefault(name, {}).setdefault(cell.row, []).append(cell.group)
    every = dict.fromkeys(row for found in cells.values() for row in found)
    rows = [row for row in every if all(row in found for found in cells.values())]
    if not better or len(cells) < 2 or len(rows) < 2:
        return None
    from scipy import stats

    sign = 1.0 if better == "higher" else -1.0
    runs = {
        name: {row: [sign * np.array(list(group.values(metric).values())) for group in found[row]] for row in rows}
        for name, found in cells.items()
    }
    means = np.array([[np.mean([each.mean() for each in found[row]]) for found in runs.values()] for row in rows])
    ranks = stats.rankdata(-means, axis=0).mean(1)
    enough = len(rows) > 2 and len(cells) > 2
    friedman: Any = stats.friedmanchisquare(*means).pvalue if enough else None
    quantile: Any = stats.studentized_range.ppf(0.95, len(rows), np.inf) / np.sqrt(2)
    critical = float(quantile) * np.sqrt(len(rows) * (len(rows) + 1) / (6 * len(cells))) if enough else None
    shortfalls = means.max(0) - means
    base = next((panel.baseline for panel in comparison.panels if panel.baseline in rows), None)
    others = [row for row in rows if base is not None and row != base]
    improvement = {row: _improvement([(found[row], found[base or ""]) for found in runs.values()]) for row in others}
    gaps = [means[rows.index(row)] - means[rows.index(base or "")] for row in others] if len(cells) > 2 else []
    tests: list[Any] = [stats.wilcoxon(gap) if gap.any() else None for gap in gaps]
    raw = [1.0 if test is None else float(test.pvalue) for test in tests]
    order = np.argsort(ranks, kind="stable")
    return Ranks(
        tuple(rows[place] for place in order),
        tuple(cells),
        tuple(float(ranks[place]) for place in order),
        None if critical is None else float(critical),
        None if friedman is None else float(friedman),
        tuple(int((shortfalls[place] <= (comparison.rope or 0)).sum()) for place in order),
        improvement,
        dict(zip(others, zip(raw, holm(np.array(raw)).tolist(), strict=True), strict=False)),
        shortfalls[order],
    )


def _improvement(sets: list[tuple[list[np.ndarray], list[np.ndarray]]]) -> tuple[float, float, float]:
    """Return P(a run is better), the mean over data sets and their columns, and a bootstrap interval over their seeds.

    Source: Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice".
    """
    random = np.random.default_rng(0)
    pairs = [pair for ours, theirs in sets for pair in zip(ours, theirs, strict=False)]

    def of(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        larger = (first[..., :, None] > second[..., None, :]) + 0.5 * (first[..., :, None] == second[..., None, :])
        return larger.mean((-1, -2))

    value = float(np.mean([of(first, second) for first, second in pairs]))
    drawn = [of(*(random.choice(side, (RESAMPLES, len(side))) for side in pair)) for pair in pairs]
    low, high = np.quantile(np.mean(drawn, axis=0), [0.025, 0.975])
    return value, float(low), float(high)


def ranks_table(comparison: Comparison) -> Table | None:
    """Return the rows by their mean rank over data sets; None where there are not several."""
    found = rank_rows(comparison)
    if found is None:
        return None
    base = next((panel.baseline for panel in comparison.panels if panel.baseline in found.rows), None)
    rows = []
    for row, rank, near in zip(found.rows, found.ranks, found.near, strict=True):
        texts = [row, f"{rank:.2f}", f"{near} of {len(found.sets)}"]
        value = found.improvement.get(row)
        texts.append("" if value is None else f"{value[0]:.2f} ({value[1]:.2f} to {value[2]:.2f})")
        test = found.wilcoxon.get(row)
        texts.append("" if test is None else f"{p_text(test[0])} ({p_text(test[1])})")
        leads = found.critical is not None and rank - found.ranks[0] < found.critical
        rows.append((Text(texts[0], leads), *map(Text, texts[1:])))
    notes = ["rank: 1 for the best of a data set, the mean over sets; near: within the rope of the best of a set"]
    if base is not None:
        notes.append(f"P(better): that a run of the row is better than one of {base}; 95 % interval over seeds")
    if found.friedman is not None and found.critical is not None:
        alike = f"all rows alike: p = {p_text(found.friedman)} (Friedman)"
        notes.append(f"{alike}; ranks that are {found.critical:.2f} apart differ (Nemenyi)")
    else:
        notes.append("tests over data sets need at least three rows and three data sets")
    header = (", ".join(comparison.layout.rows), "mean rank", "near the best", "P(better)", "Wilcoxon p (Holm)")
    used = [number for number in range(len(header)) if number < 3 or any(row[number].text for row in rows)]
    return Table(
        f"Over {len(found.sets)} data sets: {comparison.unit().heading(comparison.options.metric)}",
        tuple(header[number] for number in used),
        tuple(tuple(row[number] for number in used) for row in rows),
        tuple(notes),
        of_all=True,
        starred="not told apart from the best mean rank",
    )
