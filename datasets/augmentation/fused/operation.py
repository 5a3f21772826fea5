"""Types and draws that the operations of a fused chain share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torchvision.transforms import InterpolationMode

Size = tuple[int, int]
"""Height and width."""
Parameters = dict[str, np.ndarray]
"""The draws of a transform for each sample, by the names of torchvision's functional operations."""


INTERPOLATIONS = [InterpolationMode.NEAREST, InterpolationMode.BILINEAR, InterpolationMode.BICUBIC]
"""From the coarsest to the finest."""


class NotFusable(Exception):
    """A transform, or a parameter of one, that only torchvision's own operations can do; the message says which."""


@dataclass(frozen=True)
class Border:
    """The surroundings of an image, which a transform may bring in.

    Args:
        mode: "constant", "edge", "reflect" or "symmetric", as numpy.pad has them.
        fill: with "constant": the value of each channel, 0 to 255.
    """

    mode: str = "constant"
    fill: tuple[float, ...] = (0.0,)

    @classmethod
    def of(cls, fill: float | Sequence[float] | None, mode: str = "constant") -> Border:
        """Return what a transform's parameters say."""
        if fill is None or mode != "constant":
            return cls(mode)
        values = tuple(float(value) for value in (fill if isinstance(fill, Sequence) else [fill]))
        return cls(mode, values[:1] if len(set(values)) == 1 else values)


def between(uniform: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """Return what is drawn evenly from low to high."""
    return low + uniform * (np.asarray(high) - low)


def whole(uniform: np.ndarray, number: int | np.ndarray) -> np.ndarray:
    """Return what is drawn from 0 to number - 1."""
    return np.minimum(np.floor(uniform * number), np.asarray(number) - 1).astype(np.int64)
