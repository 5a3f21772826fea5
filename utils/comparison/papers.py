"""The paper's number beside ours: of the runs of a recipe, where the paper prints one for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from utils.comparison.grouping import Group
from utils.reference import Number, Reference, belongs, from_printed, read_reference
from utils.settings import read_values

REFERENCES = Path(__file__).resolve().parents[2] / "experiments" / "reference"


@dataclass(frozen=True)
class Printed:
    """What a paper prints for a group.

    Args:
        value, spread: as our metric counts, a share or the number itself. column: which of several, if there are.
    """

    value: float
    spread: float | None
    table: str
    source: str
    column: str | None


def find_printed(group: Group, metric: str, recipe: str | None) -> tuple[Printed, ...]:
    """Return the numbers that belong to a group: its runs are a recipe's, by name or as its file was given.

    Recipes name themselves in `experiment_name`. Runs of made-up images (`smoke: true`) belong to no paper.
    """
    if group.settings.get("smoke"):
        return ()
    values = read_values(group.runs[0].folder.config)
    name = recipe if recipe in _recipes() else values.get("experiment_name")
    if name not in _recipes():
        return ()
    reference = _read(name)
    seeds = [values | {"seed": run.seed} for run in group.runs]
    return tuple(
        _printed(number, reference)
        for number in reference.numbers
        if number.comparable
        and number.improvement_over is None
        and (number.metric or reference.metric) == metric
        and any(belongs(number.cell, each) for each in seeds)
    )


def _printed(number: Number, reference: Reference) -> Printed:
    how = number.printed or reference.printed
    spread = None if number.spread is None else number.spread / (1 if how == "itself" else 100)
    return Printed(from_printed(number.value, how), spread, reference.table, reference.source, number.column)


def sources(printed: Iterable[Printed]) -> list[str]:
    """Return the tables that numbers are from, a line each."""
    return sorted({f"{each.table}: {each.source}" for each in printed})


@cache
def _recipes() -> frozenset[str]:
    return frozenset(path.stem for path in REFERENCES.glob("*.yml"))


@cache
def _read(name: str) -> Reference:
    return read_reference(REFERENCES / f"{name}.yml")
