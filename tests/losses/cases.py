"""Any loss by name with something to judge: its head's scores, features and feature maps that fit together."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from losses import LOSSES, build_loss
from losses.base import ClassificationLoss
from utils.lookup import load_entry
from utils.types import Batch, ConfigError, Outputs, Task

K, N, D = 5, 6, 8


def classes_of(name: str, classes: int = K) -> int:
    """Return the number of classes nearest to the wish that a loss can have."""
    return (load_entry(LOSSES[name]).num_classes if name in LOSSES else None) or classes


def make(name: str, classes: int = K, **params: Any) -> ClassificationLoss:
    """Build a loss for features of D numbers, with feature maps if it asks for some."""
    torch.manual_seed(0)
    classes = classes_of(name, classes)
    task = Task(classes, 24, nn.Linear(D, classes), stage_channels=lambda stages: tuple(range(3, 3 + len(stages))))
    return build_loss(name, task, **params)


def samples(name: str, classes: int = K, dtype=torch.float32, size: int = N) -> tuple[Tensor, Tensor]:
    """Return scores as wide as the loss's, and labels."""
    torch.manual_seed(1)
    classes = classes_of(name, classes)
    head = make(name, classes).make_head(Task(classes, 24, nn.Linear(D, classes)))
    return torch.randn(size, head.out_features, dtype=dtype), torch.arange(size) % classes  # type: ignore


def outputs_of(loss: ClassificationLoss, scores: Tensor, features: Tensor | None = None) -> Outputs:
    """Return what a network might give beside these scores."""
    size = len(scores)
    if features is None:
        features = torch.linspace(-1, 1, size * D, device=scores.device).reshape(size, D).to(scores.dtype)
    maps = [torch.linspace(-1, 1, size * c * 4).reshape(size, c, 2, 2) for c in range(3, 3 + len(loss.stages))]
    return Outputs(scores, features, tuple(maps))


def batch_of(target: Tensor, views: int = 1) -> Batch:
    """Return a batch with this target, whose samples stand in `views` rows each."""
    size = len(target)
    return Batch(torch.zeros(size, 1, 2, 2), target, torch.arange(size) // views)


def terms_of(
    loss: ClassificationLoss,
    scores: Tensor,
    target: Tensor,
    *,
    features: Tensor | None = None,
    index: Tensor | None = None,
    image: Tensor | None = None,
) -> dict[str, Tensor]:
    """Take a training step's terms; what is not given is made up."""
    batch = batch_of(target, loss.views)
    batch = Batch(batch.image if image is None else image, target, batch.index if index is None else index)
    return loss.terms(outputs_of(loss, scores, features), batch)


def trained(loss: ClassificationLoss, scores: Tensor, target: Tensor, features: Tensor | None = None) -> Tensor:
    """Return what training minimises."""
    return torch.stack(list(terms_of(loss, scores, target, features=features).values())).sum()


def feature_batch(size: int = 9, classes: int = K) -> tuple[Tensor, Tensor, Tensor]:
    """Return scores [B, K] and features [B, D] in float64 and labels [B]: some repeat, the last class is absent."""
    torch.manual_seed(4)
    scores, features = torch.randn(size, classes).double(), torch.randn(size, D).double()
    return scores, features, torch.randint(classes - 1, (size,))


def refused(name: str, params: dict[str, Any]) -> str:
    """Return the message with which a loss's parameters are refused."""
    with pytest.raises(ConfigError) as error:
        build_loss(name, None, **params)
    return str(error.value)
