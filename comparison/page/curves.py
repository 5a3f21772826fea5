"""What metrics.csv tells of each run, thinned to what a page can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from comparison.notes import named
from comparison.page.runs import Shown, short
from comparison.reading import Damaged, read_epochs

MOST_CURVES, MOST_METRICS = 300, 30
MOST_POINTS = 300_000
"""Numbers of all curves together."""


def describe_curves(shown: Shown) -> tuple[dict[str, Any], list[str]]:
    """Return the curves of the first runs, and what to know of them.

    Returns: `metrics`, their names; `runs`, number of a run -> its epochs, from 1, and, for each metric, values, None
        for one that is missing or not finite.
    """
    chosen = shown.runs[:MOST_CURVES]
    notes, records = [], {}
    if len(chosen) < len(shown.all_runs):
        notes.append(f"curves of the first {len(chosen):,} of {len(shown.all_runs):,} runs; name fewer to see others")
    for number, (_, run) in enumerate(chosen):
        try:
            records[number] = read_epochs(run.folder)
        except Damaged as damage:
            notes.append(f"no curves: {run.folder.path.name}: {damage}")
    names = {name: None for rows in records.values() for row in rows for name in row if name != "epoch"}
    metrics = sorted(names, key=lambda name: (not name.startswith("valid/"), not name.startswith("train/")))
    most = max(2, MOST_POINTS // max(1, len(records) * len(metrics[:MOST_METRICS])))
    if any(len(rows) > most for rows in records.values()):
        notes.append(f"long runs are drawn by {most:,} of their epochs, evenly chosen")
    thinned = {number: _describe(_thin(rows, most), metrics[:MOST_METRICS]) for number, rows in records.items()}
    return {"metrics": metrics[:MOST_METRICS], "runs": thinned}, shorten(notes)


def _thin(rows: Sequence[Any], most: int) -> Sequence[Any]:
    """Return at most that many rows, the first and the last among them."""
    if len(rows) <= most:
        return rows
    return [rows[round(k * (len(rows) - 1) / (most - 1))] for k in range(most)]


def _describe(rows: Sequence[Mapping[str, float]], metrics: Sequence[str]) -> dict[str, Any]:
    values = {name: [_finite(row.get(name)) for row in rows] for name in metrics}
    known = {name: each for name, each in values.items() if any(value is not None for value in each)}
    return {"epoch": [short(row["epoch"] + 1) for row in rows], "values": known}


def _finite(value: float | None) -> float | None:
    return short(value) if value is not None and math.isfinite(value) else None


def shorten(notes: Sequence[str]) -> list[str]:
    """Return notes with those of one beginning, up to its colon, as one line."""
    by_beginning: dict[str, list[str]] = {}
    for note in notes:
        head, colon, rest = note.partition(": ")
        by_beginning.setdefault(f"{head}{colon}", []).append(rest)
    return [f"{head}{named(each, '; ')}" for head, each in by_beginning.items()]
