"""Attacks on images: small changes, bounded in every pixel, that raise an objective by its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from losses.base import ClassificationLoss

Gradient = Callable[[Tensor], Tensor]
"""Images [B, C, H, W] on 0 to 1 -> the gradient of what the attack raises, of the same shape."""
Objective = Literal["cross_entropy", "margin", "own"]


def fgsm(gradient: Gradient, image: Tensor, eps: float) -> Tensor:
    """Return x + eps sign(gradient(x)), cut to 0 to 1: the fast gradient sign method.

    Shapes: image [B, C, H, W] on 0 to 1 -> the same.
    Source: Goodfellow et al. 2015, arXiv:1412.6572, sec. 4.
    """
    return (image + eps * gradient(image).sign()).clamp(0, 1)


def pgd(gradient: Gradient, image: Tensor, start: Tensor, eps: float, step: float, iterations: int) -> Tensor:
    """Return the last of x_{t+1} = P(x_t + step sign(gradient(x_t))): projected gradient descent.

    P cuts each pixel to within eps of the image's and to 0 to 1.

    Shapes: image, start [B, C, H, W] on 0 to 1 -> the same.
    Source: Madry et al. 2018, arXiv:1706.06083, sec. 2.1.
    """
    lowest, highest = (image - eps).clamp(min=0), (image + eps).clamp(max=1)
    attacked = start.clamp(lowest, highest)
    for _ in range(iterations):
        attacked = (attacked + step * gradient(attacked).sign()).clamp(lowest, highest)
    return attacked


def input_gradient(
    scores_of: Callable[[Tensor], Tensor], loss: ClassificationLoss, target: Tensor, objective: Objective
) -> Gradient:
    """Return the gradient of an objective of these labels.

    Args:
        scores_of: images [B, C, H, W] on 0 to 1 -> scores.
        loss: what the scores mean.
        target: [B] classes.
        objective: what is raised, as `costs` has it.
    """

    def gradient(image: Tensor) -> Tensor:
        image = image.detach().requires_grad_()
        with torch.enable_grad():
            cost = costs(loss, scores_of(image), target, objective)
        return torch.autograd.grad(cost, image)[0]

    return gradient


def costs(loss: ClassificationLoss, scores: Tensor, target: Tensor, objective: Objective) -> Tensor:
    """Return what an attack raises, summed over the images.

        cross_entropy: -log p(label)
        margin: max over the other classes of log p(class), less log p(label)
        own: the loss as the run judges by it

    All by the loss's own probabilities. Shapes: scores of B images, target [B] -> scalar.
    """
    if objective == "own":
        return loss(scores, target) * len(target)
    log_probabilities = loss.log_probabilities(scores)  # [B, K]
    label = log_probabilities.gather(1, target[:, None]).squeeze(1)
    if objective == "cross_entropy":
        return -label.sum()
    others = log_probabilities.scatter(1, target[:, None], -torch.inf)
    return (others.max(dim=1).values - label).sum()
