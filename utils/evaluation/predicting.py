"""Classes of pictures that no data set holds, in batches, each picture read as the run's own were."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from datasets.base import ImageTable
from datasets.files import in_threads, is_hidden, progress
from datasets.images import ENDINGS, is_image_name
from datasets.preprocessing import Preprocessing
from utils.evaluation.parts import preprocessing_of_others
from utils.evaluation.predictions import Prediction, Predictions
from utils.evaluation.subject import Subject
from utils.outcomes import outcomes_for
from utils.types import DataError


def find_pictures(words: Sequence[str]) -> list[Path]:
    """Return the pictures that words name: files as they are, folders and patterns by the endings of their files.

    Each once, in the order of the words; within a folder by name.

    Raises: DataError naming every word that names none.
    """
    found: dict[Path, None] = {}
    problems = []
    for word in words:
        path = Path(word).expanduser()
        if path.is_dir():
            inside = list(_in_folder(path))
            if not inside:
                problems.append(f"{word}: no pictures in it, ending in {', '.join(ENDINGS)}")
        elif path.exists() or not glob.has_magic(word):
            inside = [path] if path.exists() else []
            if not inside:
                problems.append(f"{word}: no such file or folder")
        else:
            matches = [Path(each) for each in sorted(glob.glob(str(path), recursive=True))]
            inside = [
                file for match in matches for file in (_in_folder(match) if match.is_dir() else _pictures([match]))
            ]
            if not inside:
                what = f"{len(matches)} files, none ending in {', '.join(ENDINGS)}" if matches else "nothing"
                problems.append(f"{word}: matches {what}")
        found |= dict.fromkeys(inside)
    if problems:
        raise DataError("\n".join(problems))
    return list(found)


def _in_folder(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_hidden(Path(name)))
        yield from _pictures(Path(place, name) for name in sorted(files))


def _pictures(paths: Iterable[Path]) -> Iterator[Path]:
    return (path for path in paths if is_image_name(path) and not is_hidden(path))


def predict(subject: Subject, paths: Sequence[Path], top: int) -> Predictions:
    """Tell the classes of pictures.

    Args:
        subject: the run.
        paths: the pictures.
        top: how many classes of each, the likeliest first.

    Raises: DataError naming all if none can be read.
    """
    preprocessing = preprocessing_of_others(subject.data)
    told: list[Prediction] = []
    unreadable: list[str] = []
    with progress(len(paths), "pictures") as bar:
        for batch in _batches(paths, subject.config.batch_size):
            readable, pixels = [], []
            for path, call in in_threads(lambda each: _load(each, preprocessing), batch):
                bar.update()
                if isinstance(loaded := call.result(), str):
                    unreadable.append(loaded)
                else:
                    readable.append(path)
                    pixels.append(loaded)
            if readable:
                told += _tell(subject, preprocessing, readable, np.stack(pixels), top)
    if not told:
        raise DataError("\n".join(unreadable))
    return Predictions(tuple(told), tuple(unreadable), subject.classifier.loss.calibrated)


def _batches(paths: Sequence[Path], size: int) -> Iterator[Sequence[Path]]:
    return (paths[start : start + size] for start in range(0, len(paths), size))


def _load(path: Path, preprocessing: Preprocessing) -> np.ndarray | str:
    """Return a picture's pixels, uint8 [H, W, C], as the run's were prepared, or what is wrong with it."""
    table = ImageTable([path], np.zeros(1, dtype=np.int64))
    try:
        return preprocessing.load(table, 0)
    except DataError as error:
        return str(error)


@torch.no_grad()
def _tell(
    subject: Subject, preprocessing: Preprocessing, paths: Sequence[Path], pixels: np.ndarray, top: int
) -> list[Prediction]:
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(subject.device)
    scores = subject.classifier(preprocessing.to_numbers(images)).scores
    outcomes = outcomes_for(subject.data.data.kind)
    guesses = outcomes.guesses(subject.classifier.loss, scores, subject.classes, top)
    return [Prediction(path, guess) for path, guess in zip(paths, guesses, strict=True)]
