"""Be your own teacher: the deepest classifier teaches shallower ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import ClassificationLoss, full_float, num_features, require
from .contract import Batch, Outputs, ParameterError, Task
from .wrapping import build_inner_loss


class ShallowClassifier(nn.Module):
    """A classifier on a feature map in the middle of a network.

    Shapes: map [B, C, H, W] -> features [B, D], scores [B, K].
    """

    def __init__(self, in_channels: int, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(in_channels, num_features, 1, bias=False)
        self.norm = nn.BatchNorm2d(num_features)
        self.classify = nn.Linear(num_features, num_classes)

    def forward(self, feature_map: Tensor) -> tuple[Tensor, Tensor]:
        features = F.relu(self.norm(self.project(feature_map.to(self.project.weight.dtype)))).mean(dim=(-2, -1))
        return features, self.classify(features)


class BeYourOwnTeacherLoss(ClassificationLoss):
    """Trains classifiers at middle stages on the label and on the softened prediction of the deepest.

        L = (1 - alpha) sum_{all} label(z_i, y) + alpha T^2 sum_{shallow} CE(softmax(z_i / T), softmax(z / T))
            + feature_weight mean sum_{shallow} |f_i - f|^2,    with z and f, the deepest's, constant in the last two

    Scores are the deepest classifier's logits; prediction is their argmax; it judges them as `label_loss` does,
    by cross entropy unless another is chosen. Each classifier has a `label_loss` of its own, with its own state. The
    shallow ones (1x1 convolution to the width of the deepest features, batch normalisation, ReLU, mean over pixels,
    linear layer) exist in training only; they are counted among the parameters.

    Args:
        alpha: share of the teaching, 0 to 1. A public implementation: 0.1.
        temperature: T, > 0. The same: 3.
        feature_weight: of the features' distance, >= 0. OLS's comparison: 0; a public implementation: 1e-6.
        stages: positions of the feature maps among the network's own, shallow to deep; negative from the end. The
            deepest map, -1, is the network's own classifier's.
        label_loss: how every classifier is trained on the label: any loss of single images whose scores are logits of
            the network's own last layer. OnlineLabelSmoothingLoss is OLS's "BYOT + OLS".
        label_loss_params: its hyperparameters.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities, stages [B, C_i, H_i, W_i] -> scalar.
    Use: to train a deep network better at no cost in use: the shallow classifiers are left behind. Training costs more.
    Raises: ValueError if a parameter is out of range, if the network's last layer is not linear or the feature maps are
        none of images, and for a `label_loss` that cannot be built or is of another kind.
    Source: Zhang et al. 2019, "Be Your Own Teacher", ICCV, arXiv:1905.08094, eq. 2 to 7.
    Deviations: alpha weighs the deepest classifier's label too, as in a public implementation. Works on the stages of
        any network, so the shallow classifiers are one 1x1 convolution instead of a chain of bottlenecks. The teaching
        is a cross entropy, which has the KL divergence's gradient. `label_loss` is not in the paper; whether OLS's
        classifiers share their soft labels is not stated.
    """

    def __init__(
        self,
        task: Task | None = None,
        *,
        alpha: float = 0.1,
        temperature: float = 3.0,
        feature_weight: float = 0.0,
        stages: tuple[int, ...] = (-4, -3, -2),
        label_loss: str = "CrossEntropyLoss",
        label_loss_params: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(task)
        require("alpha", alpha, 0 <= alpha <= 1, "0 to 1")
        require("temperature", temperature, temperature > 0, "> 0")
        require("feature_weight", feature_weight, feature_weight >= 0, ">= 0")
        if not stages or len(set(stages)) < len(stages):
            raise ValueError(f"stages must name at least one feature map, each once, got {list(stages)}")
        if -1 in stages:
            raise ValueError(f"stages must leave out -1, the map of the network's own classifier, got {list(stages)}")
        self.alpha, self.temperature, self.feature_weight = alpha, temperature, feature_weight
        self.stages = tuple(stages)
        labels = [build_inner_loss("label_loss", label_loss, task, label_loss_params) for _ in range(1 + len(stages))]
        self._check_label_loss(label_loss, labels[0])
        self.soft_targets, self.calibrated = labels[0].soft_targets, labels[0].calibrated
        self.label_losses: Any = nn.ModuleList(labels)
        self.shallow = nn.ModuleList()
        if task is not None and task.stage_channels is not None:
            width, classes = num_features(task, type(self).__name__), task.num_classes
            channels = task.stage_channels(self.stages)
            self.shallow.extend(ShallowClassifier(width_in, width, classes) for width_in in channels)

    @staticmethod
    def _check_label_loss(name: str, label: ClassificationLoss) -> None:
        """Raise ParameterError unless the label's loss can train a classifier on any feature map as on the last."""
        plain = ClassificationLoss
        own = [type(label).make_head, type(label).log_probabilities, type(label).predict]
        if own != [plain.make_head, plain.log_probabilities, plain.predict]:
            raise ParameterError("label_loss", f"must read the network's own scores as logits, {name} does not")
        if (label.views, label.sampling, label.stages) != (plain.views, plain.sampling, plain.stages):
            text = f"must judge images one by one, by their scores; {name} asks for more"
            raise ParameterError("label_loss", text)

    def sample_losses(self, scores: Tensor, target: Any) -> Tensor:
        return self.label_losses[0].sample_losses(scores, target)

    def forward(self, scores: Tensor, target: Any, *args: Any, **options: Any) -> Tensor:
        return self.label_losses[0](scores, target, *args, **options)

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        if len(outputs.stages) != len(self.shallow):
            raise ValueError("stages: the loss was built without the channels of its feature maps")
        deepest, *others = self.label_losses
        deep, features = full_float(outputs.scores), full_float(outputs.features)
        taught = (deep.detach() / self.temperature).softmax(dim=-1)
        label = sum_of(deepest, Outputs(deep, features), batch)
        teaching, distance = deep.new_zeros(()), deep.new_zeros(())
        for classifier, loss, feature_map in zip(self.shallow, others, outputs.stages, strict=True):
            shallow_features, scores = map(full_float, classifier(feature_map))
            label = label + sum_of(loss, Outputs(scores, shallow_features), batch)
            teaching = teaching + F.cross_entropy(scores / self.temperature, taught)
            distance = distance + (shallow_features - features.detach()).square().sum(dim=-1).mean()
        return {
            "label": (1 - self.alpha) * label,
            "teaching": self.alpha * self.temperature**2 * teaching,
            "features": self.feature_weight * distance,
        }

    def begin_epoch(self, epoch: int) -> None:
        super().begin_epoch(epoch)
        for loss in self.label_losses:
            loss.begin_epoch(epoch)

    def on_epoch_end(self) -> None:
        for loss in self.label_losses:
            loss.on_epoch_end()


def sum_of(loss: ClassificationLoss, outputs: Outputs, batch: Batch) -> Tensor:
    """Return what a loss minimises."""
    return torch.stack(list(loss.terms(outputs, batch).values())).sum()
