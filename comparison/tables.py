"""A `Comparison` as tables of texts, which every format writes alike: results, tests, papers' improvements, costs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from comparison.groups import Spread
from comparison.layout import short_key
from comparison.notes import named
from comparison.panels import Cell, Comparison, Panel
from comparison.papers import Printed, sources
from comparison.ranks import ranks_table
from comparison.significance import LEVEL, Contrast
from comparison.table import Table, Text
from comparison.units import COST_NAMES, UNPAIRED, Unit, notes_on_differences, p_text, unit_of
from comparison.verdict_tables import MARKS, several_metrics, starred, unit_text, verdicts_table

ON_TEST = " §"
"""The mark of checkpoints that were selected on the test part, where others were not."""
MINUS = "\N{MINUS SIGN}"


def build_tables(comparison: Comparison) -> list[Table]:
    """Return the tables of results, of verdicts, and the others that there are or that are asked for."""
    tables = [_results(panel, comparison) for panel in comparison.panels]
    if comparison.others:
        tables.insert(0, several_metrics(comparison))
    for one in (comparison, *comparison.others):
        judged = (panel for panel in one.panels if any(cell.verdict is not None for cell in panel.cells.values()))
        tables += [verdicts_table(panel, one) for panel in judged]
        tables += filter(None, [ranks_table(one)])
    if comparison.contrasts and comparison.options.two_tests:
        tables.append(_tests(comparison))
    if comparison.improvements:
        tables.append(_improvements(comparison))
    if comparison.options.cost or comparison.options.reach is not None:
        tables.append(_costs(comparison))
    return tables


def _places(comparison: Comparison) -> list[str]:
    """Return the headings of the columns that say in which table and column a group stands."""
    places = (comparison.layout.panels, comparison.layout.columns)
    return [", ".join(map(short_key, keys)) for keys in places if keys]


def _place(cell: Cell, comparison: Comparison) -> list[str]:
    return list(filter(None, (cell.row, comparison.layout[cell.group].panel_values.text, cell.column)))


def _results(panel: Panel, comparison: Comparison) -> Table:
    unit, layout = comparison.unit(), comparison.layout
    title = f"{unit.heading(comparison.options.metric)}{f'; {panel.title}' if panel.title else ''}"
    header = (", ".join(layout.rows), *(column or "all" for column in panel.columns))
    on_test = _selected_on_test(panel)
    marked = on_test if len(on_test) < len(panel.cells) else []
    rows = [
        (Text(row), *(_result(panel.cells.get((row, column)), unit, marked) for column in panel.columns))
        for row in panel.rows
    ]
    rules = frozenset([len(rows)]) if panel.improvements else frozenset[int]()
    if panel.improvements:
        several = len(panel.rows) > 2
        differences = []
        for column in panel.columns:
            row, difference = panel.improvements.get(column, ("", None))
            whose = f" ({row})" if several else ""
            differences.append(Text("-" if difference is None else f"{unit.difference(difference)}{whose}"))
        rows.append((Text(f"{'best other' if several else panel.rows[1]} {MINUS} {panel.baseline}"), *differences))
    exact = layout.exact
    if panel.title in exact:
        exact |= {title: exact[panel.title]}
    notes = tuple(_notes_on_results(panel, comparison))
    return Table(title, header, tuple(rows), notes, rules, exact=exact, starred=starred(panel))


def _selected_on_test(panel: Panel) -> list[Cell]:
    return [cell for cell in panel.cells.values() if cell.group.settings.get("select_on") == "test"]


def _result(cell: Cell | None, unit: Unit, on_test: Sequence[Cell]) -> Text:
    if cell is None or cell.spread is None:
        return Text("-")
    mark = MARKS.get(cell.verdict.decision, "") if cell.verdict is not None else ""
    mark += ON_TEST if any(cell is other for other in on_test) else ""
    papers = ""
    for paper in cell.papers:
        std = "" if paper.spread is None else f" ± {unit.text(paper.spread)}"
        difference = unit.text(cell.spread.mean - paper.value, signed=True)
        papers += f"; paper {unit.text(paper.value)}{std}{_column(paper)}, {difference}"
    return Text(f"{unit.spread(cell.spread)}{mark}{papers}", cell.best if cell.leading is None else cell.leading)


def _notes_on_results(panel: Panel, comparison: Comparison) -> Iterator[str]:
    cells, metric = list(panel.cells.values()), comparison.options.metric
    yield from (f"warning: {text}" for text in panel.warnings)
    if on_test := _selected_on_test(panel):
        which = "all" if len(on_test) == len(cells) else f"{ON_TEST.strip()} {len(on_test)} of {len(cells)}"
        yield f"{which} groups selected their checkpoints on the TEST images (select_on: test), which flatters them"
    if any(cell.group.settings.get("smoke") for cell in cells):
        yield "warning: some runs are of made-up images (smoke: true): numbers mean nothing, papers' are not shown"
    yield from notes_on_differences([difference for _, difference in panel.improvements.values()])
    if any(cell.spread is not None and cell.spread.count == 1 for cell in cells):
        yield "(1): a single seed, so no standard deviation"
    total = sum(len(cell.group.runs) for cell in cells)
    if lacking := total - sum(cell.spread.count for cell in cells if cell.spread is not None):
        yield f"{lacking:,} of {total:,} runs have no {metric}"
    if metric.endswith("loss"):
        yield "every loss has its own unit: compare cross_entropy instead"
    if printed := [paper for cell in cells for paper in cell.papers]:
        yield f"paper: the printed number, then ours {MINUS} the paper's"
        yield from _sources(printed)
    decisions = {cell.verdict.decision for cell in cells if cell.verdict is not None}
    if decisions & {"better", "worse"}:
        yield f"† differs from {panel.baseline} by more than seeds and test images explain"
    if "same" in decisions:
        yield f"= the same as {panel.baseline} within {unit_text(comparison, comparison.rope or 0)}"


def _tests(comparison: Comparison) -> Table:
    unit, contrasts = comparison.unit(), [contrast for _, contrast in comparison.contrasts]
    baselines = dict.fromkeys(str(panel.baseline) for panel in comparison.panels if panel.baseline is not None)
    places = _places(comparison)
    header = [f"compared with {', '.join(baselines)}", *places, "difference", "95 % interval"]
    header += ["images: p (Holm)", "seeds: p (Holm)", "verdict"]
    rows = [[*_place(cell, comparison), *_test(contrast, unit)] for cell, contrast in comparison.contrasts]
    used = [number for number in range(len(header)) if any(row[number] != "-" for row in rows)]
    return Table(
        f"Tests; {len(contrasts)} comparison{'s'[: len(contrasts) > 1]}; p (Holm) is corrected for their number",
        tuple(header[number] for number in used),
        tuple(tuple(Text(row[number]) for number in used) for row in rows),
        tuple(_notes_on_tests(contrasts, comparison.options.exact)),
        of_all=True,
        exact=comparison.layout.exact,
        places=1 + len(places),
    )


def _test(contrast: Contrast, unit: Unit) -> list[str]:
    images, seeds = contrast.over_images, contrast.over_seeds
    difference = "-" if contrast.difference is None else unit.difference(contrast.difference)
    interval, of_images, of_seeds = "-", "-", "-"
    if images is not None:
        interval = f"{unit.text(images.low, signed=True)} to {unit.text(images.high, signed=True)}"
        of_images = f"{p_text(images.p_value)} ({p_text(images.adjusted)})"
    if seeds is not None:
        of_seeds = f"{p_text(seeds.p_value)} ({p_text(contrast.adjusted_seeds)}), n = {contrast.num_seeds}"
    obstacle = f": {contrast.obstacle}" if contrast.verdict == "not testable" else ""
    return [difference, interval, of_images, of_seeds, contrast.verdict + obstacle]


def _notes_on_tests(contrasts: list[Contrast], exact: bool) -> Iterator[str]:
    yield from notes_on_differences([contrast.difference for contrast in contrasts if contrast.difference is not None])
    if any(contrast.over_images is not None for contrast in contrasts):
        name = "McNemar's exact test" if exact else "the mid-p McNemar test (--exact: the exact one)"
        yield (
            f"images: would these networks differ on other test images? {name}, an image with all its seeds as one "
            "draw; interval of 10,000 bootstrap samples"
        )
    tests = [contrast.over_seeds for contrast in contrasts if contrast.over_seeds is not None]
    if methods := sorted({test.method for test in tests}):
        yield f"seeds: would other trainings differ? {' or '.join(methods)} test of the paired differences"
    few = {contrast.num_seeds: contrast.least for contrast in contrasts if contrast.over_seeds is not None}
    if few := {count: least for count, least in sorted(few.items()) if least >= LEVEL}:
        counts, least = (" or ".join(map(str, values)) for values in (few, map(p_text, few.values())))
        enough = next(count for count in itertools.count(2) if len(tests) * 2.0 ** (1 - count) < LEVEL)
        yield (
            f"with {counts} seeds no test over seeds can reach {LEVEL}: p (Holm) is at least {least}; "
            f"{enough} seeds can"
        )
    if any(contrast.num_seeds == 1 for contrast in contrasts):
        yield "a single seed allows no test over seeds"
    for reason in dict.fromkeys(contrast.reason for contrast in contrasts if contrast.reason):
        same = [contrast for contrast in contrasts if contrast.reason == reason]
        details = named(dict.fromkeys(contrast.detail for contrast in same if contrast.detail), "; ", most=2)
        yield f"no test over images in {len(same):,} of {len(contrasts):,}: {details or reason}"


def _improvements(comparison: Comparison) -> Table:
    unit, improvements = comparison.unit(), comparison.improvements
    rows = []
    for improvement in improvements:
        value, paper = improvement.difference, improvement.printed
        ours = f"{unit.text(value, signed=True)}{UNPAIRED * (improvement.unpaired > 0)} ({improvement.pairs})"
        printed = f"{unit.text(paper.value, signed=True)}{_column(paper)}"
        texts = (improvement.name, ours, printed, unit.text(value - paper.value, signed=True))
        rows.append(tuple(map(Text, texts)))
    notes = ["ours: mean over the pairs of groups that differ in nothing else (how many pairs)"]
    if any(improvement.unpaired for improvement in improvements):
        notes.append(f"{UNPAIRED.strip()} some of these pairs have no seed in common: differences of means, not paired")
    notes += _sources(improvement.printed for improvement in improvements)
    title = f"Improvements that papers print; {unit.heading(comparison.options.metric)}"
    return Table(title, ("improvement", "ours", "paper", f"ours {MINUS} paper"), tuple(rows), tuple(notes), of_all=True)


def _column(printed: Printed) -> str:
    return "" if printed.column is None else f" [{printed.column}]"


def _sources(printed: Iterable[Printed]) -> Iterator[str]:
    """Yield where papers' numbers stand, and in what our runs differ from the recipe's."""
    papers = list(printed)
    yield f"paper: {'; '.join(sources(papers))}"
    if departures := list(dict.fromkeys(departure for paper in papers for departure in paper.departures)):
        yield f"warning: these are not the recipe's runs, they differ in {named(departures)}"


def _costs(comparison: Comparison) -> Table:
    options, places = comparison.options, _places(comparison)
    reach = [] if options.reach is None else [f"epoch at {options.reach:g}"]
    costs = list(COST_NAMES) if options.cost else []
    rows = []
    for cell in comparison.cells:
        texts = _place(cell, comparison)
        if cell.reached is not None:
            median = "not reached" if cell.reached.median is None else f"{cell.reached.median + 1:g}"
            texts.append(f"{median} ({cell.reached.runs} of {len(cell.group.runs)})")
        for name in costs:
            spread = Spread.of(cell.group.values(name).values())
            texts.append("-" if spread is None else unit_of(name).text(spread.mean))
        rows.append(tuple(map(Text, texts)))
    notes = []
    if reach:
        notes.append(
            "first epoch in which the monitored metric reached the value: median over the seeds, and how many runs did"
        )
    if costs:
        notes.append("means over the seeds; seconds of all epochs, on the machine of each run; multiply-adds per image")
    header = (", ".join(comparison.layout.rows), *places, *reach, *(COST_NAMES[name] for name in costs))
    title = "Cost" if costs else "Epochs to reach"
    return Table(
        title, header, tuple(rows), tuple(notes), of_all=True, exact=comparison.layout.exact, places=1 + len(places)
    )
