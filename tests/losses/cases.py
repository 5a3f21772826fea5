"""Any loss by name with something to judge: its head's scores, features and feature maps that fit together."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from losses import LOSSES
from losses.base import ClassificationLoss
from losses.contract import REJECTED, Batch, Outputs, Sequences, Task
from training.losses import build_loss
from utils.lookup import load_entry
from utils.types import ConfigError

K, N, D = 5, 6, 8
STEPS = 7


def classes_of(name: str, classes: int = K) -> int:
    """Return the number of classes nearest to the wish that a loss can have."""
    return (load_entry(LOSSES[name]).num_classes if name in LOSSES else None) or classes


def make(name: str, classes: int = K, **params: Any) -> ClassificationLoss:
    """Build a loss for features of D numbers, with feature maps if it asks for some."""
    torch.manual_seed(0)
    classes = classes_of(name, classes)
    task = Task(
        classes,
        24,
        nn.Linear(D, classes),
        stage_channels=lambda stages: tuple(range(3, 3 + len(stages))),
        class_counts=tuple(range(classes + 2, 2, -1)),
        num_epochs=10,
    )
    return build_loss(name, task, **params)


def samples(name: str, classes: int = K, dtype=torch.float32, size: int = N) -> tuple[Tensor, Any]:
    """Return scores as wide as the loss's, and labels of its kind: classes, or texts of one to three characters.

    The scores of texts are around those that the loss's head gives at first.
    """
    torch.manual_seed(1)
    classes = classes_of(name, classes)
    loss = make(name, classes)
    head: Any = loss.make_head(Task(classes, 24, nn.Linear(D, classes)))
    loss.start_head(head)
    if loss.kind == "image":
        return torch.randn(size, head.out_features, dtype=dtype), torch.arange(size) % classes
    scores = torch.randn(size, STEPS, head.out_features, dtype=dtype) + head.bias.mean().detach().to(dtype)
    labels = (torch.arange(size)[:, None] + torch.tensor([0, 0, 1])) % classes  # the first two are alike
    return scores, Sequences(labels, 1 + torch.arange(size) % 3)


def pick(target: Any, rows: slice) -> Any:
    """Return the labels of some samples."""
    return Sequences(*(part[rows] for part in target)) if isinstance(target, Sequences) else target[rows]


def all_alike(target: Any) -> Any:
    """Return labels of the first class alone, as many, of texts as long."""
    return Sequences(target.labels * 0, target.lengths) if isinstance(target, Sequences) else target * 0


def every_label(name: str, classes: int, steps: int) -> list[Any]:
    """Return the labels that a sample can have, each as a target of one sample."""
    if load_kind(name) == "image":
        return [torch.tensor([k]) for k in range(classes)]
    texts = [text for size in range(steps + 1) for text in itertools.product(range(classes), repeat=size)]
    rows = [torch.tensor([*text, *[REJECTED] * (steps - len(text))]) for text in texts]
    return [Sequences.of(row[None]) for row in rows]


def load_kind(name: str) -> str:
    return load_entry(LOSSES[name]).kind if name in LOSSES else "image"


def likeliest(log_p: Tensor) -> Tensor:
    """Return what each sample's likeliest outcomes mean, of texts by loops. Shapes: [B, K] -> [B], else -> [B, T]."""
    outcomes = log_p.argmax(dim=-1)
    if outcomes.ndim == 1:
        return outcomes
    read = torch.full_like(outcomes, REJECTED)
    for row, steps in zip(read, outcomes.tolist(), strict=True):
        text = [outcome for outcome, _ in itertools.groupby(steps) if outcome != log_p.shape[-1] - 1]
        row[: len(text)] = torch.tensor(text, dtype=torch.int64)
    return read


def outputs_of(loss: ClassificationLoss, scores: Tensor, features: Tensor | None = None) -> Outputs:
    """Return what a network might give beside these scores."""
    size = len(scores)
    if features is None:
        features = torch.linspace(-1, 1, size * D, device=scores.device).reshape(size, D).to(scores.dtype)
    maps = [torch.linspace(-1, 1, size * c * 4).reshape(size, c, 2, 2) for c in range(3, 3 + len(loss.stages))]
    return Outputs(scores, features, tuple(maps))


def batch_of(target: Any, views: int = 1) -> Batch:
    """Return a batch with this target, whose samples stand in `views` rows each."""
    size = len(target.lengths if isinstance(target, Sequences) else target)
    return Batch(torch.zeros(size, 1, 2, 2), target, torch.arange(size) // views)


def terms_of(
    loss: ClassificationLoss,
    scores: Tensor,
    target: Any,
    *,
    features: Tensor | None = None,
    index: Tensor | None = None,
    image: Tensor | None = None,
) -> dict[str, Tensor]:
    """Take a training step's terms; what is not given is made up."""
    batch = batch_of(target, loss.views)
    batch = Batch(batch.image if image is None else image, target, batch.index if index is None else index)
    return loss.terms(outputs_of(loss, scores, features), batch)


def trained(loss: ClassificationLoss, scores: Tensor, target: Any, features: Tensor | None = None) -> Tensor:
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
