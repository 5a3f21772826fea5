"""Images of a run, and its own answers for them: what an export is calibrated with and judged by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasets.preprocessing import Preprocessing
from datasets.sequences import targets
from datasets.stream.image_stream import ImageStream
from evaluation.images import preprocessing_of_others, sample
from evaluation.subject import Subject
from exporting.deployed import Decoded
from losses.contract import Sequences

LIMIT = 1000


class Sample:
    """Some images of a part, read from their files again, and the run's own answers.

    Args:
        stream: the part's; none of its kept pixels are used.
        limit: images at most, drawn by the run's seed.

    Attributes:
        pixels: uint8 [N, C, h, w]. answers: of the run, in float32. target: [N], of texts [N, L] padded with REJECTED.
    """

    def __init__(self, subject: Subject, stream: ImageStream, limit: int = LIMIT) -> None:
        self.subject, self.preprocessing = subject, preparation(subject)
        chosen = sample(len(stream), limit, subject.config.seed, "export")
        self.stream = ImageStream(stream.table, stream.rows[chosen], self.preprocessing)
        self._answers: Decoded | None = None
        self.pixels = np.stack(
            [self.preprocessing.load(stream.table, int(row)).transpose(2, 0, 1) for row in self.stream.rows]
        )
        labels = targets(stream.table, self.stream.rows)
        self.target = (labels.padded() if isinstance(labels, Sequences) else labels).numpy()

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def answers(self) -> Decoded:
        if self._answers is None:
            own = self.subject.ask(self.stream, "images to check with")
            confidence = self.subject.classifier.loss.confidence(own.scores)
            parts = (own.scores, own.log_probabilities.exp(), own.prediction, confidence)
            self._answers = Decoded(*(part.detach().numpy() for part in parts))
        return self._answers

    def original(self, position: int) -> np.ndarray:
        """Return an image as it is stored, uint8 [H, W, 1 or 3]."""
        return self.stream.table.pixels(int(self.stream.rows[position]))[..., :3]

    def file(self, position: int) -> Path | None:
        """Return the file of an image if it has one of its own that is used whole."""
        image: Any = self.stream.table.images[int(self.stream.rows[position])]
        return Path(image) if isinstance(image, (str, Path)) and not self.stream.table.banner else None

    def name(self, position: int) -> str:
        return self.stream.table.name(int(self.stream.rows[position]))


def preparation(subject: Subject) -> Preprocessing:
    """Return what is done to every image before the network: the run's own, but never a crop to a box."""
    return replace(preprocessing_of_others(subject.data), crop=False)


def made_up(subject: Subject, count: int) -> np.ndarray:
    """Return images of noise, for where none of the run's may be shown. Shapes: uint8 [N, C, h, w]."""
    preprocessing = preparation(subject)
    assert preprocessing.size is not None
    shape = (count, preprocessing.channels, *preprocessing.size)
    return np.random.default_rng(subject.config.seed).integers(0, 256, shape, dtype=np.uint8)


def right(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Tell which predictions are right, of texts whole ones. Shapes: [N] or [N, T] and [N, L] -> [N] bool."""
    if prediction.ndim == 1:
        return prediction == target
    width = max(prediction.shape[1], target.shape[1])
    padded = [
        torch.nn.functional.pad(torch.from_numpy(rows), (0, width - rows.shape[1]), value=-1)
        for rows in (prediction, target)
    ]
    return (padded[0] == padded[1]).all(dim=1).numpy()
