"""The LightningModule of networks whose rows are pixels or regions: a `Classifier` with steps of its own."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from losses.base import full_float
from losses.contract import Batch, Outputs
from models.classifier import Classifier, full_precision
from models.dense.base import DenseNetwork, Rows
from utils.types import ConfigError


class DenseClassifier(Classifier):
    """Trains the rows of a `DenseNetwork` by a loss, and what else the network says is to be minimised.

    Args: as `Classifier`.
    Raises: ConfigError for a loss that asks for what rows have not.
    """

    network: DenseNetwork
    judge_tally: Any

    def __init__(self, network: DenseNetwork, loss: Any, *args: Any, **options: Any) -> None:
        name = type(loss).__name__
        if loss.sampling == "class_balanced":
            raise ConfigError(f"loss_function: {name} draws images by their class; an image of {network.unit} has none")
        super().__init__(network, loss, *args, **options)
        self.unit = network.unit

    def forward(self, image: Tensor) -> Outputs:
        """Shapes: image [N, C, H, W] -> `Outputs` of as many rows as the network sees there."""
        return self._outputs(self.network.rows(image.contiguous(memory_format=self._memory_format)))

    def _outputs(self, rows: Rows) -> Outputs:
        with full_precision(rows.features):
            weight = next(self.head.parameters(), rows.features)
            scores = self.head(rows.features.to(weight.dtype))
        return Outputs(full_float(scores), rows.features)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        views, image = batch.image.shape[1], batch.image.flatten(0, 1)
        index = batch.index.repeat_interleave(views)
        rows = self.network.rows(image.contiguous(memory_format=self._memory_format), batch.target, index)
        outputs, target, index = self._outputs(rows), rows.target, rows.index
        with full_precision(outputs.scores):
            chosen = self.network.chosen(rows, self.loss.log_probabilities(outputs.scores.detach()))
            if chosen is not None:
                outputs = Outputs(outputs.scores[chosen], outputs.features[chosen])
                target, index = rows.target[chosen], rows.index[chosen]  # type: ignore[index]
            assert target is not None
            assert index is not None
            terms = dict(rows.terms)
            if len(target):  # all of a batch may be ignored
                of_loss = self.loss.terms(outputs, Batch(image, target, index))
                terms |= {f"loss {name}": self.network.loss_weight * term for name, term in of_loss.items()}
            total = functools.reduce(torch.add, terms.values(), 0 * outputs.scores.sum())
            if batch_idx == 0:
                self.train_tally.reset()
            if len(target):
                self.train_tally.update(total, self.loss.predict(outputs.scores.detach()), target)
        return total

    def look(self, image: Tensor, target: Any = None) -> tuple[Rows, Tensor, Any]:
        """Return the rows of images, their scores and what they are read as. Shapes: image [B, C, H, W]."""
        rows = self.network.rows(image.contiguous(memory_format=self._memory_format), target)
        scores = self._outputs(rows).scores
        return rows, scores, self.network.read(rows, scores, self.loss)

    def _judge(self, batch: Batch) -> tuple[Any, Any]:
        """Return the scores and targets that are judged, and what is counted of each image."""
        rows, scores, reading = self.look(batch.image[:, 0], batch.target)
        with full_precision(scores):
            judged, target = self.network.judged(rows, scores, batch.target)
            if len(target):
                prediction, log_p = self.loss.predict(judged), self.loss.log_probabilities(judged)
                self.judge_tally.update(self.loss(judged, target), prediction, target, log_p)
        return (judged, target), self.judge_tally.of_images(reading, batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._validation.add(*self._judge(batch)[0])

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        return {"index": batch.index, **self._judge(batch)[1]}
