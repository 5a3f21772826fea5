"""Classes of pictures that no data set holds, in batches, each picture read as the run's own were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from datasets.base import ImageTable
from datasets.preprocessing import Preprocessing
from datasets.readers.files import in_threads, progress
from evaluation.parts import preprocessing_of_others
from evaluation.predictions import Prediction, Predictions
from evaluation.subject import Subject
from runs.outcomes import outcomes_for
from utils.types import DataError


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
