"""The losses of torch.nn, each fed with what it expects for one score per class."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from . import TORCH_DEFAULTS, TORCH_LOSSES
from .base import ClassificationLoss, as_probabilities, full_float
from .contract import ParameterError, Task

LOGITS = {"CrossEntropyLoss", "NLLLoss", "KLDivLoss"}
CLASS_TARGETS = {"CrossEntropyLoss", "MultiMarginLoss", "NLLLoss"}
LOG_SOFTMAX_INPUT = {"NLLLoss", "KLDivLoss"}
REFUSALS = (TypeError, RuntimeError, ArithmeticError, LookupError, AttributeError, AssertionError)
"""Errors other than ValueError by which torch's losses reject parameters."""


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
        params: the module's own. `reduction` is what the default of `forward` does, "mean" or "sum".

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities where the module allows -> scalar.
    Raises: ValueError for reduction "none" and for parameters that the module rejects.
    Source: torch.nn's documentation of the class.
    Deviations: KLDivLoss defaults to the reduction "batchmean", its mathematical definition; torch's own default warns.
    """

    def __init__(self, name: str, task: Task | None = None, **params: Any) -> None:
        super().__init__(task)
        if name not in TORCH_LOSSES:
            raise ValueError(f"{name!r} is not one of {', '.join(TORCH_LOSSES)}")
        if params.get("reduction", "mean") not in ("mean", "sum", "batchmean"):
            raise ParameterError("reduction", f"must leave one number: mean or sum, got {params['reduction']!r}")
        try:
            self._build(name, params)
        except REFUSALS as error:
            if not params:  # there is nothing that it could refuse
                raise
            raise ValueError(str(error)) from error

    def _build(self, name: str, params: dict[str, Any]) -> None:
        for key in {"weight", "pos_weight"} & params.keys():
            if params[key] is None:  # the default
                del params[key]
            else:
                params[key] = torch.as_tensor(params[key], dtype=torch.float32)
        params = TORCH_DEFAULTS.get(name, {}) | params
        self.name = name
        self.module = torch_loss_class(name)(**params)
        each = copy.copy(self.module)  # shares its buffers
        each.reduction = "none"  # type: ignore[assignment]
        self._each = (each,)  # in a tuple, so that the state has no buffer twice
        self.calibrated = name in LOGITS
        if name == "MultiLabelMarginLoss":
            self.limits = {"vmap": "torch fills its list of classes in place"}
        self.soft_targets = name not in {"MultiMarginLoss", "NLLLoss", "MultiLabelMarginLoss", "SoftMarginLoss"}
        if params:  # torch judges some of them only when it computes
            weight = params.get("weight", params.get("pos_weight", torch.ones(2)))
            classes = weight.numel() if self.task is None else self.task.num_classes
            self(torch.zeros(2, classes), torch.tensor([0, classes - 1]))

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        values = self._of(self._each[0], scores, target)
        if values.ndim == 1:
            return values
        return values.sum(dim=-1) if self.module.reduction == "batchmean" else values.mean(dim=-1)

    def mean_loss(self, scores: Tensor, target: Tensor) -> Tensor:
        return self._of(self.module, scores, target)

    def _of(self, module: nn.Module, scores: Tensor, target: Tensor) -> Tensor:
        """Return what a module gives for its own kind of input."""
        scores = full_float(scores)
        inputs = scores.log_softmax(dim=-1) if self.name in LOG_SOFTMAX_INPUT else scores
        if self.name == "BCELoss":
            inputs = scores.sigmoid()
        if self.name in CLASS_TARGETS:
            return module(inputs, target)
        if self.name == "MultiLabelMarginLoss":
            classes = torch.full(scores.shape, -1, dtype=torch.int64, device=scores.device)
            classes[:, 0] = target
            return module(inputs, classes)
        labels = as_probabilities(target, scores.shape[-1], inputs.dtype)
        return module(inputs, 2 * labels - 1 if self.name == "SoftMarginLoss" else labels)
