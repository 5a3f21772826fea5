"""The part of a classifier that remains when training is over."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Scorer(nn.Module):
    """A run's network with its last layer alone, without what only training needs. Shapes: [B, C, H, W] -> scores.

    Args:
        network: in timm's contract.
        own_head: the layer from features to scores; None for the network's own.
    """

    def __init__(self, network: Any, own_head: nn.Module | None) -> None:
        super().__init__()
        self.network, self.own_head = network, own_head

    def forward(self, image: Tensor) -> Tensor:
        if self.own_head is None:
            return self.network(image)
        return self.own_head(self.network.forward_head(self.network.forward_features(image), pre_logits=True))
