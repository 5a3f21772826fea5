"""The tables that say what is known of each row: better, worse, the same, or how many more seeds would decide."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from comparison.panels import Cell, Comparison, Panel
from comparison.power import MOST_SEEDS
from comparison.table import Table, Text
from comparison.units import notes_on_differences, p_text
from comparison.verdicts import Verdict

MARKS = {"better": " †", "worse": " †", "same": " ="}
"""Verdict -> its mark in a table of results."""
NO_IMAGES = {
    "other test images": "they were tested on other images",
    "no predictions": "predictions.parquet is missing: train again, or copy it",
    "unreadable predictions": "predictions.parquet cannot be read",
    "no seed in common": "they share no seed: train both with the same ones",
}


def starred(panel: Panel) -> str:
    """Return what a star means in a table."""
    if any(cell.leading is not None for cell in panel.cells.values()):
        return "may be the best: the best row of a column is among its starred ones with 95 % confidence"
    return "best of its column"


def unit_text(comparison: Comparison, value: float) -> str:
    """Return a size of a difference with its unit: shares differ by points."""
    unit = comparison.unit()
    number = f"{100 * value if unit.is_share else value:.6g}"
    return f"{number} points" if unit.is_share else " ".join(filter(None, (number, unit.name)))


def verdict_text(verdict: Verdict, comparison: Comparison) -> str:
    """Return a verdict in a few words."""
    if verdict.decision == "same":
        return f"same within {unit_text(comparison, comparison.rope or 0).removesuffix(' points')}"
    if verdict.decision != "undecided":
        return verdict.decision
    if verdict.parts is None:
        return f"undecided: {verdict.reason}"
    if verdict.need is None or not verdict.need.ever:
        return "undecided: needs more images"
    if verdict.need.seeds is None:
        return f"undecided: over {MOST_SEEDS} seeds"
    return f"undecided: {verdict.need.seeds - verdict.num_seeds} more seeds"


def verdicts_table(panel: Panel, comparison: Comparison) -> Table:
    """Return a row for each group of a panel: its difference to the baseline, the interval, and what is known."""
    unit, columns = comparison.unit(), [column for column in panel.columns if column]
    cells = [cell for cell in panel.cells.values() if cell.spread is not None]
    header = [f"compared with {panel.baseline}", *([", ".join(comparison.layout.columns)] if columns else [])]
    texts = ("seeds", "difference", "95 % interval", "verdict", "effect size", "p differs (Holm)", "p same (Holm)")
    rows = [
        (Text(cell.row, bool(cell.leading)), *([Text(cell.column)] if columns else []), *_verdict(cell, comparison))
        for cell in cells
    ]
    places = len(header)
    title = f"Verdicts: {unit.heading(comparison.options.metric)}{f'; {panel.title}' if panel.title else ''}"
    return Table(
        title,
        (*header, *texts),
        tuple(rows),
        tuple(_legend(panel, comparison)),
        of_all=True,
        exact=comparison.layout.exact,
        places=places,
        starred=starred(panel),
        in_files=frozenset(range(places + 4, places + 7)),
    )


def _verdict(cell: Cell, comparison: Comparison) -> list[Text]:
    unit, verdict = comparison.unit(), cell.verdict
    if verdict is None:
        return list(map(Text, (str(cell.spread.count if cell.spread else 0), "", "", "baseline", "", "", "")))
    difference = "-" if verdict.difference is None else unit.difference(verdict.difference)
    interval, effect, differs, same = "-", "-", "-", "-"
    if verdict.parts is not None:
        interval = f"{unit.text(verdict.low, signed=True)} to {unit.text(verdict.high, signed=True)}"
        size = effect_size(verdict)
        effect = "-" if size is None else f"{size:+.2f}"
        differs = f"{p_text(verdict.p_difference)} ({p_text(verdict.adjusted_difference)})"
        same = f"{p_text(verdict.p_same)} ({p_text(verdict.adjusted_same)})"
    texts = (str(verdict.num_seeds), difference, interval, verdict_text(verdict, comparison), effect, differs, same)
    return list(map(Text, texts))


def effect_size(verdict: Verdict) -> float | None:
    """Return the difference in standard deviations of a run over seeds, None where these do not vary."""
    if verdict.parts is None or verdict.difference is None:
        return None
    spread = float(np.sqrt(verdict.parts.seeds * verdict.parts.num_seeds / 2))
    return verdict.difference.value / spread if spread > 0 else None


def _legend(panel: Panel, comparison: Comparison) -> Iterator[str]:
    """Yield what the words of a table mean, only of those that it has."""
    verdicts = [cell.verdict for cell in panel.cells.values() if cell.verdict is not None]
    known = [verdict for verdict in verdicts if verdict.parts is not None]
    decisions = {verdict.decision for verdict in verdicts}
    if decisions & {"better", "worse"}:
        yield f"better, worse: differs from {panel.baseline}, whichever seeds and test images are drawn"
    if "same" in decisions:
        yield f"same: the difference is less than {unit_text(comparison, comparison.rope or 0)}, either way (--rope)"
    waiting = [verdict.need for verdict in verdicts if verdict.decision == "undecided" and verdict.need is not None]
    if any(need.seeds for need in waiting):
        yield "undecided: could be any of these yet; so many more seeds decide it with probability 0.8"
        most = max((need for need in waiting if need.seeds), key=lambda need: need.seeds or 0)
        high = f"over {MOST_SEEDS}" if most.high is None else str(most.high)
        yield (
            f"python train.py FILE --seeds-to {most.seeds} trains what is missing for all; "
            f"it may take {most.low or most.seeds} to {high}"
        )
    if any(not need.ever for need in waiting):
        yield "needs more images: no number of seeds decides it on these; more test images or a wider --rope can"
    if known:
        yield from _on_intervals(panel, comparison, known)
    for reason in dict.fromkeys(verdict.reason for verdict in verdicts if verdict.reason):
        number = sum(verdict.reason == reason for verdict in verdicts)
        remedy = f": {NO_IMAGES[reason]}" if reason in NO_IMAGES else ""
        if reason == "one seed":
            remedy = ": train at least two seeds that both have (--seeds-to 4)"
        yield f"{reason}, in {number} of {len(verdicts)}{remedy}"
    if identical := [verdict for verdict in known if verdict.high == verdict.low]:
        yield f"{len(identical)} of {len(verdicts)} differ by the same amount in each run; were the same runs compared?"
    yield from notes_on_differences([verdict.difference for verdict in verdicts if verdict.difference is not None])


def _on_intervals(panel: Panel, comparison: Comparison, known: list[Verdict]) -> Iterator[str]:
    images = sorted({verdict.images for verdict in known if verdict.images})
    with_images = f" and {' or '.join(f'{number:,}' for number in images)} test images" if images else ""
    only = "" if images else f"; {comparison.options.metric} is not known for each image, so images do not count"
    yield f"interval: of this row alone, over seeds{with_images}{only}"
    if len(known) > 1 or comparison.level != 0.05:
        level = f"{100 * comparison.level:.2g} %"
        number = f"{len(known)} comparison{'s'[: len(known) > 1]}"
        yield f"verdicts: corrected by Holm for {number}; at most {level} of such tables have a wrong one"
        if any(verdict.decision == "undecided" and verdict.low * verdict.high > 0 for verdict in known):
            yield "that is why an interval can leave out 0 and the row still be undecided"


def several_metrics(comparison: Comparison) -> Table:
    """Return a table with a column for each metric: the mean of each group and what is known of it."""
    every = (comparison, *comparison.others)
    cells = [
        {(panel.title, *place): cell for panel in each.panels for place, cell in panel.cells.items()} for each in every
    ]
    keys = list(dict.fromkeys(key for members in cells for key in members))
    places = [number for number in (0, 2) if any(key[number] for key in keys)]
    names = {0: ", ".join(comparison.layout.panels), 2: ", ".join(comparison.layout.columns)}
    rows = []
    for key in keys:
        texts = [Text(key[1]), *(Text(key[number]) for number in places)]
        for each, members in zip(every, cells, strict=True):
            cell = members.get(key)
            if cell is None or cell.spread is None:
                texts.append(Text("-"))
                continue
            mark = MARKS.get(cell.verdict.decision, "") if cell.verdict is not None else ""
            texts.append(Text(f"{each.unit().spread(cell.spread)}{mark}", bool(cell.leading)))
        rows.append(tuple(texts))
    header = (", ".join(comparison.layout.rows), *(names[number] for number in places))
    return Table(
        "Several metrics",
        (*header, *(each.unit().heading(each.options.metric) for each in every)),
        tuple(rows),
        ("† better or worse than the baseline, = the same within the rope: the tables of verdicts say more",),
        places=1 + len(places),
        starred=starred(comparison.panels[0]),
    )
