"""The paper's number beside ours: of the runs of a recipe, where the paper prints one for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from utils.comparison.grouping import Group
from utils.configuration.catalogue import NAME_CHECKS
from utils.configuration.reading import read_configuration
from utils.configuration.settings import read_values, shown
from utils.identity import ENTERING, fill_in, settings_of
from utils.reference import REFERENCES, Number, Reference, belongs, from_printed, recipes, reference_of
from utils.sweeps.cells import expand, load_sweep
from utils.sweeps.reading import find_mistakes


@dataclass(frozen=True)
class Printed:
    """What a paper prints for a group.

    Args:
        value, spread: as our metric counts, a share or the number itself. column: which of several, if there are.
        departures: keys in which our runs differ from the recipe's, with the recipe's value and ours.
    """

    value: float
    spread: float | None
    table: str
    source: str
    column: str | None
    departures: tuple[str, ...]


def find_printed(group: Group, metric: str, recipe: str | None) -> tuple[Printed, ...]:
    """Return the numbers that belong to a group: its runs are a recipe's, by name or as its file was given.

    Recipes name themselves in `experiment_name`. Runs of made-up images (`smoke: true`) belong to no paper.
    """
    if group.settings.get("smoke"):
        return ()
    values = read_values(group.runs[0].folder.config)
    name = recipe if recipe in recipes() else values.get("experiment_name")
    if name not in recipes():
        return ()
    reference = reference_of(name)
    seeds = [values | {"seed": run.seed} for run in group.runs]
    return tuple(
        _printed(number, reference, name, group)
        for number in reference.numbers
        if number.comparable
        and number.improvement_over is None
        and (number.metric or reference.metric) == metric
        and any(belongs(number.cell, each) for each in seeds)
    )


def _printed(number: Number, reference: Reference, recipe: str, group: Group) -> Printed:
    how = number.printed or reference.printed
    spread = None if number.spread is None else number.spread / (1 if how == "itself" else 100)
    value, departures = from_printed(number.value, how), _departures(number, recipe, group)
    return Printed(value, spread, reference.table, reference.source, number.column, departures)


def _departures(number: Number, recipe: str, group: Group) -> tuple[str, ...]:
    """Return in what a group differs from that run of the recipe, of those with this number, which is nearest to it."""
    mine = {key: value for key, value in group.settings.items() if key.partition(".")[0] in ENTERING}
    nearest: list[str] | None = None
    for values, settings in _cells(recipe):
        if belongs(number.cell, values):
            wanted, ours = fill_in([settings, mine])
            if wanted["precision"] == "auto":  # whatever the machine makes of it
                ours["precision"] = "auto"
            keys = [key for key in {**wanted, **ours} if wanted.get(key) != ours.get(key)]
            told = [f"{key} {shown(wanted.get(key))} -> {shown(ours.get(key))}" for key in keys]
            nearest = told if nearest is None or len(told) < len(nearest) else nearest
    return tuple(nearest or ())


def sources(printed: Iterable[Printed]) -> list[str]:
    """Return the tables that numbers are from, a line each."""
    return sorted({f"{each.table}: {each.source}" for each in printed})


@cache
def _cells(name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the configurations of a recipe's runs: as they are, and flat without the seed."""
    base = read_configuration(str(REFERENCES.parent / f"{name}.yml"), (), NAME_CHECKS, find_mistakes)
    found = []
    for cell in expand(load_sweep(base)):
        values = cell.config.values()
        settings = settings_of(cell.config)
        del settings["seed"]
        found.append((values, settings))
    return found
