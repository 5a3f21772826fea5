"""Groups, runs and curves as the page knows them, within limits: by number, with texts as in the tables."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from comparison.groups import Spread, order, varied_keys
from comparison.notes import named
from comparison.panels import Cell, Comparison, Panel
from comparison.reading import Damaged, Run, is_number, read_epochs
from comparison.units import COST_NAMES
from configuration.settings import short_labels, shown

MOST_RUNS, MOST_KEYS, MOST_NUMBERS = 10_000, 30, 40
MOST_CURVES, MOST_METRICS = 300, 30
MOST_POINTS = 300_000
"""Numbers of all curves together."""
COLOURS = 8
"""Groups up to which each has a colour of its own; beyond, each row."""


@dataclass(frozen=True)
class Shown:
    """The groups of a comparison in the order of its tables, and their runs, each with its group's number."""

    comparison: Comparison

    @cached_property
    def cells(self) -> list[tuple[Panel, Cell]]:
        return self.comparison.placed_cells

    @cached_property
    def all_runs(self) -> list[tuple[int, Run]]:
        return [(number, run) for number, (_, cell) in enumerate(self.cells) for run in cell.group.runs]

    @property
    def runs(self) -> list[tuple[int, Run]]:
        return self.all_runs[:MOST_RUNS]

    @cached_property
    def keys(self) -> list[str]:
        """Settings that differ."""
        return varied_keys(self.comparison.groups)

    @cached_property
    def numbers(self) -> list[str]:
        """Numbers that some run has, the metric and the costs first."""
        having = dict.fromkeys(name for _, run in self.all_runs for name in run.numbers)
        first = (self.comparison.options.metric, *(name for name in COST_NAMES if name in having))
        return list(dict.fromkeys((*first, *having)))

    def baseline_of(self, number: int) -> int | None:
        """Return the number of the group that a group is compared with."""
        panel, cell = self.cells[number]
        baseline = panel.cells.get((panel.baseline or "", cell.column))
        return None if baseline is None or baseline is cell else self._numbers[id(baseline)]

    @cached_property
    def _numbers(self) -> dict[int, int]:
        return {id(cell): number for number, (_, cell) in enumerate(self.cells)}

    @property
    def notes(self) -> list[str]:
        """Notes on runs, settings and numbers beyond the limits of the page."""
        limits = (
            (MOST_RUNS, self.all_runs, "runs", "--runs-csv FILE has all"),
            (MOST_KEYS, self.keys, "settings that differ", "the command's other files have all"),
            (MOST_NUMBERS, self.numbers, "numbers", "summary.json has all"),
        )
        return [
            f"shown: the first {most:,} of {len(values):,} {name}; {where}"
            for most, values, name, where in limits
            if most < len(values)
        ]


def describe_runs(view: Shown) -> dict[str, Any]:
    """Return each run's group, seed, place, settings and numbers, a list a column.

    A setting is a number of one of its key's `levels`; `follows` is the key by which there are several tables where it
    is known from that. A number has a value to sort by and a text to show.
    """
    runs, comparison = [run for _, run in view.runs], view.comparison
    beside, panels = comparison.layout.beside, comparison.layout.panels
    numbers = {}
    for name in view.numbers[:MOST_NUMBERS]:
        unit, values = comparison.unit(name), [_from_one(name, run.summary.get(name)) for run in runs]
        numbers[name] = {
            "values": [short(value) if is_number(value) else None for value in values],
            "texts": [unit.text(value) if is_number(value) else "" for value in values],
        }
    return {
        "group": [group for group, _ in view.runs],
        "seed": [run.seed for run in runs],
        "folder": [str(run.folder.path) for run in runs],
        "quoted": [shlex.quote(str(run.folder.path)) for run in runs],
        "keys": [
            _levels(key, runs) | {"follows": beside.get(key) if beside.get(key) in panels else None}
            for key in view.keys[:MOST_KEYS]
        ],
        "numbers": numbers,
    }


def _levels(key: str, runs: Sequence[Run]) -> dict[str, Any]:
    """Return a key's values in order, each run's as a number of these, and in full those that are cut."""
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
        "values": sizes if all(map(is_number, sizes)) else None,
        "codes": [code[text] for text in texts],
    }


def _from_one(name: str, value: Any) -> Any:
    """Return a number as people read it: summary.json counts epochs from 0."""
    return value + 1 if name == "selected_epoch" and is_number(value) else value


def short(value: float) -> float:
    """Return six digits of a number: enough to draw and sort by."""
    return value if isinstance(value, int) else float(f"{value:.6g}")


def describe_groups(view: Shown) -> list[dict[str, Any]]:
    """Return each group's label, look and, for each number, mean, spread and text."""
    rows = list(dict.fromkeys(cell.row for _, cell in view.cells))
    columns = list(dict.fromkeys((panel.title, cell.column) for panel, cell in view.cells))
    own_colours = len(view.cells) <= COLOURS
    groups = []
    for number, (panel, cell) in enumerate(view.cells):
        spreads = {
            name: Spread.of(_from_one(name, value) for value in cell.group.values(name).values())
            for name in view.numbers[:MOST_NUMBERS]
        }
        having = {name: spread for name, spread in spreads.items() if spread is not None}
        groups.append(
            {
                "label": " · ".join(filter(None, (cell.row, cell.column, panel.title))),
                "colour": (number if own_colours else rows.index(cell.row)) % COLOURS,
                "style": columns.index((panel.title, cell.column)),
                "mean": {name: short(spread.mean) for name, spread in having.items()},
                "std": {name: short(spread.std) for name, spread in having.items() if spread.std is not None},
                "texts": {name: view.comparison.unit(name).spread(spread) for name, spread in having.items()},
            }
        )
    return groups


def describe_curves(view: Shown) -> tuple[dict[str, Any], list[str]]:
    """Return the curves of the first runs, from metrics.csv, and notes.

    Returns: `metrics`, their names; `runs`, number of a run -> its epochs, from 1, and, for each metric, values, None
        for one that is missing or not finite.
    """
    chosen, notes, records = view.runs[:MOST_CURVES], [], {}
    if len(chosen) < len(view.all_runs):
        notes.append(f"curves of the first {len(chosen):,} of {len(view.all_runs):,} runs; name fewer to see others")
    for number, (_, run) in enumerate(chosen):
        try:
            records[number] = read_epochs(run.folder)
        except Damaged as damage:
            notes.append(f"no curves: {run.folder.path.name}: {damage}")
    names = {name: None for rows in records.values() for row in rows for name in row if name != "epoch"}
    metrics = sorted(names, key=lambda name: (not name.startswith("valid/"), not name.startswith("train/")))
    metrics = metrics[:MOST_METRICS]
    most = max(2, MOST_POINTS // max(1, len(records) * len(metrics)))
    if any(len(rows) > most for rows in records.values()):
        notes.append(f"long runs are drawn by {most:,} of their epochs, evenly chosen")
    runs = {number: _curves(_thin(rows, most), metrics) for number, rows in records.items()}
    return {"metrics": metrics, "runs": runs}, shorten(notes)


def _thin(rows: Sequence[Any], most: int) -> Sequence[Any]:
    """Return at most that many rows, the first and the last among them."""
    if len(rows) <= most:
        return rows
    return [rows[round(k * (len(rows) - 1) / (most - 1))] for k in range(most)]


def _curves(rows: Sequence[Mapping[str, float]], metrics: Sequence[str]) -> dict[str, Any]:
    values = {
        name: [short(row[name]) if math.isfinite(row.get(name, math.nan)) else None for row in rows] for name in metrics
    }
    having = {name: curve for name, curve in values.items() if any(value is not None for value in curve)}
    return {"epoch": [short(row["epoch"] + 1) for row in rows], "values": having}


def shorten(notes: Sequence[str]) -> list[str]:
    """Return notes with those of one beginning, up to its colon, as one line."""
    by_beginning: dict[str, list[str]] = {}
    for note in notes:
        head, colon, rest = note.partition(": ")
        by_beginning.setdefault(f"{head}{colon}", []).append(rest)
    return [f"{head}{named(rests, '; ')}" for head, rests in by_beginning.items()]
