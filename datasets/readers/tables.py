"""Tables that users write: CSV files with a header, lists of class names, and which part is tested on.

They are read by hand rather than by a library: every wrong line is reported by its number, all of them at once.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from datasets.readers.files import listing, read_bytes, read_text
from datasets.readers.images import bad_images
from utils.lookup import did_you_mean
from utils.types import DataError

TEST_NAMES = ("test", "val", "valid", "validation")
SPLITS = ("train", *TEST_NAMES)
"""Values of a column split."""
DELIMITERS = ",;\t"
"""Delimiters of a user's own table."""


L = TypeVar("L", bound=Any)
"""A line of a table of images, with its `path` and its `split`."""


class CsvRows(NamedTuple):
    """The content of a CSV file: names of columns in lower case, the number of each line and its values by column.

    `problems` says what is wrong with lines whose number of fields is not the header's; they are not among `rows`.
    """

    columns: tuple[str, ...]
    rows: list[tuple[int, dict[str, str]]]
    problems: list[str]


def read_csv(path: Path, required: Sequence[str] = (), delimiters: str = ",") -> CsvRows:
    """Read a CSV file whose first line names its columns, in capitals or not.

    Args:
        required: columns that it must have, in lower case.
        delimiters: what may stand between fields; the one that finds most columns in the header does.

    Raises: DataError if the file cannot be read, is no CSV file in UTF-8, lacks a column, names one twice or has no
        rows.
    """
    lines = read_fields(path, delimiters)
    header = [name.strip().lower() for name in lines[0][1]] if lines else []
    if lacking := [name for name in required if name not in header]:
        near = did_you_mean(lacking[0], set(header) - set(required)) if len(lacking) == 1 else ""
        held = ", ".join(header) or "none"
        raise DataError(f"{path}: lacks the columns {', '.join(lacking)} (found: {held}){near}")
    if doubled := [name for name in dict.fromkeys(header) if name and header.count(name) > 1]:
        raise DataError(f"{path}: columns that stand twice: {', '.join(doubled)}")
    if not lines[1:]:
        raise DataError(f"{path}: holds no rows")
    rows, problems = [], []
    for number, fields in lines[1:]:
        while len(fields) > len(header) and not fields[-1].strip():  # spreadsheets add empty ones
            fields = fields[:-1]
        if len(fields) != len(header):
            problems.append(f"line {number}: {len(fields)} fields where the header has {len(header)}")
        else:
            rows.append((number, dict(zip(header, map(str.strip, fields), strict=True))))
    return CsvRows(tuple(header), rows, problems)


def read_fields(path: Path, delimiters: str = ",") -> list[tuple[int, list[str]]]:
    """Return the number and the fields of each line that is not empty, the header, if there is one, like any other.

    Raises: DataError if the file cannot be read or is no CSV file in UTF-8.
    """
    try:
        text = read_bytes(path).removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        reason = f"byte 0x{error.object[error.start]:02x}, {error.reason}"
        raise DataError(f"{path}: not a CSV file in UTF-8: line {line}: {reason}") from None
    file = io.StringIO(text, newline="")
    first = file.readline()
    delimiter = max(delimiters, key=first.count)
    file.seek(0)
    reader = csv.reader(file, delimiter=delimiter)
    try:
        return [(reader.line_num, fields) for fields in reader if fields]
    except csv.Error as error:
        raise DataError(f"{path}: not a CSV file: line {reader.line_num}: {error}") from None


def read_images(
    path: Path, table: CsvRows, used: Collection[str], read: Callable[[int, dict[str, str]], L], notes: list[str]
) -> list[L]:
    """Return the lines of a user's table of images; a note is added on columns without a use.

    Args:
        path, table: where it lies and what `read_csv` gave.
        used: columns with a use, in lower case.
        read: the number of a line and its values by column -> the line, or ValueError.

    Raises: DataError that lists all wrong lines. Where there are some, the images of the others are looked at too, so
        that nobody mends the table only to read about the images then.
    """
    columns, rows, problems = table
    if unused := [name for name in columns if name not in used]:
        notes.append(f"{path.name}: columns that are not used: {', '.join(map(repr, unused))}")
    lines = []
    for number, row in rows:
        try:
            lines.append(read(number, row))
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    if problems:
        ordered = sorted(problems, key=lambda text: int(re.findall(r"\d+", text)[0]))
        text = f"{path}: {len(problems):,} wrong line{'s'[: len(problems) - 1]}:\n{listing(ordered)}"
        images = [line.path for line in lines]
        if bad := bad_images(images):
            text += f"\nof the other lines' {len(images):,} images, {len(bad):,} cannot be used:\n{listing(bad)}"
        raise DataError(text)
    return lines


def image_path(folder: Path, text: str, allow_outside: bool = False) -> Path:
    """Return where an image lies that a table in this folder names.

    Raises: ValueError if it leaves the folder, unless that is allowed, or is not there.
    """
    name = text.replace("\\", "/")
    if not name:
        raise ValueError("no path")
    leaves = name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in name.split("/")
    if leaves and not allow_outside:
        raise ValueError(f"{text!r} leaves the folder of the table; data_params: {{allow_outside: true}} allows it")
    path = folder / name
    if not os.path.isfile(path):
        raise ValueError(f"{text!r}: no such file")
    return path


def natural_order(names: Iterable[str]) -> list[str]:
    """Sort names as a reader would: "class 2" before "class 10"."""

    def key(name: str) -> tuple[list[tuple[int, str]], str]:
        parts = re.split(r"(\d+)", name)
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name

    return sorted(names, key=key)


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


def check_split(text: str) -> str:
    """Return the part that a field names, in capitals or not. Raises: ValueError if it names none."""
    if text.lower() not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {text!r}")
    return text.lower()


def parts_of(lines: Sequence[L], notes: list[str]) -> tuple[list[L], list[L]]:
    """Return the lines of the training part and of the part to test on, either of which may be none."""
    parts = {name: [line for line in lines if line.split == name] for name in SPLITS}
    test_name, part_notes = choose_test_part([name for name in SPLITS if parts[name]], "split")
    notes += part_notes
    return parts["train"], [] if test_name is None else parts[test_name]


def choose_test_part(names: Collection[str], what: str) -> tuple[str | None, list[str]]:
    """Return the part to test on, None if there is none, and notes on what is done with validation images.

    Without a part test, that of validation is the test part: a run holds its own validation images out of train.

    Args:
        names: the parts there are.
        what: what a part is, such as "folder", for the notes.
    """
    present = [name for name in TEST_NAMES if name in names]
    if not present:
        return None, []
    notes = [] if present[0] == "test" else [f"no {what} test: {present[0]} is the test part"]
    notes += [f"{what} {name} is not used: valid_fraction holds images out of train" for name in present[1:]]
    return present[0], notes
