"""What a table is to those that make it and those that write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from comparison.layout import short_key


@dataclass(frozen=True)
class Text:
    text: str
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        rows: as many texts each as the header. rule_before: numbers of rows that stand below a line.
        notes: what stands below.
        of_all: shown however many tables there are.
        places: how many of the first columns say what a row is about.
        exact: texts in which numbers are cut -> the same with all their digits.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    notes: tuple[str, ...] = ()
    rule_before: frozenset[int] = frozenset()
    of_all: bool = False
    exact: Mapping[str, str] = field(default_factory=dict)
    places: int = 1


def heading(keys: Sequence[str]) -> str:
    """Return the head of a column that tells values of keys."""
    return ", ".join(map(short_key, keys))
