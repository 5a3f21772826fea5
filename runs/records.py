"""Records of a run: JSON and CSV files, written whole, and read though they may come from elsewhere."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from utils.files import DamagedFile, read_text, write_atomically

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Beginnings of cells that spreadsheets take for more than a text."""
MOST_DIGITS = 30
"""Of a whole number that is read: one of more fits in no float, or takes long."""


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the values that a JSON file holds by their names; nothing in it keeps the reader busy.

    Raises: DamagedFile; OSError.
    """
    text = read_text(path)
    try:
        values = json.loads(text, parse_int=_whole)
    except json.JSONDecodeError as error:
        raise DamagedFile(f"{path.name} is not JSON: {error.msg} in line {error.lineno}") from None
    except RecursionError:
        raise DamagedFile(f"{path.name} holds values within too many others") from None
    except OverflowError:
        raise DamagedFile(f"{path.name} holds a number of more than {MOST_DIGITS} digits") from None
    if not isinstance(values, dict):
        raise DamagedFile(f"{path.name} holds no mapping")
    return values


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise OverflowError
    return int(text)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows under a line with the names of all their columns; no text among them is a formula."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    write_rows(path, [names, *([row.get(name, "") for name in names] for row in rows)])


def write_rows(path: Path, rows: Iterable[Iterable[Any]]) -> None:
    """Write rows of CSV; no text among them is a formula."""
    text = io.StringIO()
    csv.writer(text).writerows([map(without_formula, row) for row in rows])
    write_atomically(path, text.getvalue())


def without_formula(value: Any) -> Any:
    """Return a text with an apostrophe before what a spreadsheet would run as a formula; all else as it is."""
    if not isinstance(value, str) or not value.lstrip(" ").startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def write_json(path: Path, values: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(values, indent=2) + "\n")
