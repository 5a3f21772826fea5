"""Anybody's licence plates, or other short texts: a CSV file that says what is written on each image."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from datasets.base import DataSet, ImageTable
from datasets.readers.tables import DELIMITERS, check_split, image_path, parts_of, read_csv, read_images
from datasets.sequences import encode_texts
from datasets.sets.ccpd import plate_order
from utils.types import ConfigError, DataError

FACTS = {"plates": {"kind": "sequence"}}
TABLE = "labels.csv"
COLUMNS = ("file", "text", "split")
LAYOUT = f"images and {TABLE} with the columns file, text, perhaps split"
MAX_LENGTH = 32
"""Characters of a text. No plate has half as many: a longer one is another column's, or two lines run together."""
TEST_SHARE = 0.2


class Line(NamedTuple):
    """A line of the table."""

    path: Path
    text: str
    split: str


def plates(*, data_path: str | None = None, alphabet: str | None = None, allow_outside: bool = False) -> DataSet:
    """Read images of plates with the texts that a CSV file gives them.

    The first line names the columns: file, text and perhaps split, which is train or test; others are not used. Fields
    stand between commas, semicolons or tabs. Paths are relative to the table's folder; a folder that most of them begin
    with and that is not there is left out, since tables are often written from one folder above. Without split, a fifth
    of the images is the test part, drawn by a hash of their paths: it depends on no seed, and images that are added
    move none. Without a part test, val, valid or validation is the test part.

    Classes are characters. By default they are those that the texts use, in the order of the CCPD data set: Chinese
    provinces, letters, digits, then all others by code point. Capitals and small letters differ, and a space within a
    text is a character. Letters with accents are one character however they are stored (Unicode's form NFC).

    Args:
        data_path: the CSV file, or the folder of labels.csv.
        alphabet: all characters that texts may use, in the order of the classes, such as "ABC0123456789"; then other
            texts do not change what a network's scores mean.
        allow_outside: accept paths that leave the folder.

    Raises: ConfigError without a data_path, or for an alphabet with less than two characters or one twice; DataError
        for a wrong header, and listing every wrong line by its number.
    """
    if data_path is None:
        raise ConfigError(f"data_path: missing; dataset plates reads {LAYOUT}")
    fixed = None if alphabet is None else _alphabet(alphabet)
    path = _table_file(Path(data_path).expanduser())
    notes: list[str] = []
    lines = _read(path, fixed, allow_outside, notes)
    train, test = parts_of(lines, notes)
    if not train or not test:
        lacking = "test" if train else "train"
        raise DataError(f"{path}: none of its {len(lines):,} images is of split {lacking}; a column split says which")
    classes = fixed or plate_order(character for line in (*train, *test) for character in line.text)
    if len(classes) < 2:
        raise DataError(f"{path}: texts of one character, {''.join(classes)!r}; at least 2 are needed")
    spaced, total = sum(" " in line.text for line in (*train, *test)), len(train) + len(test)
    if spaced:
        notes.append(f"{spaced:,} of {total:,} texts hold a space, which is a character like any other")
    tables = []
    for part in (train, test):
        labels = encode_texts([line.text for line in part], classes)
        tables.append(ImageTable([line.path for line in part], labels, strata=labels[:, 0]))
    return DataSet(classes, *tables, notes=tuple(notes), kind="sequence")


def _table_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    if not (path / TABLE).is_file():
        raise DataError(f"{path}: holds no {TABLE}; expected {LAYOUT}, or the CSV file itself as data_path")
    return path / TABLE


def _alphabet(text: str) -> tuple[str, ...]:
    characters = unicodedata.normalize("NFC", text)
    counts = Counter(characters)
    problems = [f"{character!r} stands {count} times" for character, count in counts.items() if count > 1]
    if len(characters) < 2:
        problems.append(f"must hold at least two characters, got {text!r}")
    if problems:
        raise ConfigError("\n".join(f"data_params.alphabet: {problem}" for problem in problems))
    return tuple(characters)


def _read(path: Path, alphabet: tuple[str, ...] | None, allow_outside: bool, notes: list[str]) -> list[Line]:
    """Read the lines of a table. Raises: DataError that lists all wrong lines."""
    table = read_csv(path, ("file", "text"), DELIMITERS)
    leading = _leading_folder(path.parent, [row["file"] for _, row in table.rows])
    seen: dict[str, tuple[int, str]] = {}

    def read(number: int, row: dict[str, str]) -> Line:
        image = image_path(path.parent, row["file"].replace("\\", "/").removeprefix(leading), allow_outside)
        name = os.path.relpath(image, path.parent).replace(os.sep, "/")
        text = _text(row["text"])
        if name in seen:
            first, other = seen[name]
            differing = "" if other == text else f", as {other!r}"
            raise ValueError(f"{row['file']!r} stands in line {first} too{differing}")
        seen[name] = (number, text)
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()  # so that it stays there when others come
        drawn = "test" if int.from_bytes(digest, "big") < TEST_SHARE * 2**64 else "train"
        split = check_split(row["split"]) if "split" in row else drawn
        if alphabet is not None and (lacking := plate_order({*text} - {*alphabet})):
            raise ValueError(f"text {text!r} holds what the alphabet has not: {''.join(lacking)}")
        return Line(image, text, split)

    lines = read_images(path, table, COLUMNS, read, notes)
    if "split" not in table.columns:
        count = sum(line.split == "test" for line in lines)
        notes.append(f"no column split: {count:,} of {len(lines):,} images are the test part, drawn by their names")
    return lines


def _leading_folder(folder: Path, files: list[str]) -> str:
    """Return the folder, with a slash, that more than half of the paths begin with though it is not there, or ""."""
    first_parts = Counter(file.replace("\\", "/").partition("/")[:2] for file in files)
    (part, slash), count = max(first_parts.items(), key=lambda item: item[1], default=(("", ""), 0))
    is_folder_name = part and slash and ":" not in part
    return f"{part}/" if is_folder_name and 2 * count > len(files) and not (folder / part).exists() else ""


def _text(field: str) -> str:
    """Return a text. Raises: ValueError if it is empty or too long or holds what is no character of a plate."""
    text = unicodedata.normalize("NFC", field)
    if not text:
        raise ValueError("no text")
    if len(text) > MAX_LENGTH:
        raise ValueError(f"text of {len(text)} characters, at most {MAX_LENGTH} are read: {text[:MAX_LENGTH]!r}...")
    if invisible := [character for character in text if not character.isprintable()]:
        raise ValueError(f"text {text!r} holds a character that cannot be seen, U+{ord(invisible[0]):04X}")
    return text
