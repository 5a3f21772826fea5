"""What an evaluation finds: numbers with their units, tables, pictures, remarks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct, structs

from evaluation.glossary import GAIN, INTERVAL_NAME, NUMBER, SHARE, Better, meaning

PARTS_OF_ONE = frozenset({SHARE.name, GAIN.name})
"""Units of values that are written as percent."""


class NotApplicable(Exception):
    """An evaluation that says nothing about this run, such as the agreement with people on data nobody labelled."""


@dataclass(frozen=True)
class Table:
    """Args: rows: each as long as the header."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Picture:
    """Args: path: in the evaluation's folder. caption: what is to be seen."""

    path: Path
    caption: str


class Finding(Struct, frozen=True):
    """One number, as evaluation.json holds it and as all that shows it writes it.

    Args:
        value: a share is one of 1.
        unit, digits: how it is written, as of `glossary.Unit`.
        better: which direction is, "" where neither is.
        low, high: its 95 % interval, where it has one.
        compared: whether it says something about the run, so that runs can be compared by it.
    """

    value: float
    unit: str = NUMBER.name
    digits: Annotated[int, Meta(ge=0, le=9)] = NUMBER.digits
    better: Better = ""
    low: float | None = None
    high: float | None = None
    compared: bool = True

    @classmethod
    def of(
        cls, evaluation: str, name: str, value: float, low: float | None = None, high: float | None = None
    ) -> Finding:
        """Return a value with the unit and the direction of its name; without both where the name is unknown."""
        known = meaning(evaluation, name)
        return cls(value) if known is None else cls(value, *known.unit, known.better, low, high)

    @property
    def text(self) -> str:
        interval = ""
        if self.low is not None and self.high is not None:
            interval = f" ({INTERVAL_NAME} {self._number(self.low)} to {self._number(self.high)})"
        sign = "+" if self.unit == GAIN.name else ""
        return f"{self._number(self.value, sign)}{f' {self.unit}' if self.unit else ''}{interval}"

    def _number(self, value: float, sign: str = "") -> str:
        return f"{100 * value if self.unit in PARTS_OF_ONE else value:{sign},.{self.digits}f}"


@dataclass
class Findings:
    """What one evaluation found.

    Attributes:
        evaluation: its name.
        found: name -> number.
        details: what evaluation.json holds beside the numbers, such as a list for each class.
    """

    evaluation: str
    found: dict[str, Finding] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def numbers(self) -> dict[str, float]:
        """Name -> value, of those that runs are compared by."""
        return {name: each.value for name, each in self.found.items() if each.compared}

    @property
    def words(self) -> dict[str, str]:
        """Name -> the number as people read it."""
        return {name: each.text for name, each in self.found.items()}

    def add(self, name: str, value: float, compared: bool = True) -> None:
        self.found[name] = structs.replace(Finding.of(self.evaluation, name, float(value)), compared=compared)

    def add_share(self, name: str, value: float, images: int) -> None:
        """Add a share of so many images, with its interval."""
        self.found[name] = Finding.of(self.evaluation, name, float(value), *wilson(value, images))

    def add_table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.tables.append(Table(title, tuple(header), tuple(map(tuple, rows))))


def percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def wilson(share: float, images: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share of so many images.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    z2 = 1.959964**2 / images
    middle, half = share + z2 / 2, math.sqrt(z2 * (share * (1 - share) + z2 / 4))
    low, high = ((middle + sign * half) / (1 + z2) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)  # rounding
