"""What an evaluation finds: numbers with their words, tables, pictures, remarks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INTERVAL_NAME = "95 % interval"


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


@dataclass
class Findings:
    """What one evaluation found.

    Attributes:
        numbers: name -> value, for evaluation.json and compare.py.
        words: name -> the value as people read it.
        details: what evaluation.json holds beside the numbers, such as a list for each class.
    """

    numbers: dict[str, float] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, value: float, words: Callable[[float], str]) -> None:
        self.numbers[name] = float(value)
        self.words[name] = words(float(value))

    def add_table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.tables.append(Table(title, tuple(header), tuple(map(tuple, rows))))


def percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def share_of(images: int) -> Callable[[float], str]:
    """Return what words a share of so many images, with its interval."""

    def words(value: float) -> str:
        low, high = wilson(value, images)
        return f"{percent(value)} ({INTERVAL_NAME} {100 * low:.2f} to {100 * high:.2f})"

    return words


def wilson(share: float, images: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share of so many images.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    z2 = 1.959964**2 / images
    middle, half = share + z2 / 2, math.sqrt(z2 * (share * (1 - share) + z2 / 4))
    low, high = ((middle + sign * half) / (1 + z2) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)  # rounding


def points(value: float) -> str:
    """Return a difference of shares."""
    return f"{100 * value:+.2f} points"


def plain(value: float) -> str:
    return f"{value:,.4f}"


def whole(value: float) -> str:
    return f"{value:,.0f}"
