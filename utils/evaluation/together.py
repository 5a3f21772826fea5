"""What several networks, or one that sees several views of an image, say of it together."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from utils.types import REJECTED


class Together:
    """The mean of probabilities, member by member, so that only the mean is in memory.

        p(k | x) = 1/M sum_m p_m(k | x),        p_m by the loss's own rule

    It tells the likeliest class; where more than half of the members reject an image, so does it.
    """

    def __init__(self) -> None:
        self.members = 0
        self._log_sum = torch.tensor(-math.inf, dtype=torch.float64)
        self._rejecting = torch.tensor(0)

    def add(self, prediction: Tensor, log_probabilities: Tensor) -> None:
        """Shapes: [N], [N, K]."""
        self.members += 1
        self._log_sum = torch.logaddexp(self._log_sum.to(log_probabilities.device), log_probabilities.double())
        self._rejecting = self._rejecting.to(prediction.device) + (prediction == REJECTED)

    @property
    def log_probabilities(self) -> Tensor:
        """Shapes: [N, K] float64."""
        return self._log_sum - math.log(self.members)

    @property
    def prediction(self) -> Tensor:
        """Shapes: [N]."""
        return torch.where(2 * self._rejecting > self.members, REJECTED, self._log_sum.argmax(dim=1))

    def accuracy(self, target: Tensor) -> float:
        return float((self.prediction == target).double().mean())

    def nll(self, target: Tensor) -> float:
        """Mean of -log p(label)."""
        return float(-self.log_probabilities.gather(1, target[:, None]).mean())
