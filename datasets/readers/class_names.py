"""Class names: their order, and the file that gives another one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from datasets.readers.files import listing, read_text
from utils.types import DataError


def natural_order(names: Iterable[str]) -> list[str]:
    """Sort names as a reader would: "class 2" before "class 10"."""
    return sorted(names, key=lambda name: ([_part(part) for part in re.split(r"(\d+)", name)], name))


def _part(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdecimal() else (-1, text)


def read_class_names(path: Path) -> tuple[str, ...]:
    """Read class names, one a line; label k is line k, from 0.

    Raises: DataError if the file cannot be read, holds fewer than two names, or one that is empty or stands twice.
    """
    try:
        names = tuple(line.strip() for line in read_text(path).splitlines())
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    problems = [f"line {number}: empty" for number, name in enumerate(names, start=1) if not name]
    problems += [f"{name!r} stands twice" for name, count in Counter(names).items() if name and count > 1]
    if len(names) < 2:
        problems.append(f"{len(names)} names, at least 2 are needed")
    if problems:
        raise DataError(f"{path}: not one class name a line:\n{listing(problems)}")
    return names
