"""Teacher-free distillation: a teacher made by hand, or the same network trained before."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import ClassificationLoss, as_probabilities, full_float, require
from .contract import Batch, Outputs, ParameterError, Task

DEFAULTS = {"regularization": (0.1, 20.0, 1.0), "self": (0.95, 6.0, 0.5)}
"""Mode -> alpha, temperature and multiplier."""


class TeacherFreeDistillationLoss(ClassificationLoss):
    """Mixes cross entropy with the divergence from a teacher that costs nothing.

        regularization:  L = (1 - alpha) CE + alpha multiplier KL(softmax(d / T) || p)
        self:            L = (1 - alpha) CE + alpha multiplier T^2 KL(softmax(t / T) || softmax(s / T))

    p = softmax(s); the teacher made by hand is d_y = a and d_k = (1 - a) / (K - 1). In the mode self, t are the scores
    of a frozen copy of the same network, trained before, on the same augmented images. Scores are logits; prediction is
    their argmax. It judges by the loss itself in the mode regularization and by cross entropy in the mode self,
    since it sees no images. alpha = 0 is cross entropy.

    Args:
        mode: which teacher.
        alpha: share of the teaching, 0 to 1; null for 0.1 (regularization) or 0.95 (self). The authors' code, for
            ResNet-18 on CIFAR-100.
        temperature: T, > 0; null for 20 or 6. The same.
        multiplier: >= 0; null for 1 or 0.5. The same: 100 and 50, before its division by 100 classes.
        a: probability of the label in the teacher made by hand, 0 to 1. Paper: >= 0.9; code: 0.99.
        teacher_path: file of the trained network's weights, such as a run's checkpoints/best.ckpt; needed by self. It
            was trained by a loss whose scores are logits.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities (sum_k q_k L(k)) -> scalar, mean over B.
    Use: in place of label smoothing (regularization), or to train a network a second time (self).
    Raises: ValueError if a parameter is out of range, or if teacher_path is missing, is given in the other mode or does
        not fit the network.
    Source: Yuan et al. 2020, "Revisiting Knowledge Distillation via Label Smoothing Regularization", CVPR,
        arXiv:1909.11723, eq. 7 to 9.
    Deviations: follows the code where it differs: the handmade teacher is a softmax of probabilities, so nearly
        uniform, and the network is not softened beside it. The code's KL is a mean over samples and classes; here it
        is a mean over samples, and the multiplier is divided by 100 in turn.
    """

    def __init__(
        self,
        task: Task | None = None,
        *,
        mode: Literal["regularization", "self"] = "regularization",
        alpha: float | None = None,
        temperature: float | None = None,
        multiplier: float | None = None,
        a: float = 0.99,
        teacher_path: str | None = None,
    ) -> None:
        super().__init__(task)
        if mode not in DEFAULTS:
            raise ValueError(f"mode must be one of {', '.join(DEFAULTS)}, got {mode!r}")
        weights = (alpha, temperature, multiplier)
        alpha, temperature, multiplier = (
            default if value is None else value for value, default in zip(weights, DEFAULTS[mode], strict=True)
        )
        require("alpha", alpha, 0 <= alpha <= 1, "0 to 1")
        require("temperature", temperature, temperature > 0, "> 0")
        require("multiplier", multiplier, multiplier >= 0, ">= 0")
        require("a", a, 0 <= a <= 1, "0 to 1")
        if mode == "self" and teacher_path is None:
            raise ParameterError("teacher_path", "mode: self needs the file of a trained network's weights")
        if mode == "regularization" and teacher_path is not None:
            raise ParameterError("teacher_path", "mode: regularization has no network for a teacher")
        self.mode, self.alpha, self.temperature, self.multiplier, self.a = mode, alpha, temperature, multiplier, a
        self.teacher: nn.Module | None = None
        if teacher_path is not None and task is not None:
            self.teacher = _frozen(task, teacher_path)

    def train(self, mode: bool = True) -> TeacherFreeDistillationLoss:
        """Switch to training or back; the teacher never trains."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        return self._loss(full_float(scores), target, "none")

    def mean_loss(self, scores: Tensor, target: Tensor) -> Tensor:
        return self._loss(full_float(scores), target, "mean")

    def _loss(self, scores: Tensor, target: Tensor, reduction: str) -> Tensor:
        label = F.cross_entropy(scores, target, reduction=reduction)
        if self.mode == "self":
            return label
        taught = self._made_by_hand(scores, target, reduction)
        return (1 - self.alpha) * label + self.alpha * self.multiplier * taught

    def _made_by_hand(self, scores: Tensor, target: Tensor, reduction: str) -> Tensor:
        """Return KL(teacher || p), averaged over labels drawn from the target. Shapes: [N, K], target -> [N]."""
        classes = scores.shape[-1]
        values = scores.new_full((classes,), (1 - self.a) / max(classes - 1, 1))
        values[0] = self.a
        log_teacher = (values / self.temperature).log_softmax(dim=-1)  # the label's first, then the others'
        own, other = log_teacher.exp()[[0, -1]]
        expected = other + (own - other) * as_probabilities(target, classes, scores.dtype)  # [B, K]
        return F.cross_entropy(scores, expected, reduction=reduction) + (log_teacher.exp() * log_teacher).sum()

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        main = self(outputs.scores, batch.target)
        if self.teacher is None:
            return {"main": main}
        with torch.no_grad():
            taught = full_float(self.teacher(batch.image)) / self.temperature
        softened = full_float(outputs.scores) / self.temperature
        divergence = F.kl_div(
            softened.log_softmax(dim=-1), taught.log_softmax(dim=-1), reduction="batchmean", log_target=True
        )
        teaching = self.alpha * self.multiplier * self.temperature**2 * divergence
        return {"main": (1 - self.alpha) * main, "teaching": teaching}


def _frozen(task: Task, path: str) -> nn.Module:
    if task.load_network is None:
        raise ParameterError("teacher_path", "only a run can load a teacher")
    try:
        network = task.load_network(path)
    except ValueError as error:
        raise ParameterError("teacher_path", str(error)) from None
    return network.requires_grad_(False).eval()
