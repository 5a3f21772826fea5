"""A `Comparison` as tables of texts, which every format writes alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from comparison.building import Cell, Comparison, Panel
from comparison.cost_table import cost_table
from comparison.grouping import Spread
from comparison.notes import named
from comparison.numbers import UNPAIRED, Unit, notes_on_differences
from comparison.papers import Printed, sources
from comparison.significance_table import significance_table
from comparison.table import Table, Text

MARKS = {"more than noise": " †", "images only": " ‡"}
ON_TEST = " §"
"""The mark of checkpoints that were selected on the test part, where others were not."""


def build_tables(comparison: Comparison) -> list[Table]:
    """Return the tables of results, then that of the tests, then that of costs and epochs where asked for."""
    tables = [_results(panel, comparison) for panel in comparison.panels]
    if comparison.contrasts:
        tables.append(significance_table(comparison))
    if comparison.improvements:
        tables.append(_improvements(comparison))
    if comparison.options.cost or comparison.options.reach is not None:
        tables.append(cost_table(comparison))
    return tables


# --------------------------------------------------------------------------------------------------------- results


def _results(panel: Panel, comparison: Comparison) -> Table:
    metric, unit, layout = comparison.options.metric, comparison.unit(), comparison.layout
    title = f"{unit.heading(metric)}{f'; {panel.title}' if panel.title else ''}"
    header = (f"{', '.join(layout.rows)}", *(column or "all" for column in panel.columns))
    marked = _selected_on_test(panel)
    marked = [] if len(marked) == len(panel.cells) else marked
    rows = [
        (Text(row), *(_result(panel.cells.get((row, column)), unit, marked) for column in panel.columns))
        for row in panel.rows
    ]
    rules = frozenset([len(rows)]) if panel.improvements else frozenset[int]()
    if panel.improvements:
        name = f"best other less {panel.baseline}" if len(panel.rows) > 2 else f"less {panel.baseline}"
        rows.append((Text(name), *(_improvement(panel, column, unit) for column in panel.columns)))
    exact = layout.exact
    if panel.title in exact:
        exact = exact | {title: exact[panel.title]}
    return Table(title, header, tuple(rows), tuple(_notes_below(panel, comparison)), rules, exact=exact)


def _selected_on_test(panel: Panel) -> list[Cell]:
    return [cell for cell in panel.cells.values() if cell.group.settings.get("select_on") == "test"]


def _result(cell: Cell | None, unit: Unit, on_test: Sequence[Cell]) -> Text:
    if cell is None or cell.spread is None:
        return Text("-")
    mark = MARKS.get(cell.contrast.verdict, "") if cell.contrast is not None else ""
    mark += ON_TEST if any(cell is each for each in on_test) else ""
    papers = "".join(f"; paper {_paper(each, cell.spread, unit)}" for each in cell.papers)
    return Text(f"{unit.spread(cell.spread)}{mark}{papers}", cell.best)


def _paper(printed: Printed, spread: Spread, unit: Unit) -> str:
    std = "" if printed.spread is None else f" ± {unit.text(printed.spread)}"
    difference = unit.text(spread.mean - printed.value, signed=True)
    return f"{unit.text(printed.value)}{std}{_column(printed)}, {difference}"


def _improvement(panel: Panel, column: str, unit: Unit) -> Text:
    if column not in panel.improvements:
        return Text("-")
    row, difference = panel.improvements[column]
    whose = f" ({row})" if len(panel.rows) > 2 else ""
    return Text(f"{unit.difference(difference)}{whose}")


def _improvements(comparison: Comparison) -> Table:
    unit, found = comparison.unit(), comparison.improvements
    rows = [
        (
            Text(each.name),
            Text(f"{unit.text(each.difference, signed=True)}{UNPAIRED * (each.unpaired > 0)} ({each.pairs})"),
            Text(f"{unit.text(each.printed.value, signed=True)}{_column(each.printed)}"),
            Text(unit.text(each.difference - each.printed.value, signed=True)),
        )
        for each in found
    ]
    notes = ["ours: mean over the pairs of groups that are alike in all else, and how many these are"]
    if any(each.unpaired for each in found):
        notes.append(f"{UNPAIRED.strip()} some of these pairs have no seed in common: differences of means, not paired")
    notes += _sources(each.printed for each in found)
    header = ("improvement", "ours", "paper", "ours less the paper's")
    return Table(
        f"Improvements that papers print; {unit.heading(comparison.options.metric)}",
        header,
        tuple(rows),
        tuple(notes),
        of_all=True,
    )


def _column(printed: Printed) -> str:
    return "" if printed.column is None else f" [{printed.column}]"


def _sources(printed: Iterable[Printed]) -> Iterator[str]:
    """Yield where papers' numbers stand, and in what our runs differ from the recipe's."""
    known = list(printed)
    yield f"paper: {'; '.join(sources(known))}"
    if departures := list(dict.fromkeys(each for paper in known for each in paper.departures)):
        yield f"warning: these are not the recipe's runs, they differ in {named(departures)}"


def _notes_below(panel: Panel, comparison: Comparison) -> Iterator[str]:
    cells = list(panel.cells.values())
    yield from (f"warning: {text}" for text in panel.warnings)
    if on_test := _selected_on_test(panel):
        which = "" if len(on_test) == len(cells) else f"{ON_TEST.strip()} {len(on_test)} of {len(cells)} groups' "
        yield f"{which}checkpoints were selected on the TEST images (select_on: test), which flatters them"
    if any(cell.group.settings.get("smoke") for cell in cells):
        yield "warning: some runs are of made-up images (smoke: true): numbers mean nothing, papers' are not shown"
    yield from notes_on_differences([difference for _, difference in panel.improvements.values()])
    if any(cell.spread is not None and cell.spread.count == 1 for cell in cells):
        yield "(1): one seed, no spread"
    lacking = sum(len(cell.group.runs) - (cell.spread.count if cell.spread else 0) for cell in cells)
    if lacking:
        yield f"{lacking:,} of {sum(len(cell.group.runs) for cell in cells):,} runs have no {comparison.options.metric}"
    if comparison.options.metric.endswith("loss"):
        yield "each loss has its own unit: compare cross_entropy instead"
    if printed := [paper for cell in cells for paper in cell.papers]:
        yield "paper: as printed, then ours less the paper's"
        yield from _sources(printed)
    marks = {MARKS.get(cell.contrast.verdict) for cell in cells if cell.contrast is not None}
    if MARKS["more than noise"] in marks:
        yield f"† differs from {panel.baseline} by more than noise, over seeds and, where that was tested, images"
    if MARKS["images only"] in marks:
        yield f"‡ these networks differ from {panel.baseline}'s over the test images; the seeds do not tell"
