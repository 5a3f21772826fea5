"""The paper's number beside ours: of the runs of a recipe, where the paper prints one for them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from comparison.groups import Difference, Group
from comparison.layout import CODE_OF, family
from configuration.reading import read_configuration
from configuration.settings import read_values, shown
from evaluation.catalogue import NAME_CHECKS
from runs.identity import ENTERING, settings_of
from runs.parameters import fill_in
from sweeps.cells import expand, load_sweep
from sweeps.mistakes import find_mistakes
from sweeps.reference import REFERENCES, Number, Reference, belongs, from_printed, recipes, reference_of


@dataclass(frozen=True)
class Printed:
    """A number that a paper prints for a group.

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


@dataclass(frozen=True)
class Improvement:
    """A difference of two kinds of runs that a paper prints, mean over all else that differs.

    Args:
        name: of both. difference: ours, mean over `pairs` pairs of groups that are alike in all else.
        unpaired: how many of these pairs share no seed.
        printed: the paper's, as our metric counts.
    """

    name: str
    difference: float
    pairs: int
    unpaired: int
    printed: Printed


def find_improvements(groups: Sequence[Group], metric: str, recipe: str | None) -> tuple[Improvement, ...]:
    """Return the differences that papers print of which both sides are among the groups."""
    by_recipe: dict[str, dict[Group, dict[str, Any]]] = {}
    for group in groups:
        if (name := _recipe_of(group, recipe)) is not None:
            by_recipe.setdefault(name, {})[group] = read_values(group.runs[0].folder.config)
    improvements = []
    for name, values in by_recipe.items():
        reference = reference_of(name)
        for number in reference.numbers:
            over = number.improvement_over
            if over is None or not number.comparable or (number.metric or reference.metric) != metric:
                continue
            ours, theirs = ([group for group in values if belongs(cell, values[group])] for cell in (number.cell, over))
            pairs = [(one, other) for one in ours for other in theirs if _alike(one, other, {*number.cell, *over})]
            every = (Difference.between(one, other, metric) for one, other in pairs)
            if differences := [difference for difference in every if difference is not None]:
                printed = _printed(number, reference, name, pairs[0][0])
                label = f"{_in_words(number.cell)} over {_in_words(over)}"
                mean = statistics.fmean(difference.value for difference in differences)
                unpaired = sum(not difference.is_paired for difference in differences)
                improvements.append(Improvement(label, mean, len(differences), unpaired, printed))
    return tuple(improvements)


def _recipe_of(group: Group, recipe: str | None) -> str | None:
    """Return the recipe with a paper's numbers that a group's runs are of; those of made-up images are of none."""
    if group.settings.get("smoke"):
        return None
    name = recipe if recipe in recipes() else read_values(group.runs[0].folder.config).get("experiment_name")
    return name if isinstance(name, str) and name in recipes() else None


def _alike(one: Group, other: Group, named: set[str]) -> bool:
    """Tell whether groups differ in nothing but some keys and their parameters; each loss has a file of its own."""
    families = tuple(family(key) for key in named)
    keys = {**one.settings, **other.settings}.keys() - named
    own = {key for key in keys if key.startswith(CODE_OF)} - (one.settings.keys() & other.settings.keys())
    rest = (key for key in keys - own if not key.startswith(families))
    return all(one.settings.get(key) == other.settings.get(key) for key in rest)


def _in_words(cell: dict[str, Any]) -> str:
    return ", ".join(shown(value) if key == "loss_function" else f"{key} {shown(value)}" for key, value in cell.items())


def find_printed(group: Group, metric: str, recipe: str | None) -> tuple[Printed, ...]:
    """Return the numbers that belong to a group: its runs are a recipe's, by name or as its file was given.

    Recipes name themselves in `experiment_name`. Runs of made-up images (`smoke: true`) belong to no paper.
    """
    name = _recipe_of(group, recipe)
    if name is None:
        return ()
    values, reference = read_values(group.runs[0].folder.config), reference_of(name)
    seeds = [values | {"seed": run.seed} for run in group.runs]
    return tuple(
        _printed(number, reference, name, group)
        for number in reference.numbers
        if number.comparable
        and number.improvement_over is None
        and (number.metric or reference.metric) == metric
        and any(belongs(number.cell, seed) for seed in seeds)
    )


def _printed(number: Number, reference: Reference, recipe: str, group: Group) -> Printed:
    how = number.printed or reference.printed
    spread = None if number.spread is None else number.spread / (1 if how == "itself" else 100)
    value = from_printed(number.value, how) - (0.0 if number.improvement_over is None else from_printed(0.0, how))
    departures = _departures(number, recipe, group)
    return Printed(value, spread, reference.table, reference.source, number.column, departures)


def _departures(number: Number, recipe: str, group: Group) -> tuple[str, ...]:
    """Return in what a group differs from that run of the recipe, of those with this number, which is nearest to it."""
    mine = {key: value for key, value in group.settings.items() if key.partition(".")[0] in ENTERING}
    nearest: list[str] | None = None
    for values, settings in _cells(recipe):
        if belongs(number.cell, values):
            recipes_own, ours = fill_in([settings, mine])
            if recipes_own["precision"] == "auto":  # as resolved on the machine of the run
                ours["precision"] = "auto"
            keys = [key for key in {**recipes_own, **ours} if recipes_own.get(key) != ours.get(key)]
            departures = [f"{key} {shown(recipes_own.get(key))} -> {shown(ours.get(key))}" for key in keys]
            nearest = departures if nearest is None or len(departures) < len(nearest) else nearest
    return tuple(nearest or ())


def sources(printed: Iterable[Printed]) -> list[str]:
    """Return the tables that numbers are from, a line each."""
    return sorted({f"{number.table}: {number.source}" for number in printed})


@cache
def _cells(name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the configurations of a recipe's runs: as they are, and flat without the seed."""
    base = read_configuration(str(REFERENCES.parent / f"{name}.yml"), (), NAME_CHECKS, find_mistakes)
    cells = []
    for cell in expand(load_sweep(base)):
        settings = settings_of(cell.config)
        del settings["seed"]
        cells.append((cell.config.values(), settings))
    return cells
