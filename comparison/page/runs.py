"""Groups and runs as the page knows them: what differs, every number, where each lies."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from comparison.building import Comparison, Panel
from comparison.grouping import Group, Spread, is_number, order, varied_keys
from comparison.numbers import COST_NAMES, Unit
from comparison.reading import Run
from configuration.settings import short_labels, shown

MOST_RUNS, MOST_KEYS, MOST_NUMBERS = 10_000, 30, 40
COLOURS = 8
"""Groups up to which each has a colour of its own; beyond, each row."""


@dataclass(frozen=True)
class Shown:
    """What of a comparison is on the page.

    Attributes:
        groups: in the order of the tables, with their table, row and column.
        runs: each with its group's number.
        keys, numbers: settings that differ, and numbers that some run has, the metric first.
    """

    comparison: Comparison

    @cached_property
    def groups(self) -> list[tuple[Panel, str, str, Group]]:
        panels = self.comparison.panels
        return [(panel, cell.row, cell.column, cell.group) for panel in panels for cell in panel.cells.values()]

    @cached_property
    def all_runs(self) -> list[tuple[int, Run]]:
        return [(number, run) for number, (*_, group) in enumerate(self.groups) for run in group.runs]

    @property
    def runs(self) -> list[tuple[int, Run]]:
        return self.all_runs[:MOST_RUNS]

    @cached_property
    def all_keys(self) -> list[str]:
        return varied_keys(self.comparison.groups)

    @property
    def keys(self) -> list[str]:
        return self.all_keys[:MOST_KEYS]

    @cached_property
    def all_numbers(self) -> list[str]:
        known = {
            name: None for run in self.comparison.found.runs for name, value in run.summary.items() if is_number(value)
        }
        first = (self.comparison.options.metric, *(name for name in COST_NAMES if name in known))
        return [name for name in dict.fromkeys((*first, *known)) if name != "seed"]

    @property
    def numbers(self) -> list[str]:
        return self.all_numbers[:MOST_NUMBERS]

    def baseline_of(self, number: int) -> int | None:
        """Return the number of the group that a group is compared with."""
        panel, row, column, _ = self.groups[number]
        if panel.baseline is None or row == panel.baseline or (panel.baseline, column) not in panel.cells:
            return None
        return self._numbers_of_groups[panel.cells[panel.baseline, column].group]

    @cached_property
    def _numbers_of_groups(self) -> dict[Group, int]:
        return {group: number for number, (*_, group) in enumerate(self.groups)}

    def label(self, number: int) -> str:
        panel, row, column, _ = self.groups[number]
        return " · ".join(filter(None, (row, column, panel.title)))


def describe_runs(shown_: Shown) -> dict[str, Any]:
    """Return each run's group, seed, place, settings and numbers, a list a column.

    A setting is a number of one of its key's `levels`, and `follows` the key by which there are several tables where it
    is known from that; a number has a value to sort by and a text to show.
    """
    runs = [run for _, run in shown_.runs]
    layout = shown_.comparison.layout
    follows = {key: owner for key, owner in layout.beside.items() if owner in layout.panels}
    return {
        "group": [group for group, _ in shown_.runs],
        "seed": [run.seed for run in runs],
        "folder": [str(run.folder.path) for run in runs],
        "quoted": [shlex.quote(str(run.folder.path)) for run in runs],
        "keys": [_levels(key, runs) | {"follows": follows.get(key)} for key in shown_.keys],
        "numbers": {name: _column(name, runs, shown_.comparison.unit(name)) for name in shown_.numbers},
    }


def _levels(key: str, runs: Sequence[Run]) -> dict[str, Any]:
    """Return what values a key has, in order, and each run's, as a number of these; those that are cut also exactly."""
    texts = [shown(run.settings[key]) if key in run.settings else "not set" for run in runs]
    values = {text: run.settings.get(key) for text, run in zip(texts, runs, strict=True)}
    in_order = sorted(values, key=lambda text: order(values[text]))
    labels = short_labels(run.settings[key] for run in runs if key in run.settings)
    code = {text: number for number, text in enumerate(in_order)}
    sizes = [values[text] for text in in_order]
    return {
        "name": key,
        "levels": [labels.get(text, text) for text in in_order],
        "exact": {str(code[text]): text for text in in_order if labels.get(text, text) != text},
        "values": [value for value in sizes if is_number(value)] if all(map(is_number, sizes)) else None,
        "codes": [code[text] for text in texts],
    }


def _column(name: str, runs: Sequence[Run], unit: Unit) -> dict[str, Any]:
    values = [run.summary.get(name) for run in runs]
    known = [_as_read(name, value) if is_number(value) else None for value in values]
    return {
        "values": [None if value is None else short(value) for value in known],
        "texts": ["" if value is None else unit.text(value) for value in known],
    }


def _as_read(name: str, value: float) -> float:
    """Return a number as a person reads it: summary.json counts epochs from 0, a person from 1."""
    return value + 1 if name == "selected_epoch" else value


def short(value: float) -> float:
    """Return six digits of a number: enough to draw and sort by."""
    return value if isinstance(value, int) else float(f"{value:.6g}")


def describe_groups(shown_: Shown) -> list[dict[str, Any]]:
    """Return each group's label, look and, for each number, mean, spread and text."""
    rows = list(dict.fromkeys(row for _, row, _, _ in shown_.groups))
    columns = list(dict.fromkeys((panel.title, column) for panel, _, column, _ in shown_.groups))
    own_colours = len(shown_.groups) <= COLOURS
    found = []
    for number, (panel, row, column, group) in enumerate(shown_.groups):
        spreads = {
            name: Spread.of([_as_read(name, value) for value in group.values(name).values()]) for name in shown_.numbers
        }
        known = {name: spread for name, spread in spreads.items() if spread is not None}
        found.append(
            {
                "label": shown_.label(number),
                "colour": (number if own_colours else rows.index(row)) % COLOURS,
                "style": columns.index((panel.title, column)),
                "mean": {name: short(spread.mean) for name, spread in known.items()},
                "std": {name: short(spread.std) for name, spread in known.items() if spread.std is not None},
                "texts": {name: shown_.comparison.unit(name).spread(spread) for name, spread in known.items()},
            }
        )
    return found


def describe_names(shown_: Shown, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return how each number is called and shown."""
    units = {name: shown_.comparison.unit(name) for name in names}
    return {name: {"title": unit.heading(name), "share": unit.is_share} for name, unit in units.items()}


def notes_on_runs(shown_: Shown) -> list[str]:
    """Return what of the runs is not on the page."""
    limits = (
        (shown_.runs, shown_.all_runs, "runs", "--runs-csv FILE has all"),
        (shown_.keys, shown_.all_keys, "settings that differ", "the command's other files have all"),
        (shown_.numbers, shown_.all_numbers, "numbers", "summary.json has all"),
    )
    return [
        f"shown: the first {len(some):,} of {len(every):,} {what}; {where}"
        for some, every, what, where in limits
        if len(some) < len(every)
    ]
