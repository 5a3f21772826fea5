"""Losses as functions: focal_loss(scores, target, gamma=2.0), one for each loss that is one of scores and labels alone.

A function has the name of its class, in lower case. It takes the loss's parameters, and what
`ClassificationLoss.forward` and `with_options` take; with `training=False` it judges.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from . import LOSSES, loss_class
from .base import ClassificationLoss, Reduction


def function_name(name: str) -> str:
    """Return the name of a loss's function: FocalLoss -> focal_loss, LDAMLoss -> ldam_loss."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


@lru_cache
def problem(name: str) -> str | None:
    """Return why a loss is no function of scores and labels; None if it is."""
    loss = loss_class(name)
    methods = ("forward", "terms", "make_head", "begin_epoch", "on_epoch_end", "end_validation")
    own = [method for method in methods if getattr(loss, method) is not getattr(ClassificationLoss, method)]
    if own:
        return f"it has its own {', '.join(own)}"
    try:
        built = loss()
        if built.state_dict():
            return "it has a state"
        with torch.random.fork_rng(devices=()):  # some draw
            built(torch.zeros(2, 2), torch.tensor([0, 1]))
    except ValueError as error:  # such as one that needs the number of images of each class
        return str(error)
    return None


def _call(
    name: str,
    scores: Tensor,
    target: Any,
    reduction: Reduction = "mean",
    *,
    sample_weight: Tensor | None = None,
    class_weights: Any = None,
    ignore_index: int | None = None,
    training: bool = True,
    **params: Any,
) -> Tensor:
    loss = loss_class(name)(**params).train(training)
    if class_weights is not None or ignore_index is not None:
        loss.with_options(class_weights=class_weights, ignore_index=ignore_index).to(scores.device)
    return loss(scores, target, reduction, sample_weight=sample_weight)


NAMES = {function_name(name): name for name in LOSSES}


def __getattr__(name: str) -> Callable[..., Tensor]:
    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no function {name!r}")
    if reason := problem(NAMES[name]):
        raise AttributeError(f"{NAMES[name]} is no function of scores and labels: {reason}; build it")
    return partial(_call, NAMES[name])
