"""The losses of torch.nn, each fed with what it expects for one score per class."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from losses import TORCH_DEFAULTS, TORCH_LOSSES
from losses.base import ClassificationLoss, as_probabilities, full_float
from utils.types import ConfigError, Task

LOGITS = {"CrossEntropyLoss", "NLLLoss", "KLDivLoss"}
CLASS_TARGETS = {"CrossEntropyLoss", "MultiMarginLoss", "NLLLoss"}
LOG_SOFTMAX_INPUT = {"NLLLoss", "KLDivLoss"}


def torch_loss_class(name: str) -> type[nn.Module]:
    """Return torch.nn's class of that name."""
    return getattr(nn, name)


class TorchLoss(ClassificationLoss):
    """A loss of torch.nn as a classification loss.

    The module gets the scores and the class (CrossEntropyLoss, MultiMarginLoss), their log-softmax and the class or its
    probabilities (NLLLoss, KLDivLoss), their sigmoid and the one-hot label (BCELoss), or the scores and the one-hot
    label, as +1 / -1 for SoftMarginLoss, as a list of one class for MultiLabelMarginLoss. Prediction is the argmax of
    the scores; probabilities are their softmax, a posterior only for the losses that are a cross entropy.

    Args:
        name: a key of `losses.TORCH_LOSSES`.
        params: the module's own, except `reduction`, which must leave a scalar ("mean" or "sum").

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities where the module allows -> scalar.
    Raises: ConfigError for reduction "none"; the module's own errors for its parameters.
    Source: torch.nn's documentation of the class.
    Deviations: KLDivLoss defaults to the reduction "batchmean", its mathematical definition; torch's own default warns.
    """

    def __init__(self, name: str, task: Task | None = None, **params: Any) -> None:
        super().__init__(task)
        if name not in TORCH_LOSSES:
            raise ConfigError(f"loss_function: {name!r} is not one of {', '.join(TORCH_LOSSES)}")
        if params.get("reduction", "mean") not in ("mean", "sum", "batchmean"):
            raise ConfigError(f"loss_params.reduction: must leave one number: mean or sum, got {params['reduction']!r}")
        for key in {"weight", "pos_weight"} & params.keys():
            if params[key] is None:  # the default
                del params[key]
            else:
                params[key] = torch.as_tensor(params[key], dtype=torch.float32)
        params = TORCH_DEFAULTS.get(name, {}) | params
        self.name = name
        self.module = torch_loss_class(name)(**params)
        self.calibrated = name in LOGITS
        self.soft_targets = name not in {"MultiMarginLoss", "NLLLoss", "MultiLabelMarginLoss", "SoftMarginLoss"}
        if params:  # torch judges some of them only when it computes
            weight = params.get("weight", params.get("pos_weight", torch.ones(2)))
            classes = weight.numel() if task is None else task.num_classes
            self(torch.zeros(2, classes), torch.tensor([0, classes - 1]))

    def forward(self, scores: Tensor, target: Tensor) -> Tensor:
        scores = full_float(scores)
        inputs = scores.log_softmax(dim=-1) if self.name in LOG_SOFTMAX_INPUT else scores
        if self.name == "BCELoss":
            inputs = scores.sigmoid()
        if self.name in CLASS_TARGETS:
            return self.module(inputs, target)
        if self.name == "MultiLabelMarginLoss":
            classes = torch.full(scores.shape, -1, dtype=torch.int64, device=scores.device)
            classes[:, 0] = target
            return self.module(inputs, classes)
        labels = as_probabilities(target, scores.shape[-1], inputs.dtype)
        return self.module(inputs, 2 * labels - 1 if self.name == "SoftMarginLoss" else labels)
