"""What to know before the tables: what is compared, what was left out and why."""

from __future__ import annotations

from collections.abc import Iterable

from comparison.building import Comparison
from comparison.strata import kept_apart, pooled_facts
from comparison.trials import results_among
from runs.folder import RunFolder

NAMED = 5
"""Folders that a note names."""


def notes(comparison: Comparison) -> list[str]:
    """Return what to know before the tables: what is compared, what was left out and why."""
    found, layout = comparison.found, comparison.layout
    runs, groups = _counted(len(found.runs), "run"), _counted(len(comparison.groups), "group")
    lines = [f"{runs} in {groups}; {_differences(comparison)}", *_following(comparison)]
    if layout.chosen and len(comparison.groups) > 1:
        options = " ".join(f"--{name} KEY" for name in layout.chosen)
        choose = "choose" if len(layout.chosen) > 1 else "chooses"
        lines.append(f"{' and '.join(layout.chosen)} were chosen from what differs; {options} {choose} others")
    if untold := [key for key, owner in layout.beside.items() if owner is None]:
        lines.append(f"warning: neither rows, columns nor tables tell in what they differ beside: {_by_family(untold)}")
    if apart := kept_apart(comparison.groups):
        lines.append(f"groups that differ in {_by_family(apart)} alone are kept apart; --pool KEY averages over them")
    if comparison.not_tested:
        lines.append(comparison.not_tested)
    lines += _found_values(comparison)
    if found.trials:
        lines.append(f"{_counted(found.trials, 'trial')} of a search left out; --trials shows them")
    trials = [path for path in found.unfinished if RunFolder(path).trial.is_file()]
    if trials:
        lines.append(f"left out, trials that were pruned or are not finished: {named(map(str, trials))}")
    if unfinished := [str(path) for path in found.unfinished if path not in trials]:
        lines.append(f"left out, unfinished: {named(unfinished)}")
    lines += [f"left out, damaged: {path}: {reason}" for path, reason in found.damaged[:NAMED]]
    if len(found.damaged) > NAMED:
        lines.append(f"left out, damaged: {len(found.damaged) - NAMED:,} more")
    for taken, others in found.repeated[:NAMED]:
        lines.append(f"trained more than once: taken {taken}, the last of them; left out {named(map(str, others))}")
    if len(found.repeated) > NAMED:
        lines.append(f"trained more than once: {len(found.repeated) - NAMED:,} more, the last taken of each")
    if found.missing:
        lines.append(f"not finished yet, of the sweep: {named(found.missing, '; ')}")
    return lines


def _found_values(comparison: Comparison) -> list[str]:
    """Return the values that searches have found for the groups, those of all groups in one line."""
    layout, told, results = comparison.layout, [], results_among(comparison.found.runs)
    for panel, cell in comparison.placed_cells:
        group = cell.group
        trials = (run.trial for run in group.runs if run in results)
        drawn = (key for trial in trials if trial is not None for key in trial.drawn)
        keys = dict.fromkeys((*comparison.found.searched, *drawn))
        values = [
            f"{name}={layout.shown(group, name)}"
            for key in keys
            for name in group.settings
            if name == key or name.startswith(f"{key}.")
        ]
        where = ", ".join(filter(None, (cell.row, cell.column, panel.title)))
        told += [f"{where}: {', '.join(values)}"] if values else []
    return [f"found by a search: {named(told, '; ')}"] if told else []


def _counted(number: int, name: str) -> str:
    return f"{number:,} {name}{'s'[: number != 1]}"


def _differences(comparison: Comparison) -> str:
    layout = comparison.layout
    if len(comparison.groups) == 1:
        others = "".join(f", {name}" for name in pooled_facts(comparison.groups))
        return f"they differ in their seeds{others or ' only'}"
    places = (("rows", layout.rows), ("columns", layout.columns), ("tables", layout.panels))
    told = [f"{', '.join(keys)} ({place})" for place, keys in places if keys]
    return f"they differ in {'; '.join(told)}"


def _following(comparison: Comparison) -> list[str]:
    """Return the other keys that differ, those that go with one key in a line."""
    beside = comparison.layout.beside
    owners = dict.fromkeys(owner for owner in beside.values() if owner)
    return [
        f"with {owner} differ, too: {_by_family(key for key, other in beside.items() if other == owner)}"
        for owner in owners
    ]


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
    known = list(names)
    count = f"{len(known):,}: " if len(known) > 1 else ""
    more = f"{separator}and {len(known) - most:,} more" if len(known) > most else ""
    return f"{count}{separator.join(known[:most])}{more}"
