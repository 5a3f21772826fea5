"""Predictions that are classes."""

from __future__ import annotations

import pyarrow as pa
from torch import Tensor

from losses.base import ClassificationLoss
from runs.confusions import plot_confusion
from runs.folder import RunFolder
from runs.outcomes import Guess
from utils.types import REJECTED


class _Classes:
    def columns(
        self, loss: ClassificationLoss, outputs: dict[str, Tensor], classes: tuple[str, ...]
    ) -> dict[str, pa.Array]:
        """Return target, prediction, its probability, and the scores, of which all else follows."""
        scores = outputs["scores"]
        probabilities = loss.log_probabilities(scores).exp()
        return {
            "target": pa.array(outputs["target"].numpy()),
            "prediction": pa.array(outputs["prediction"].numpy()),
            "probability": pa.array(probabilities.max(dim=-1).values.float().numpy()),
            "scores": pa.FixedSizeListArray.from_arrays(pa.array(scores.float().flatten().numpy()), scores.shape[-1]),
        }

    def guesses(self, loss: ClassificationLoss, scores: Tensor, classes: tuple[str, ...], top: int) -> list[Guess]:
        probabilities = loss.log_probabilities(scores).double().exp()
        order = probabilities.argsort(dim=1, descending=True, stable=True)[:, :top]
        columns = (loss.predict(scores).tolist(), order.tolist(), probabilities.gather(1, order).tolist())
        return [
            Guess(
                None if label == REJECTED else classes[label],
                tuple((classes[k], value) for k, value in zip(likeliest, values, strict=True)),
            )
            for label, likeliest, values in zip(*columns, strict=True)
        ]

    def draw_mistakes(self, outputs: dict[str, Tensor], classes: tuple[str, ...], folder: RunFolder) -> None:
        targets, predictions = outputs["target"].numpy(), outputs["prediction"].numpy()
        plot_confusion(targets, predictions, classes, folder.picture("confusion"))


CLASSES = _Classes()
