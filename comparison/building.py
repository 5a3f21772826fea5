"""Runs -> one `Comparison`: all that tables, files and pages show, computed once."""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from comparison.grouping import Difference, Group, Spread, group_runs, is_number
from comparison.layout import DATA_KEYS, Layout, lay_out
from comparison.numbers import Unit, better_of, unit_of
from comparison.papers import Improvement, Printed, find_improvements, find_printed
from comparison.reading import NOISY, Found, newest
from comparison.strata import check_pooled, is_stratum, pooled_differences, with_strata
from comparison.testing import MOST_AUTOMATIC, Contrast, contrast_all
from configuration.schema import KEYS
from configuration.settings import shown
from evaluation.glossary import Better
from losses import BASELINES
from metrics import lower_is_better
from utils.lookup import did_you_mean
from utils.types import ConfigError

SAME_DATA = (*DATA_KEYS, "select_on", "valid_fraction", "smoke")
"""What numbers of one column must have in common to be compared; the first parts of keys."""
WORDS = {"val": "valid", "validation": "valid", "acc": "accuracy", "ce": "cross_entropy", "top5": "top5_accuracy"}
"""What others call parts of a metric's name."""
ROWS_NAMED = 8
"""Rows that a message names before it counts the rest."""
Tests = Literal["auto", "all", "seeds", "none"]


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Args:
        rows, columns: configuration keys; chosen from those that differ where empty.
        baseline: a row's label, or a value of its key; None for the default loss of a table's kind of data.
        reach: monitor's value whose first epoch is sought, a share for accuracies; None to seek none.
        cost: also say what training cost.
        exact: McNemar's exact test over images instead of its mid-p.
        pool: strata that are averaged over all the same, as of `strata.STRATA`.
        tests: over seeds and images, images only up to `MOST_AUTOMATIC` comparisons (auto); all; seeds alone; none.
    """

    metric: str = "test/accuracy"
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    baseline: str | None = None
    reach: float | None = None
    cost: bool = False
    tests: Tests = "auto"
    pool: tuple[str, ...] = ()
    exact: bool = False


@dataclass(frozen=True)
class Reached:
    """Args: median: epoch, counted from 0, None if half of the runs or more never got there. runs: how many did."""

    median: float | None
    runs: int


@dataclass(frozen=True)
class Cell:
    """A group where it stands."""

    row: str
    column: str
    group: Group
    spread: Spread | None
    best: bool
    papers: tuple[Printed, ...]
    contrast: Contrast | None = None
    reached: Reached | None = None


@dataclass(frozen=True)
class Panel:
    """One table.

    Args:
        cells: row and column label -> cell; rows and columns are in order, the baseline first.
        improvements: column -> the label of the other row with the best mean, and its difference to the baseline.
        warnings: what makes its numbers hard to compare.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: dict[tuple[str, str], Cell]
    baseline: str | None
    improvements: dict[str, tuple[str, Difference]]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    options: Options
    found: Found
    groups: tuple[Group, ...]
    layout: Layout
    panels: tuple[Panel, ...]
    not_tested: str = ""
    """Why there is no test where one could be expected."""
    improvements: tuple[Improvement, ...] = ()
    """Those that papers print of recipes' runs."""

    @cached_property
    def _units(self) -> dict[str, Unit]:
        """The units of evaluations' numbers, as the first run that has one says it."""
        every = ((name, each) for run in reversed(self.found.runs) for name, each in run.findings.items())
        return {name: Unit(each.unit, each.digits) for name, each in every}

    def unit(self, name: str | None = None) -> Unit:
        """Return how a number is written, that of the metric where none is named."""
        wanted = self.options.metric if name is None else name
        return self._units.get(wanted) or unit_of(wanted)

    @property
    def placed_cells(self) -> list[tuple[Panel, Cell]]:
        """All groups in the order of the tables, each with its table."""
        places = ((panel, row, column) for panel in self.panels for row in panel.rows for column in panel.columns)
        return [(panel, panel.cells[row, column]) for panel, row, column in places if (row, column) in panel.cells]

    @property
    def cells(self) -> list[Cell]:
        return [cell for _, cell in self.placed_cells]

    @property
    def contrasts(self) -> list[tuple[Panel, Cell]]:
        return [(panel, cell) for panel in self.panels for cell in panel.cells.values() if cell.contrast is not None]


def compare(found: Found, options: Options) -> Comparison:
    """Group, lay out and test.

    Raises: ConfigError for a metric, key or baseline that there is not.
    """
    _check_metric(found, options.metric)
    _check_reach(found, options.reach)
    check_pooled(options.pool)
    found = _with_names(found, (*options.rows, *options.columns))
    found = with_strata(_in_one_unit(found, options.metric), options.metric, options.pool)
    runs, repeated = newest(found.runs)
    found = replace(found, runs=tuple(runs), repeated=(*found.repeated, *repeated))
    better = _better(found, options.metric)
    groups = group_runs(found.runs)
    layout = lay_out(groups, options.rows, options.columns)
    wanted = None if options.baseline is None else _find_baseline(groups, layout, options.baseline)
    by_panel: dict[str, list[Group]] = {}
    for group in sorted(groups, key=lambda group: layout.order(group, layout.panels)):
        by_panel.setdefault(layout.panel(group), []).append(group)
    baselines = {title: wanted or _default_baseline(each, layout) for title, each in by_panel.items()}
    pairs = _pairs(by_panel, layout, baselines) if options.tests != "none" else []
    with_images = options.tests == "all" or (options.tests == "auto" and len(pairs) <= MOST_AUTOMATIC)
    contrasts = {each.group: each for each in contrast_all(pairs, options.metric, with_images, options.exact)}
    panels = [
        _panel(title, each, layout, baselines[title], contrasts, found, options, better)
        for title, each in by_panel.items()
    ]
    reason = ""
    if not any(baselines.values()) and len(groups) > 1 and options.tests != "none":
        rows = dict.fromkeys(map(layout.row, groups))
        reason = f"no baseline among the rows, so no tests; --baseline ROW names one: {_some(rows)}"
    elif options.tests == "auto" and not with_images:
        reason = f"{len(pairs):,} comparisons: tested over seeds only; --tests all reads all predictions"
    improvements = find_improvements(groups, options.metric, found.recipe)
    return Comparison(options, found, tuple(groups), layout, tuple(panels), reason, improvements)


def _with_names(found: Found, keys: Sequence[str]) -> Found:
    """Return the runs with those names of values that go together, as a sweep has them, which are asked for as keys."""
    asked = {name for run in found.runs for name in run.together} & set(keys)
    if not asked:
        return found
    named = ((run, {name: label for name, label in run.together.items() if name in asked}) for run in found.runs)
    return replace(found, runs=tuple(replace(run, settings=run.settings | names) for run, names in named))


def _check_metric(found: Found, metric: str) -> None:
    if any(is_number(run.summary.get(metric)) for run in found.runs):
        return
    known = {name for run in found.runs for name, value in run.summary.items() if is_number(value)}
    tested = ", ".join(sorted(name for name in known if name.startswith("test/")))
    evaluated = ", ".join(sorted({name for run in found.runs for name in run.findings} & known))
    told = f"of evaluations {evaluated}" if evaluated else "python evaluate.py RUN adds others"
    if several := [each for each in re.split(r"[,\s]+", metric) if each in known]:
        raise ConfigError(f"--metric: must be one, such as {several[0]}, got {metric!r}; --csv FILE has all of them")
    hint = did_you_mean(_spelled_out(metric), known)
    raise ConfigError(f"--metric: no run has {metric!r}{hint}; there are {tested}, ...; {told}")


def _spelled_out(metric: str) -> str:
    """Return a metric's name as summaries spell it, of one such as "val_acc" or "test acc"."""
    part, *words = [WORDS.get(word, word) for word in re.split(r"[\s/_.-]+", metric.lower()) if word] or [metric]
    return "/".join([part, "_".join(words)]) if words else part


def _in_one_unit(found: Found, metric: str) -> Found:
    """Leave out runs whose number is in another unit than that of most, as one of another version can be."""
    units = Counter(run.findings[metric].unit for run in found.runs if metric in run.findings)
    if len(units) < 2:
        return found
    usual = units.most_common(1)[0][0]
    odd = [run for run in found.runs if metric in run.findings and run.findings[metric].unit != usual]
    reasons = [
        (each.folder.path, f"{metric} is in {each.findings[metric].unit!r}, of others in {usual!r}") for each in odd
    ]
    return replace(found, runs=tuple(run for run in found.runs if run not in odd), damaged=(*found.damaged, *reasons))


def _better(found: Found, metric: str) -> Better:
    """Return which direction of the metric is better, as the evaluation that found it says."""
    said = next((run.findings[metric] for run in found.runs if metric in run.findings), None)
    return better_of(metric) if said is None else said.better


def _check_reach(found: Found, reach: float | None) -> None:
    """Raises: ConfigError for what is no number, or a share above 1, such as 90 where 90 % is meant."""
    if reach is not None and not math.isfinite(reach):
        raise ConfigError(f"--reach: must be a finite number, got {reach:g}")
    shares = [name for name in {str(run.settings["monitor"]) for run in found.runs} if unit_of(name).is_share]
    if reach is not None and reach > 1 and shares:
        raise ConfigError(f"--reach: {min(shares)} is a share of 1, so 0.9 means 90 %, got {reach:g}")


def _default_baseline(groups: Sequence[Group], layout: Layout) -> str | None:
    """Return the row of a table that the others are compared with where nobody said which, if there is one.

    It is that of the default loss of the table's kind of data, where rows are losses or what a sweep calls values that
    go together, losses among them; with several of it, the one of the shortest label has the fewest parameters.
    """
    defaults = list(BASELINES.values())
    rows = {(layout.row(group), group.settings["loss_function"]) for group in groups}
    of_losses = layout.rows[0] in ("loss_function", *groups[0].runs[0].together) and len(layout.rows) == 1
    if not of_losses or len(rows) > len({label for label, _ in rows}):
        return None
    found = [(defaults.index(loss), len(label), label) for label, loss in rows if loss in defaults]
    told = layout.rows == ("loss_function",) or len({loss for _, loss in rows}) > 1
    return min(found)[-1] if found and told else None


def _find_baseline(groups: Sequence[Group], layout: Layout, wanted: str) -> str:
    """Return the label of the row that somebody named.

    Raises: ConfigError if there is none, or several.
    """
    labels = {layout.row(group): group.settings.get(layout.rows[0]) for group in groups}
    if wanted in labels:
        return wanted
    of_value = sorted(label for label, value in labels.items() if shown(value) == wanted)
    if len(of_value) == 1:
        return of_value[0]
    if of_value:
        raise ConfigError(f"--baseline: {wanted!r} is several rows; name one: {' | '.join(of_value)}")
    raise ConfigError(f"--baseline: no row is called {wanted!r}{did_you_mean(wanted, labels)} ({_some(labels)})")


def _some(rows: Iterable[str]) -> str:
    known = list(rows)
    return " | ".join(known[:ROWS_NAMED]) + (f" | and {len(known) - ROWS_NAMED:,} more" if known[ROWS_NAMED:] else "")


def _pairs(
    panels: dict[str, list[Group]], layout: Layout, baselines: dict[str, str | None]
) -> list[tuple[Group, Group]]:
    """Return each group with the baseline of its column in its table, where there is one."""
    found = []
    for title, groups in panels.items():
        of_column = {layout.column(group): group for group in groups if layout.row(group) == baselines[title]}
        mine = ((group, of_column.get(layout.column(group))) for group in groups)
        found += [(group, other) for group, other in mine if other is not None and other is not group]
    return found


def _panel(
    title: str,
    groups: Sequence[Group],
    layout: Layout,
    baseline: str | None,
    contrasts: dict[Group, Contrast],
    found: Found,
    options: Options,
    better: Better,
) -> Panel:
    rows = list(dict.fromkeys(map(layout.row, sorted(groups, key=lambda group: layout.order(group, layout.rows)))))
    columns = dict.fromkeys(map(layout.column, sorted(groups, key=lambda each: layout.order(each, layout.columns))))
    rows.sort(key=lambda row: row != baseline)
    spreads = {group: Spread.of(group.values(options.metric).values()) for group in groups}
    best = _best(groups, spreads, layout, better)
    cells = {}
    for group in groups:
        row, column = layout.row(group), layout.column(group)
        papers = find_printed(group, options.metric, found.recipe)
        reached = None if options.reach is None else _reached(group, options.reach)
        spread, contrast = spreads[group], contrasts.get(group)
        cells[row, column] = Cell(row, column, group, spread, group in best, papers, contrast, reached)
    improvements = {column: _improvement(column, rows, cells, baseline, better, options.metric) for column in columns}
    known = {column: each for column, each in improvements.items() if each is not None}
    warnings = (*_warnings(groups, layout), *pooled_differences(groups))
    in_place = {(row, column): cells[row, column] for row in rows for column in columns if (row, column) in cells}
    return Panel(title, tuple(rows), tuple(columns), in_place, baseline, known, warnings)


def _best(groups: Sequence[Group], spreads: dict[Group, Spread | None], layout: Layout, better: Better) -> set[Group]:
    """Return the groups with the best mean of their column, where there are several and one direction is better."""
    if not better:
        return set()
    by_column: dict[str, list[tuple[float, Group]]] = {}
    for group in groups:
        if (spread := spreads[group]) is not None:
            by_column.setdefault(layout.column(group), []).append((spread.mean, group))
    pick = min if better == "lower" else max
    best = set()
    for members in by_column.values():
        winner = pick(mean for mean, _ in members)
        best |= {group for mean, group in members if mean == winner and len(members) > 1}
    return best


def _improvement(
    column: str,
    rows: Sequence[str],
    cells: dict[tuple[str, str], Cell],
    baseline: str | None,
    better: Better,
    metric: str,
) -> tuple[str, Difference] | None:
    base = None if baseline is None else cells.get((baseline, column))
    if base is None or base.spread is None or not better:
        return None
    found = ((row, cells.get((row, column))) for row in rows if row != baseline)
    others = [(cell.spread.mean, row) for row, cell in found if cell is not None and cell.spread is not None]
    if not others:
        return None
    _, row = (min if better == "lower" else max)(others, key=lambda other: other[0])
    difference = Difference.between(cells[row, column].group, base.group, metric)
    return None if difference is None else (row, difference)


def _reached(group: Group, value: float) -> Reached:
    """Find the first epoch whose monitor reached a value, the median over the seeds."""
    monitor = str(group.settings["monitor"])
    below = lower_is_better(monitor)
    epochs = []
    for run in group.runs:
        rows = run.folder.read_metrics()
        known = ((row["epoch"], row[monitor]) for row in rows if {"epoch", monitor} <= row.keys())
        there = (epoch for epoch, each in known if (each <= value if below else each >= value))
        epochs.append(next(there, float("inf")))
    median = statistics.median(epochs)
    return Reached(median if median != float("inf") else None, sum(epoch != float("inf") for epoch in epochs))


def _warnings(groups: Sequence[Group], layout: Layout) -> list[str]:
    """Name the columns whose numbers are of different data, or were trained or selected differently."""
    by_column: dict[str, list[Group]] = {}
    for group in groups:
        by_column.setdefault(layout.column(group), []).append(group)
    found = []
    for column, members in by_column.items():
        where = f"in column {column}, " if column else ""
        strata: list[str] = []
        for key in dict.fromkeys(key for group in members for key in group.settings):
            stratum = is_stratum(key)
            if not stratum and key.partition(".")[0] not in SAME_DATA:
                continue
            # a key of the schema that is absent has no effect there
            known = [group for group in members if key in group.settings or not (stratum or key in KEYS)]
            values = {shown(group.settings.get(key)) for group in known} - {NOISY}
            told = f"{key} ({' | '.join(sorted(values))})"
            if len(values) > 1 and not stratum:
                found.append(f"{where}runs differ in {told}: not comparable")
            elif len(values) > 1 and not layout.labels_rows_by(key):
                strata.append(told)
        if strata:
            found.append(f"{where}runs differ in {', '.join(strata)}, which can change numbers, too")
    return found
