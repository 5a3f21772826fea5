"""Verdicts and ranks as the page's charts show them: in the unit of the tables, variances among them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from comparison.page.runs import short
from comparison.panels import Comparison
from comparison.ranks import rank_rows
from comparison.verdict_tables import verdict_text


def describe_verdicts(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """Yield, for each column with verdicts, the rows with intervals, seeds and the variances of the slider."""
    unit = comparison.unit()
    scale = 100.0 if unit.is_share else 1.0
    for panel in comparison.panels:
        for column in panel.columns:
            rows = []
            for cell in panel.cells.values():
                verdict = cell.verdict
                if cell.column != column or verdict is None or verdict.parts is None or verdict.difference is None:
                    continue
                parts = verdict.parts
                rows.append(
                    {
                        "label": cell.row,
                        "decision": verdict.decision,
                        "text": verdict_text(verdict, comparison),
                        **{name: short(scale * getattr(verdict, name)) for name in ("low", "high")},
                        "value": short(scale * verdict.difference.value),
                        "dots": [short(scale * value) for value in verdict.difference.by_seed.values()],
                        "images": short(scale**2 * float(np.maximum(parts.images - parts.both, 0))),
                        "seed": short(scale**2 * float(np.maximum(parts.seeds, parts.both) * parts.num_seeds)),
                        **{"df": short(float(parts.df)), "count": int(parts.num_seeds)},
                    }
                )
            if rows:
                heading = unit.heading(comparison.options.metric)
                yield {
                    "title": " · ".join(filter(None, (heading, column, panel.title))),
                    "metric": heading,
                    "baseline": panel.baseline,
                    "rope": None if comparison.rope is None else short(scale * comparison.rope),
                    "rows": rows,
                }


def describe_ranks(comparison: Comparison) -> dict[str, Any] | None:
    """Return mean ranks over data sets, the best first; None where there are not several."""
    found = rank_rows(comparison)
    if found is None:
        return None
    return {"rows": list(found.rows), "ranks": list(map(short, found.ranks)), "critical": found.critical}
