"""Notes above the tables: what is compared, what was left out and why."""

from __future__ import annotations

from collections.abc import Iterable

from comparison.panels import Comparison
from comparison.reading import results_among
from comparison.strata import STRATA, kept_apart, pooled_facts
from runs.folder import RunFolder
from utils.types import first_few

NAMED = 5
"""Folders that a note names."""


def notes(comparison: Comparison) -> list[str]:
    """Return the notes on a comparison, a line each."""
    selection, layout, groups = comparison.selection, comparison.layout, comparison.groups
    counts = f"{_count(len(selection.runs), 'run')} in {_count(len(groups), 'group')}"
    if len(groups) == 1:
        differences = f"their seeds{''.join(f', {name}' for name in pooled_facts(groups)) or ' only'}"
    else:
        places = (("rows", layout.rows), ("columns", layout.columns), ("tables", layout.panels))
        differences = "; ".join(f"{', '.join(keys)} ({place})" for place, keys in places if keys)
    lines = [f"{counts}; they differ in {differences}"]
    for owner in dict.fromkeys(owner for owner in layout.beside.values() if owner):
        keys = [key for key, other in layout.beside.items() if other == owner]
        lines.append(f"{_by_family(keys)} {'vary' if len(keys) > 1 else 'varies'} together with {owner}")
    if layout.chosen and len(groups) > 1:
        options = " ".join(f"--{name} KEY" for name in layout.chosen)
        lines.append(f"{' and '.join(layout.chosen)} chosen automatically; {options} to choose others")
    if unlabelled := [key for key, owner in layout.beside.items() if owner is None]:
        lines.append(f"warning: groups also differ in {_by_family(unlabelled)}, which no row, column or table shows")
    if apart := kept_apart(groups):
        pooled = "; --pool KEY averages over them" if any(key in STRATA for key in apart) else ""
        lines.append(f"groups that differ only in {_by_family(apart)} are kept apart{pooled}")
    if comparison.not_tested:
        lines.append(comparison.not_tested)
    return [*lines, *_searched_values(comparison), *_left_out(comparison)]


def _searched_values(comparison: Comparison) -> list[str]:
    """Return the best values of searches for the groups, those of all groups in one line."""
    layout, results, lines = comparison.layout, results_among(comparison.selection.runs), []
    for panel, cell in comparison.placed_cells:
        trials = (run.trial for run in cell.group.runs if run in results)
        drawn = (key for trial in trials if trial is not None for key in trial.drawn)
        values = [
            f"{name}={layout.shown(cell.group, name)}"
            for key in dict.fromkeys((*comparison.selection.searched, *drawn))
            for name in cell.group.settings
            if name == key or name.startswith(f"{key}.")
        ]
        place = ", ".join(filter(None, (cell.row, cell.column, panel.title)))
        lines += [f"{place}: {', '.join(values)}"] if values else []
    return [f"found by a search: {named(lines, '; ')}"] if lines else []


def _left_out(comparison: Comparison) -> list[str]:
    selection, lines = comparison.selection, []
    if selection.further:
        lines.append(f"{_count(selection.further, 'run')} of further seeds than the file's, too")
    if selection.trials:
        lines.append(f"{_count(selection.trials, 'trial')} of a search left out; --trials shows them")
    trials = [path for path in selection.unfinished if RunFolder(path).trial.is_file()]
    if trials:
        lines.append(f"left out, trials that were pruned or are not finished: {named(map(str, trials))}")
    if unfinished := [str(path) for path in selection.unfinished if path not in trials]:
        lines.append(f"left out, unfinished: {named(unfinished)}")
    lines += [f"left out, damaged: {path}: {reason}" for path, reason in selection.damaged[:NAMED]]
    if len(selection.damaged) > NAMED:
        lines.append(f"left out, damaged: {len(selection.damaged) - NAMED:,} more")
    for taken, others in selection.repeated[:NAMED]:
        lines.append(f"trained more than once: {taken} is used, the latest; left out {named(map(str, others))}")
    if len(selection.repeated) > NAMED:
        lines.append(f"trained more than once: {len(selection.repeated) - NAMED:,} more, the latest of each is used")
    if selection.missing:
        lines.append(f"runs of the sweep that are not finished yet: {named(selection.missing, '; ')}")
    return lines


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'s'[: number != 1]}"


def _by_family(keys: Iterable[str]) -> str:
    """Return keys with the parameters of one thing together: "optimizer, optimizer_params (lr, momentum)"."""
    families: dict[str, list[str]] = {}
    for key in keys:
        family, _, name = key.partition(".")
        families.setdefault(family, []).append(name)
    return ", ".join(
        f"{family} ({', '.join(names)})" if len(names) > 1 else ".".join((family, *names))
        for family, names in ((family, [name for name in names if name]) for family, names in families.items())
    )


def named(names: Iterable[str], separator: str = ", ", most: int = NAMED) -> str:
    """Return the first names and how many more there are."""
    texts = list(names)
    count = f"{len(texts):,}: " if len(texts) > 1 else ""
    return count + first_few(texts, most, separator)
