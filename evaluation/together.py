"""What several networks, or one that sees several views of an image, say of it together."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
        """Shapes: [N], [N, K], on the CPU."""
        self.members += 1
        self._log_sum = torch.logaddexp(self._log_sum, log_probabilities.double())
        self._rejecting = self._rejecting + (prediction == REJECTED)

    def join(self, others: Together) -> None:
        """Take in the members of another that speak of the same images."""
        self.members += others.members
        self._log_sum = torch.logaddexp(self._log_sum, others._log_sum)
        self._rejecting = self._rejecting + others._rejecting

    @classmethod
    def of_all_images(cls, parts: Sequence[Together]) -> Together:
        """Return what members say of all images, who said it of a part of them each time."""
        whole = cls()
        whole.members = parts[0].members
        whole._log_sum = torch.cat([part._log_sum for part in parts])
        whole._rejecting = torch.cat([part._rejecting for part in parts])
        return whole

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
