"""The glossary: unit, direction and description of every number, as the evaluations' files declare them (NUMBERS)."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from evaluation import EVALUATIONS, declarations

Better = Literal["", "lower", "higher"]


class Unit(NamedTuple):
    """Args: name: follows the value. digits: decimals; of a share, those of its percentage."""

    name: str
    digits: int


SHARE, GAIN, NUMBER = Unit("%", 2), Unit("points", 2), Unit("", 4)
"""A share of 1, a difference of two shares, and any other number."""
UNITS = {
    "share": SHARE,
    "gain": GAIN,
    "number": NUMBER,
    "count": Unit("", 0),
    "milliseconds": Unit("ms", 2),
    "megabytes": Unit("MB", 2),
}
"""By the words that declarations use."""


class Meaning(NamedTuple):
    """Args: better: the better direction. formula: for the documentation."""

    unit: Unit
    better: Better
    text: str
    formula: str = ""


def glossary(evaluation: str) -> dict[str, Meaning]:
    """Return an evaluation's numbers, or patterns of their names, with what they mean; empty for an unknown one."""
    if evaluation not in EVALUATIONS:
        return {}
    numbers = declarations(evaluation)["NUMBERS"]
    return {name: Meaning(UNITS[unit], *rest) for name, (unit, *rest) in numbers.items()}


def meaning(evaluation: str, number: str) -> Meaning | None:
    """Return the meaning of a number, of the first pattern that fits; None if this version does not know it."""
    fitting = (entry for pattern, entry in glossary(evaluation).items() if fnmatchcase(number, pattern))
    return next(fitting, None)


def as_markdown(evaluation: str) -> str:
    """Return an evaluation's part of the glossary as a table for docs/evaluation.md."""
    rows = ["| number | description | better |", "|---|---|---|"]
    for number, entry in glossary(evaluation).items():
        text = f"{entry.text}; {entry.formula}" if entry.formula else entry.text
        rows.append(f"| `{number.replace('*', '...')}` | {text.replace('|', chr(92) + '|')} | {entry.better} |")
    return "\n".join(rows)
