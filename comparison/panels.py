"""Runs -> one `Comparison`: all that tables, files and pages show, computed once."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from comparison.baselines import ROWS_NAMED, default_baseline, find_baseline, pair_with_baseline
from comparison.groups import Difference, Group, Spread, group_runs
from comparison.layout import DATA_KEYS, Layout, lay_out
from comparison.papers import Improvement, Printed, find_improvements, find_printed
from comparison.predictions import Rightness
from comparison.reading import NOISY, newest
from comparison.significance import METRIC_OF_IMAGES, MOST_AUTOMATIC, Contrast, contrast_all
from comparison.sources import Selection
from comparison.strata import check_pooled, is_stratum, pooled_differences, with_strata
from comparison.units import Unit, better_of, check_metric, check_reach, in_one_unit, rope_of, unit_of
from comparison.verdicts import Verdict, judge_table
from configuration.schema import KEYS
from configuration.settings import shown
from evaluation.glossary import Better
from metrics import lower_is_better
from sweeps.seeds import LEVEL, level_of
from utils.types import first_few

SAME_DATA = (*DATA_KEYS, "select_on", "valid_fraction", "smoke")
"""The first parts of keys in which runs must agree for their numbers to be comparable."""


@dataclass(frozen=True)
class Options:
    """The choices of compare.py's user.

    Args:
        rows, columns: configuration keys; chosen from those that differ where empty.
        baseline: a row's label, or a value of its key; None for the default loss of a table's kind of data.
        reach: value of the monitor whose first epoch is looked for, a share for accuracies; None for none.
        cost: also show the cost of training.
        tests: over seeds and images, images only up to `MOST_AUTOMATIC` comparisons (auto); all; seeds alone; none.
        pool: strata, of `strata.STRATA`, that do not separate groups.
        exact: McNemar's exact test over images instead of its mid-p.
        rope: largest difference that does not matter, in the metric's unit as it is shown; None for the unit's default.
        two_tests: also show the table with one test over images and one over seeds.
        more_metrics: further metrics, each with verdicts of its own.
    """

    metric: str = "test/accuracy"
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    baseline: str | None = None
    reach: float | None = None
    cost: bool = False
    tests: Literal["auto", "all", "seeds", "none"] = "auto"
    pool: tuple[str, ...] = ()
    exact: bool = False
    rope: float | None = None
    two_tests: bool = False
    more_metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reached:
    """Args: median: epoch, from 0, None if half of the runs or more never got there. runs: how many did."""

    median: float | None
    runs: int


@dataclass(frozen=True)
class Cell:
    """A group in its place.

    Args:
        best: its mean is the best of its column. leading: it may be the best; None where nothing was compared.
        contrast: by two tests, `verdict` by one interval; None of a baseline, and where there is none.
    """

    row: str
    column: str
    group: Group
    spread: Spread | None
    best: bool
    papers: tuple[Printed, ...]
    contrast: Contrast | None = None
    reached: Reached | None = None
    verdict: Verdict | None = None
    leading: bool | None = None


@dataclass(frozen=True)
class Panel:
    """One table.

    Args:
        cells: row and column label -> cell; rows and columns are in order, the baseline first.
        improvements: column -> the label of the other row with the best mean, and its difference to the baseline.
        warnings: reasons why its numbers are hard to compare.
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
    """Args:
    not_tested: why there are no tests where some could be expected. improvements: those that papers print.
    rope: in the numbers' own unit, shares as shares; None where "same" means nothing.
    level: of the verdicts of a table together.
    others: the same runs by further metrics.
    """

    options: Options
    selection: Selection
    groups: tuple[Group, ...]
    layout: Layout
    panels: tuple[Panel, ...]
    not_tested: str = ""
    improvements: tuple[Improvement, ...] = ()
    rope: float | None = None
    level: float = LEVEL
    others: tuple[Comparison, ...] = ()
    better: Better = ""

    @cached_property
    def _units(self) -> dict[str, Unit]:
        """The units of evaluations' numbers, as the first run that has one says it."""
        findings = (pair for run in reversed(self.selection.runs) for pair in run.findings.items())
        return {name: Unit(finding.unit, finding.digits) for name, finding in findings}

    def unit(self, name: str | None = None) -> Unit:
        """Return how a number is written, that of the metric where none is named."""
        name = self.options.metric if name is None else name
        return self._units.get(name) or unit_of(name)

    @property
    def placed_cells(self) -> list[tuple[Panel, Cell]]:
        """All groups in the order of the tables, each with its table."""
        return [(panel, cell) for panel in self.panels for cell in panel.cells.values()]

    @property
    def cells(self) -> list[Cell]:
        return [cell for _, cell in self.placed_cells]

    @property
    def contrasts(self) -> list[tuple[Cell, Contrast]]:
        return [(cell, cell.contrast) for cell in self.cells if cell.contrast is not None]


def compare(selection: Selection, options: Options) -> Comparison:
    """Group, lay out and test. Raises: ConfigError for a metric, key or baseline that there is not."""
    metric, original = options.metric, selection
    for name in (metric, *options.more_metrics):
        check_metric(selection, name)
    check_reach(selection, options.reach)
    check_pooled(options.pool)
    selection = _with_names(selection, {*options.rows, *options.columns})
    selection = with_strata(in_one_unit(selection, metric), metric, options.pool)
    runs, repeated = newest(selection.runs)
    selection = replace(selection, runs=tuple(runs), repeated=(*selection.repeated, *repeated))
    finding = next((run.findings[metric] for run in selection.runs if metric in run.findings), None)
    better = better_of(metric) if finding is None else finding.better
    groups = group_runs(selection.runs)
    layout = lay_out(groups, options.rows, options.columns)
    named = None if options.baseline is None else find_baseline(groups, layout, options.baseline)
    by_panel: dict[str, list[Group]] = {}
    for group in sorted(groups, key=lambda group: layout[group].panel.order):
        by_panel.setdefault(layout[group].panel.text, []).append(group)
    baselines = {title: named or default_baseline(members, layout) for title, members in by_panel.items()}
    pairs: list[tuple[Group, Group]] = []
    for title, members in by_panel.items() if options.tests != "none" else ():
        pairs += pair_with_baseline(members, layout, baselines[title])
    with_images = options.tests == "all" or (options.tests == "auto" and len(pairs) <= MOST_AUTOMATIC)
    read = Rightness() if with_images and metric == METRIC_OF_IMAGES else None
    contrasts = {contrast.group: contrast for contrast in contrast_all(pairs, metric, read, options.exact)}
    units = (run.findings[metric].unit for run in selection.runs if metric in run.findings)
    rope = rope_of(metric, next(units, unit_of(metric).name), options.rope)
    level = LEVEL if selection.looks_at is None else level_of(*selection.looks_at)
    judged: dict[Group, tuple[Verdict | None, bool]] = {}
    for title, members in by_panel.items() if better and options.tests != "none" else ():
        columns = list(_by_column(members, layout).values())
        bases = [
            next((group for group in each if layout[group].row.text == baselines[title]), None) for each in columns
        ]
        for column in judge_table(columns, bases, metric, rope, better == "higher", read, level):
            known = column.leading | column.verdicts.keys()
            judged |= {group: (column.verdicts.get(group), group in column.leading) for group in known}
    panels = [
        _panel(title, members, layout, baselines[title], (contrasts, judged), selection, options, better)
        for title, members in by_panel.items()
    ]
    reason = ""
    if not any(baselines.values()) and len(groups) > 1 and options.tests != "none":
        rows = first_few(dict.fromkeys(layout[group].row.text for group in groups), ROWS_NAMED, " | ")
        reason = f"no tests, as no row is a baseline; choose one by --baseline ROW: {rows}"
    elif options.tests == "auto" and not with_images:
        reason = f"{len(pairs):,} comparisons, so tested over seeds only; --tests all reads all predictions"
    improvements = find_improvements(groups, metric, selection.recipe)
    others = tuple(
        compare(original, replace(options, metric=other, more_metrics=(), rope=None)) for other in options.more_metrics
    )
    return Comparison(
        options, selection, tuple(groups), layout, tuple(panels), reason, improvements, rope, level, others, better
    )


def _with_names(selection: Selection, keys: set[str]) -> Selection:
    """Add to the settings those names of values that go together, as a sweep has them, which the user has as keys."""
    names = keys & {name for run in selection.runs for name in run.together}
    added = ({name: run.together[name] for name in names & run.together.keys()} for run in selection.runs)
    runs = [replace(run, settings=run.settings | more) for run, more in zip(selection.runs, added, strict=True)]
    return replace(selection, runs=tuple(runs)) if names else selection


def _panel(
    title: str,
    groups: Sequence[Group],
    layout: Layout,
    baseline: str | None,
    tested: tuple[dict[Group, Contrast], dict[Group, tuple[Verdict | None, bool]]],
    selection: Selection,
    options: Options,
    better: Better,
) -> Panel:
    groups = sorted(groups, key=lambda group: layout[group].row.order)
    rows = list(dict.fromkeys(layout[group].row.text for group in groups))
    rows.sort(key=lambda row: row != baseline)
    pick = min if better == "lower" else max
    contrasts, judged = tested
    cells, improvements = {}, {}
    columns = _by_column(groups, layout)
    for column, members in columns.items():
        spreads = {group: Spread.of(group.values(options.metric).values()) for group in members}
        means = {group: spread.mean for group, spread in spreads.items() if spread is not None}
        best = pick(means.values()) if better and len(means) > 1 else None
        for group in members:
            row, papers = layout[group].row.text, find_printed(group, options.metric, selection.recipe)
            reached = None if options.reach is None else _reached(group, options.reach)
            is_best = best is not None and means.get(group) == best
            verdict, leading = judged.get(group, (None, False if judged else None))
            tests = (contrasts.get(group), reached, verdict, leading)
            cells[row, column] = Cell(row, column, group, spreads[group], is_best, papers, *tests)
        base = next((group for group in means if layout[group].row.text == baseline), None)
        others = {group: mean for group, mean in means.items() if group is not base}
        if better and base is not None and others:
            winner = pick(others, key=lambda group: others[group])
            if (difference := Difference.between(winner, base, options.metric)) is not None:
                improvements[column] = (layout[winner].row.text, difference)
    in_place = {(row, column): cells[row, column] for row in rows for column in columns if (row, column) in cells}
    warnings = (*_warnings(columns, layout), *pooled_differences(groups))
    return Panel(title, tuple(rows), tuple(columns), in_place, baseline, improvements, warnings)


def _by_column(groups: Iterable[Group], layout: Layout) -> dict[str, list[Group]]:
    """Return the groups of each column, columns in their order."""
    columns: dict[str, list[Group]] = {}
    for group in sorted(groups, key=lambda group: layout[group].column.order):
        columns.setdefault(layout[group].column.text, []).append(group)
    return columns


def _reached(group: Group, value: float) -> Reached:
    """Find the first epoch whose monitor reached a value, the median over the seeds."""
    monitor = str(group.settings["monitor"])
    below = lower_is_better(monitor)
    epochs = []
    for run in group.runs:
        rows = run.folder.read_metrics()
        known = ((row["epoch"], row[monitor]) for row in rows if {"epoch", monitor} <= row.keys())
        there = (epoch for epoch, reading in known if (reading <= value if below else reading >= value))
        epochs.append(next(there, math.inf))
    median = statistics.median(epochs)
    return Reached(median if median != math.inf else None, sum(epoch != math.inf for epoch in epochs))


def _warnings(columns: dict[str, list[Group]], layout: Layout) -> list[str]:
    """Name the columns whose numbers are of different data, or were trained or selected differently."""
    warnings = []
    for column, members in columns.items():
        where = f"in column {column}, " if column else ""
        strata: list[str] = []
        for key in dict.fromkeys(key for group in members for key in group.settings):
            stratum = is_stratum(key)
            if not stratum and key.partition(".")[0] not in SAME_DATA:
                continue
            # a key of the schema that is absent has no effect there
            having = [group for group in members if key in group.settings or not (stratum or key in KEYS)]
            values = {shown(group.settings.get(key)) for group in having} - {NOISY}
            difference = f"{key} ({' | '.join(sorted(values))})"
            if len(values) > 1 and not stratum:
                warnings.append(f"{where}runs differ in {difference}: not comparable")
            elif len(values) > 1 and key not in layout.labelled:
                strata.append(difference)
        if strata:
            warnings.append(f"{where}runs also differ in {', '.join(strata)}, which can change the numbers")
    return warnings
