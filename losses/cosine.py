"""The frame of losses whose scores are the cosines between an image's features and its classes' weights, scaled."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import num_features, require
from .contract import Task
from .full_float_linear import FullFloatLinear
from .margin import MarginLoss

LARGEST_COSINE = 1 - 1e-6
"""Cosine at which an angle is read at most: the slope of acos is infinite at 1."""


class CosineLinear(FullFloatLinear):
    """A linear layer without bias whose inputs and rows of weights count as of length 1: scores are s cos(theta).

    It computes in float32, as the scale would multiply what was rounded.

    Shapes: [..., D] -> [..., K].
    """

    def __init__(self, num_features: int, num_classes: int, scale: float) -> None:
        super().__init__(num_features, num_classes)
        self.scale = scale

    def scores_of(self, features: Tensor, weight: Tensor) -> Tensor:
        return self.scale * F.linear(F.normalize(features, dim=-1), F.normalize(weight, dim=1))


class CosineLoss(MarginLoss):
    """The frame of cosine losses with a margin; a member overrides `label_cosines`, and perhaps `other_cosines`.

        L = cross entropy of s cos(theta_j), in training of s label_cosines(cos(theta_y)) for the label

    Args:
        scale: s, the score of an angle of 0, > 0.

    Raises: ValueError if the scale is not positive; ParameterError if the architecture's last layer is not linear.
    """

    score_scale = 5.0

    def __init__(self, task: Task | None, scale: float) -> None:
        super().__init__(task)
        require("scale", scale, scale > 0, "> 0")
        self.scale = scale

    def make_head(self, task: Task) -> nn.Module:
        return CosineLinear(num_features(task, type(self).__name__), task.num_classes, self.scale)

    def label_cosines(self, cosine: Tensor, label: Tensor) -> Tensor:
        """Return what stands for the cosine of a class as the label. Shapes: as `label_scores`."""
        return cosine

    def label_scores(self, scores: Tensor, label: Tensor) -> Tensor:
        return self.scale * self.label_cosines(scores / self.scale, label)


def wider(cosine: Tensor, margin: float | Tensor) -> Tensor:
    """Return cos(theta + margin), where theta + margin exceeds pi a line that falls on with theta.

    Shapes: cosine any, margin in radians, a number or of the same shape -> that shape.
    """
    margin = torch.as_tensor(margin, dtype=cosine.dtype, device=cosine.device)
    cosine = cosine.clamp(-LARGEST_COSINE, LARGEST_COSINE)
    sine = (1 - cosine.square()).sqrt()
    added = cosine * margin.cos() - sine * margin.sin()
    return torch.where(cosine > -margin.cos(), added, cosine - margin * margin.sin())


def require_angle(name: str, value: float) -> None:
    """Raise ValueError unless a margin is an angle from 0 to pi / 2, beyond which `wider` could rise with theta."""
    require(name, value, 0 <= value <= math.pi / 2, "0 to pi / 2, in radians")
