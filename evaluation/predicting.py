"""Predictions for image files outside of any data set, as a table, as CSV and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from datasets.base import ImageTable
from datasets.preprocessing import Preprocessing
from datasets.readers.files import in_threads, progress
from evaluation.images import preprocessing_of_others
from evaluation.parts import guess_parts
from evaluation.subject import Subject
from runs.outcomes import OUTCOMES, Guess
from runs.records import write_rows
from utils.files import write_atomically
from utils.types import DataError, printable

REJECTED_IN_WORDS = "(rejected: none of the classes)"
CONVENTION = "these probabilities are a convention of the loss, not a posterior; see its card in docs/losses.md"


class Prediction(NamedTuple):
    path: Path
    guess: Guess


class Predictions(NamedTuple):
    """The predictions for N images.

    Args:
        unreadable: a line for each image that could not be read.
        calibrated: probabilities are a posterior.
        parts: of pixels and objects all that is seen in each image, as `guess_parts` gives it.
    """

    images: tuple[Prediction, ...]
    unreadable: tuple[str, ...]
    calibrated: bool
    parts: tuple[list[dict[str, Any]], ...] = ()


@torch.no_grad()
def predict(subject: Subject, paths: Sequence[Path], top: int, folder: Path | None = None) -> Predictions:
    """Classify image files in batches, each preprocessed as the run's own images.

    Args:
        top: number of classes for each, the most likely first.
        folder: where images are written with the pixels or objects that are seen drawn into them.

    Raises: DataError naming all files if none can be read.
    """
    preprocessing, loss = preprocessing_of_others(subject.data), subject.classifier.loss
    predictions: list[Prediction] = []
    unreadable: list[str] = []
    parts: list[list[dict[str, Any]]] = []
    size = subject.config.batch_size
    with progress(len(paths), "images") as bar:
        for start in range(0, len(paths), size):
            readable, pixels = [], []
            for path, call in in_threads(lambda path: _load(path, preprocessing), paths[start : start + size]):
                bar.update()
                if isinstance(loaded := call.result(), str):
                    unreadable.append(loaded)
                else:
                    readable.append(path)
                    pixels.append(loaded)
            if readable:
                images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).to(subject.device)
                numbers = preprocessing.to_numbers(images)
                if hasattr(subject.classifier, "look"):
                    seen = guess_parts(subject, preprocessing, readable, numbers, top, folder)
                    predictions += [Prediction(*each) for each in zip(readable, seen[0], strict=True)]
                    parts += seen[1]
                    continue
                scores = subject.classifier(numbers).scores
                guesses = OUTCOMES[subject.data.data.kind].guesses(loss, scores, subject.classes, top)
                predictions += [Prediction(path, guess) for path, guess in zip(readable, guesses, strict=True)]
    if not predictions:
        raise DataError("\n".join(unreadable))
    return Predictions(tuple(predictions), tuple(unreadable), loss.calibrated, tuple(parts))


def _load(path: Path, preprocessing: Preprocessing) -> np.ndarray | str:
    """Return an image's preprocessed pixels, uint8 [H, W, C], or what is wrong with it."""
    table = ImageTable([path], np.zeros(1, dtype=np.int64))
    try:
        return preprocessing.load(table, 0)
    except DataError as error:
        return str(error)


def as_table(predictions: Predictions, limit: int | None = None) -> str:
    """Return lines for a terminal: image file, then the classes with their probabilities."""
    shown = predictions.images[:limit]
    width = max(len(printable(str(one.path))) for one in shown)
    lines = []
    for path, (predicted, likeliest) in shown:
        guesses = [f"{name} {100 * probability:.1f} %" for name, probability in likeliest]
        if predicted is None:
            guesses.insert(0, REJECTED_IN_WORDS)
        elif predicted != likeliest[0][0]:
            guesses.insert(0, f"{predicted} (predicted)")
        lines.append(f"{printable(str(path)):<{width}}  {printable(', '.join(guesses))}")
    if more := len(predictions.images) - len(shown):
        lines.append(f"and {more:,} more, in the file")
    if not predictions.calibrated:
        lines.append(f"note: {CONVENTION}")
    return "\n".join(lines)


def write_csv(predictions: Predictions, path: Path) -> None:
    """Write a line for each image: image, prediction (empty if rejected), class_1, probability_1, ...

    Names that spreadsheets would run as formulas are preceded by an apostrophe.
    """
    number = max(len(each.guess.likeliest) for each in predictions.images)
    header = [f"{name}_{rank}" for rank in range(1, number + 1) for name in ("class", "probability")]
    rows = [["image", "prediction", *header]]
    for image, guess in predictions.images:
        cells = [value for name, probability in guess.likeliest for value in (name, f"{probability:.6g}")]
        rows.append([_as_text(image), guess.name or "", *cells, *[""] * (2 * number - len(cells))])
    write_rows(path, rows)


def write_json(predictions: Predictions, path: Path) -> None:
    """Write an object: probabilities ("posterior" or "convention"), unreadable, and pictures.

    Each of pictures has image, prediction (null if rejected) and likeliest.
    """
    pictures = []
    for place, (image, guess) in enumerate(predictions.images):
        likeliest = [{"class": name, "probability": probability} for name, probability in guess.likeliest]
        picture = {"image": _as_text(image), "prediction": guess.name, "likeliest": likeliest}
        pictures.append(picture | ({"parts": predictions.parts[place]} if predictions.parts else {}))
    unreadable = [printable(line) for line in predictions.unreadable]
    meaning = "posterior" if predictions.calibrated else "convention"
    values = {"probabilities": meaning, "pictures": pictures, "unreadable": unreadable}
    write_atomically(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def _as_text(path: Path) -> str:
    """Return a path that any file can hold: bytes that are not UTF-8 become escapes."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")
