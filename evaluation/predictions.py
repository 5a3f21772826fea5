"""Predictions of pictures as a table, as CSV and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from runs.outcomes import Guess
from runs.records import write_rows
from utils.files import write_atomically
from utils.types import printable

REJECTED_IN_WORDS = "(rejected: none of the classes)"
CONVENTION = "these probabilities are a convention of the loss, not a posterior; see its card in docs/losses.md"


class Prediction(NamedTuple):
    """What is told of a picture."""

    path: Path
    guess: Guess


class Predictions(NamedTuple):
    """Args: unreadable: a line for each picture that could not be read. calibrated: probabilities are a posterior."""

    pictures: tuple[Prediction, ...]
    unreadable: tuple[str, ...]
    calibrated: bool


def as_table(told: Predictions, most: int | None = None) -> str:
    """Return lines for a terminal: picture, then the classes with their probabilities."""
    shown = told.pictures[:most]
    width = max(len(printable(str(each.path))) for each in shown)
    lines = []
    for each in shown:
        told_name, likeliest = each.guess
        guesses = [f"{name} {100 * probability:.1f} %" for name, probability in likeliest]
        if told_name is None:
            guesses.insert(0, REJECTED_IN_WORDS)
        elif told_name != likeliest[0][0]:
            guesses.insert(0, f"{told_name} (predicted)")
        lines.append(f"{printable(str(each.path)):<{width}}  {printable(', '.join(guesses))}")
    if more := len(told.pictures) - len(shown):
        lines.append(f"and {more:,} more, in the file")
    if not told.calibrated:
        lines.append(f"note: {CONVENTION}")
    return "\n".join(lines)


def write_csv(told: Predictions, path: Path) -> None:
    """Write a line for each picture: image, prediction (empty if rejected), class_1, probability_1, ...

    Names that spreadsheets would run as formulas have an apostrophe before them.
    """
    number = len(told.pictures[0].guess.likeliest)
    header = [f"{name}_{place}" for place in range(1, number + 1) for name in ("class", "probability")]
    rows = [["image", "prediction", *header]]
    for each in told.pictures:
        guesses = [value for name, probability in each.guess.likeliest for value in (name, f"{probability:.6g}")]
        rows.append([_as_text(each.path), each.guess.name or "", *guesses])
    write_rows(path, rows)


def write_json(told: Predictions, path: Path) -> None:
    """Write an object: probabilities ("posterior" or "convention"), unreadable, and pictures.

    Of each picture: image, prediction (null if rejected), likeliest.
    """
    pictures = [
        {
            "image": _as_text(each.path),
            "prediction": each.guess.name,
            "likeliest": [{"class": name, "probability": probability} for name, probability in each.guess.likeliest],
        }
        for each in told.pictures
    ]
    unreadable = [printable(line) for line in told.unreadable]
    meaning = "posterior" if told.calibrated else "convention"
    values = {"probabilities": meaning, "pictures": pictures, "unreadable": unreadable}
    write_atomically(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def _as_text(path: Path) -> str:
    """Return a path that any file can hold: bytes that are no UTF-8 become escapes."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")
