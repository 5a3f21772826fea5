"""Labels that must fit the classes, and weights of the classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .contract import ParameterError


def check_labels(label: Tensor, num_classes: int) -> None:
    """Raise ValueError for labels that are none of the classes, where looking at them costs no wait for a device.

    On other devices torch's own assertion stops the program; while a graph is traced nobody can look.
    """
    if label.device.type != "cpu" or torch.compiler.is_compiling() or not label.numel():
        return
    low, high = label.aminmax()
    try:
        fits = bool((low >= 0) & (high < num_classes))
    except RuntimeError:  # under torch.func.vmap
        return
    if not fits:
        raise ValueError(f"labels must be 0 to {num_classes - 1}, got {low.item()} to {high.item()}")


def as_class_weights(
    weights: Tensor | Sequence[float] | str, classes: int | None, counts: tuple[int, ...] | None
) -> Tensor:
    """Return class weights as a tensor, "balanced" from the samples of each class. Raises: ParameterError."""
    if isinstance(weights, str) and weights == "balanced":
        if counts is None:
            raise ParameterError("class_weights", "balanced needs a task with class_counts")
        if 0 in counts:
            text = f"balanced needs a sample of each class; class {counts.index(0)} has none"
            raise ParameterError("class_weights", text)
        weights = [sum(counts) / (len(counts) * count) for count in counts]
    if isinstance(weights, str):
        raise ParameterError("class_weights", f"must be a number for each class or 'balanced', got {weights!r}")
    weights = torch.as_tensor(weights, dtype=torch.float32)
    if weights.ndim != 1 or (classes is not None and len(weights) != classes):
        expected = "each class" if classes is None else f"each of {classes} classes"
        raise ParameterError("class_weights", f"must be a number for {expected}, got {weights.tolist()}")
    if not (weights.isfinite() & (weights >= 0)).all() or not weights.any():
        raise ParameterError("class_weights", f"must be >= 0 and not all 0, got {weights.tolist()}")
    return weights
