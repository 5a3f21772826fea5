"""What runs cost, and the epochs that they took to reach a value, as a table."""

from __future__ import annotations

from comparison.building import Cell, Comparison
from comparison.grouping import Spread
from comparison.numbers import COST_NAMES, unit_of
from comparison.table import Table, Text, heading


def cost_table(comparison: Comparison) -> Table:
    options, layout = comparison.options, comparison.layout
    reach = [] if options.reach is None else [f"epoch at {options.reach:g}"]
    costs = list(COST_NAMES.values()) if options.cost else []
    places = [heading(keys) for keys in (layout.panels, layout.columns) if keys]
    header = (", ".join(layout.rows), *places, *reach, *costs)
    rows = []
    for _, cell in comparison.placed_cells:
        place = filter(None, (cell.row, layout.panel_values(cell.group), cell.column))
        rows.append(tuple(map(Text, [*place, *_reach_text(cell), *(_cost_texts(cell) if costs else [])])))
    notes = []
    if reach:
        notes.append("first epoch whose monitor reached it: median over the seeds, and how many runs did")
    if costs:
        notes.append("means over the seeds; seconds of all epochs, on whatever machine it was; multiply-adds an image")
    title = "Cost" if costs else "Epochs to reach"
    return Table(title, header, tuple(rows), tuple(notes), of_all=True, exact=layout.exact, places=1 + len(places))


def _reach_text(cell: Cell) -> list[str]:
    if cell.reached is None:
        return []
    median = "not reached" if cell.reached.median is None else f"{cell.reached.median + 1:g}"
    return [f"{median} ({cell.reached.runs} of {len(cell.group.runs)})"]


def _cost_texts(cell: Cell) -> list[str]:
    spreads = {name: Spread.of(cell.group.values(name).values()) for name in COST_NAMES}
    return ["-" if each is None else unit_of(name).text(each.mean) for name, each in spreads.items()]
