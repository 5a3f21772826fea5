"""A run as one module: pixels in, the loss's own answers out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from datasets.preprocessing import Preprocessing
from losses.base import ClassificationLoss, full_float
from models.classifier import Classifier
from models.scorer import Scorer

OUTPUTS = ("scores", "probabilities", "prediction", "confidence")


class Decoded(NamedTuple):
    """Answers for N images, as numpy arrays.

    Shapes: scores [N, K] float32; probabilities [N, K]; prediction [N] int64, REJECTED for none of the classes;
    confidence [N]. Of texts: scores [N, T, K], probabilities [N, T, K + 1], prediction [N, T], padded with REJECTED.
    """

    scores: np.ndarray
    probabilities: np.ndarray
    prediction: np.ndarray
    confidence: np.ndarray


class Deployed(nn.Module):
    """Pixels -> scores, probabilities, prediction and confidence, by the network and what its loss says of scores.

    Shapes: uint8 [N, C, h, w] of the run's size -> as `Decoded`. The loss is asked by its contract alone.
    """

    def __init__(self, classifier: Classifier, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.scorer = Scorer(classifier.network, classifier.own_head)
        self.loss: ClassificationLoss = classifier.loss
        self.preprocessing = preprocessing
        self.to(memory_format=torch.contiguous_format).eval()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        scores = full_float(self.scorer(self.preprocessing.to_numbers(pixels)))
        return (scores, *decode(self.loss, scores))


def decode(loss: ClassificationLoss, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return probabilities, prediction and confidence. Shapes: [N, K] -> [N, K], [N], [N]."""
    return loss.log_probabilities(scores).exp(), loss.predict(scores), loss.confidence(scores)
