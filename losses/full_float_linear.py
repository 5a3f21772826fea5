"""The frame of last layers that must not be rounded."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import full_float


class FullFloatLinear(nn.Linear):
    """A layer without bias that computes in float32, under autocast, too; a member overrides `scores_of`.

    Shapes: [..., D] -> [..., K] float32, or float64.
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes, bias=False)

    def scores_of(self, features: Tensor, weight: Tensor) -> Tensor:
        """Return the scores. Shapes: features [..., D], weight [K, D] -> [..., K]."""
        raise NotImplementedError

    def forward(self, input: Tensor) -> Tensor:
        features, weight, device = full_float(input), full_float(self.weight), input.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return self.scores_of(features, weight)
        return self.scores_of(features, weight)
