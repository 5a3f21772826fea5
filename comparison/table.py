"""A table of texts, which every format writes alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Text:
    text: str
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        rows: as many texts each as the header. rule_before: numbers of rows that stand below a line.
        notes: below the table.
        of_all: shown however many tables there are.
        exact: texts in which numbers are cut -> the same with all their digits.
        places: how many of the first columns say which group a row is about.
        starred: what is said of bold texts. in_files: numbers of columns that a terminal has no room for.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    notes: tuple[str, ...] = ()
    rule_before: frozenset[int] = frozenset()
    of_all: bool = False
    exact: Mapping[str, str] = field(default_factory=dict)
    places: int = 1
    starred: str = "best of its column"
    in_files: frozenset[int] = frozenset()
