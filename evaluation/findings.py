"""Results of an evaluation: numbers with their units, tables, figures, notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, SupportsFloat

from msgspec import Meta, Struct, structs

from evaluation.glossary import GAIN, NUMBER, SHARE, Better, meaning

PARTS_OF_ONE = frozenset({SHARE.name, GAIN.name})
"""Units of values that are written as percent."""
INTERVAL_NAME = "95 % interval"
INTERVAL = (
    f"{INTERVAL_NAME}: Wilson's interval of a share. It covers the sampling of the images, not the variation between "
    "training seeds"
)
"""Explains the intervals of `Findings.add_share`."""


class NotApplicable(Exception):
    """Raised by an evaluation that does not apply to a run, with the reason."""


@dataclass(frozen=True)
class Table:
    """Args: rows: each as long as the header."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Figure:
    """Args: path: in the evaluation's folder."""

    path: Path
    caption: str


class Finding(Struct, frozen=True):
    """One number, as evaluation.json holds it.

    Args:
        value: a share is one of 1.
        unit, digits: how it is written, as of `glossary.Unit`.
        better: the better direction, "" for none.
        low, high: its 95 % interval, if it has one.
        compared: whether runs can be compared by it.
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
        """Return a value with the unit and the direction of its name; a plain number if the name is unknown."""
        entry = meaning(evaluation, name)
        return cls(value) if entry is None else cls(value, *entry.unit, entry.better, low, high)

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
    """Results of one evaluation.

    Attributes:
        evaluation: its name.
        results: name -> number.
        details: further values for evaluation.json, such as a list for each class.
    """

    evaluation: str
    results: dict[str, Finding] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def numbers(self) -> dict[str, float]:
        """Name -> value, of those that runs are compared by."""
        return {name: finding.value for name, finding in self.results.items() if finding.compared}

    @property
    def words(self) -> dict[str, str]:
        """Name -> the number as people read it."""
        return {name: finding.text for name, finding in self.results.items()}

    def add(self, name: str, value: SupportsFloat, compared: bool = True) -> None:
        self.results[name] = structs.replace(Finding.of(self.evaluation, name, float(value)), compared=compared)

    def add_share(self, name: str, value: float, images: int) -> None:
        """Add a share of so many images, with its interval."""
        self.results[name] = Finding.of(self.evaluation, name, float(value), *wilson(value, images))

    def add_table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.tables.append(Table(title, tuple(header), tuple(map(tuple, rows))))

    def add_figure(self, path: Path, caption: str) -> None:
        self.figures.append(Figure(path, caption))


def percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def wilson(share: float, images: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share of so many images.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    from scipy.stats import binomtest  # not for compare.py, which reads intervals only

    interval = binomtest(round(share * images), images).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)
