"""Be your own teacher: the deepest classifier teaches shallower ones."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from losses.base import ClassificationLoss, full_float, num_features, require
from utils.types import Batch, ConfigError, Outputs, Task


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

        L = (1 - alpha) sum_{all} CE(p_i, y) + alpha T^2 sum_{shallow} CE(softmax(z_i / T), softmax(z / T))
            + feature_weight mean sum_{shallow} |f_i - f|^2,    with z and f, the deepest's, constant in the last two

    Scores are the deepest classifier's logits; prediction is their argmax; `forward` judges them by cross entropy. The
    shallow ones (1x1 convolution to the width of the deepest features, batch normalisation, ReLU, mean over pixels,
    linear layer) exist in training only; they are counted among the parameters.

    Args:
        alpha: share of the teaching, 0 to 1. A public implementation: 0.1.
        temperature: T, > 0. The same: 3.
        feature_weight: of the features' distance, >= 0. OLS's comparison: 0; a public implementation: 1e-6.
        stages: positions of the feature maps among the network's own, shallow to deep; negative from the end. The
            deepest map, -1, is the network's own classifier's.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities, stages [B, C_i, H_i, W_i] -> scalar.
    Use: to train a deep network better at no cost in use: the shallow classifiers are left behind. Training costs more.
    Raises: ValueError if a parameter is out of range; ConfigError if the architecture's last layer is not linear or
        the feature maps are none of images.
    Source: Zhang et al. 2019, "Be Your Own Teacher", ICCV, arXiv:1905.08094, eq. 2 to 7.
    Deviations: alpha weighs the deepest classifier's label too, as in a public implementation. Works on the stages of
        any network, so the shallow classifiers are one 1x1 convolution instead of a
        chain of bottlenecks. The teaching is a cross entropy, which has the KL divergence's gradient.
    """

    def __init__(
        self,
        task: Task | None = None,
        *,
        alpha: float = 0.1,
        temperature: float = 3.0,
        feature_weight: float = 0.0,
        stages: tuple[int, ...] = (-4, -3, -2),
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
        self.shallow = nn.ModuleList()
        if task is not None and task.stage_channels is not None:
            width, classes = num_features(task, type(self).__name__), task.num_classes
            channels = task.stage_channels(self.stages)
            self.shallow.extend(ShallowClassifier(each, width, classes) for each in channels)

    def forward(self, scores: Tensor, target: Any) -> Tensor:
        return F.cross_entropy(full_float(scores), target)

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        if len(outputs.stages) != len(self.shallow):
            raise ConfigError("loss_params.stages: the loss was built without the channels of its feature maps")
        deep, target = full_float(outputs.scores), batch.target
        features = full_float(outputs.features)
        taught = (deep.detach() / self.temperature).softmax(dim=-1)
        label, teaching, distance = self(deep, target), deep.new_zeros(()), deep.new_zeros(())
        for classifier, feature_map in zip(self.shallow, outputs.stages, strict=True):
            shallow_features, scores = classifier(feature_map)
            scores = full_float(scores)
            label = label + self(scores, target)
            teaching = teaching + F.cross_entropy(scores / self.temperature, taught)
            distance = distance + (full_float(shallow_features) - features.detach()).square().sum(dim=-1).mean()
        return {
            "label": (1 - self.alpha) * label,
            "teaching": self.alpha * self.temperature**2 * teaching,
            "features": self.feature_weight * distance,
        }
