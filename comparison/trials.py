"""Trials of searches: which of them are results, which only led to one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from metrics import lower_is_better

if TYPE_CHECKING:
    from comparison.reading import Run


def results_among(runs: Sequence[Run]) -> set[Run]:
    """Return the runs that are no trials, and the trials that are results.

    These are the best trial of each search, judged as the search itself judges (by `monitor`, of equal ones the first),
    and those whose values were trained on other seeds too.
    """
    ordinary = {run for run in runs if run.trial is None}
    trained = {frozenset(run.settings.items()) for run in ordinary}
    by_search: dict[str, list[Run]] = {}
    repeated = set()
    for run in runs:
        if run.trial is not None:
            by_search.setdefault(run.trial.search, []).append(run)
            repeated |= {run} if frozenset(run.settings.items()) in trained else set()
    return ordinary | repeated | {best for each in by_search.values() for best in _best(each)}


def _best(trials: Iterable[Run]) -> list[Run]:
    """Return the best of a search's trials; none if none was judged."""
    judged = []
    for run in trials:
        monitor = str(run.settings["monitor"])
        value = run.summary.get(monitor)
        if isinstance(value, (int, float)) and run.trial is not None:
            judged.append((value if lower_is_better(monitor) else -value, run.trial.number, run))
    return [min(judged, key=lambda each: each[:2])[2]] if judged else []
