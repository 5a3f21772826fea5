"""The papers' numbers, `experiments/reference/*.yml`: each with the configuration of the runs that it belongs to."""

# Without `from __future__ import annotations`: the annotations are the types that files are checked against.

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml
from msgspec import Struct

from configuration.yaml_text import Loader

Printed = Literal["accuracy", "error", "itself"]
"""How a paper prints a share: in percent, as what is missing to 100 %, or another number as it is."""
REFERENCES = Path(__file__).resolve().parents[1] / "experiments" / "reference"
_MISSING = object()


class Number(Struct, frozen=True, forbid_unknown_fields=True):
    """One printed number.

    Args:
        paper: what the paper calls its row; column: and its column, where a row has several.
        cell: configuration key, dotted within parameters, -> value: the runs that it belongs to have them all.
        value: as printed. spread: its standard deviation, where it is given.
        improvement_over: the runs that it is compared with, where it is a difference: of `cell` less these.
        metric, printed: as of the file, where it is another.
        comparable: false where no run measures it.
    """

    paper: dict[str, Any]
    cell: dict[str, Any]
    value: float
    column: str | None = None
    improvement_over: dict[str, Any] | None = None
    spread: float | None = None
    metric: str | None = None
    printed: Printed | None = None
    comparable: bool = True
    note: str = ""


class LeftOut(Struct, frozen=True, forbid_unknown_fields=True):
    """Rows of the paper that no run here can be compared with, and why."""

    paper: dict[str, Any]
    reason: str


class Reference(Struct, frozen=True, forbid_unknown_fields=True):
    """The numbers of one table.

    Args:
        recipe: the file in experiments/ whose runs they are compared with.
        source: the paper. table: what this table is called there.
        metric: name in a run's summary.json. printed, unit: how the paper prints it.
    """

    recipe: str
    source: str
    table: str
    metric: str
    printed: Printed
    unit: str
    numbers: list[Number]
    left_out: list[LeftOut] = []


def read_reference(path: Path) -> Reference:
    """Read one file. Raises: msgspec.ValidationError for one of another form: it is part of the project."""
    return msgspec.convert(yaml.load(path.read_text(encoding="utf-8"), Loader=Loader), Reference)


@cache
def recipes() -> frozenset[str]:
    """Return the names of the recipes that have a paper's numbers."""
    return frozenset(path.stem for path in REFERENCES.glob("*.yml"))


@cache
def reference_of(recipe: str) -> Reference:
    """Return the numbers of a recipe, one of `recipes()`."""
    return read_reference(REFERENCES / f"{recipe}.yml")


def belongs(cell: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Tell whether a run's configuration has all that a cell names."""
    return all(_at(values, key) == value for key, value in cell.items())


def from_printed(value: float, printed: Printed) -> float:
    """Return what a run's metric is where a paper prints this."""
    return {"accuracy": value / 100, "error": 1 - value / 100, "itself": value}[printed]


def _at(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part, _MISSING) if isinstance(values, Mapping) else _MISSING
    return values
