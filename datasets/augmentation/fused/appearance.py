"""Torchvision's colour transforms and blur: what they draw, as maps of colours and weights of neighbours."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import transforms

from datasets.augmentation.fused.operation import NotFusable, Parameters, Size, between, whole

GRAY = (0.299, 0.587, 0.114)
YIQ = torch.tensor([GRAY, (0.596, -0.274, -0.321), (0.211, -0.523, 0.311)], dtype=torch.float64)
ORDERS = np.array(list(itertools.permutations(range(4))))


class Colour:
    """A colour transform.

    Args:
        transform: torchvision's, which holds the parameters.

    Attributes:
        number: of random numbers that it needs for a sample.
        needs_mean: it depends on the image's mean.
    """

    number = 1
    needs_mean = False

    def __init__(self, transform: Any) -> None:
        self.transform = transform

    def parameters(self, uniform: np.ndarray) -> Parameters:
        """Return what is drawn, as torchvision's functions take it. Shapes: [M, number] -> [M, ...] each."""
        raise NotImplementedError

    def then(self, before: Tensor, drawn: dict[str, Tensor], mean: Tensor) -> Tensor:
        """Return the map so far with this one after it.

        Args:
            before: the maps so far, for columns (red, green, blue, 1) of 0 to 255.
            drawn: what `parameters` gave.
            mean: of each image before any map, as such a column.

        Shapes: before [M, 4, 4], mean [M, 4] -> [M, 4, 4].
        """
        raise NotImplementedError


class Jitter(Colour):
    """ColorJitter: hue as a rotation in YIQ, contrast about the mean gray of what came before it."""

    number = 5

    def __init__(self, transform: Any) -> None:
        super().__init__(transform)
        self.needs_mean = transform.contrast is not None

    def parameters(self, uniform: np.ndarray) -> Parameters:
        drawn = {"order": ORDERS[whole(uniform[:, 0], len(ORDERS))]}
        for place, name in enumerate(("brightness", "contrast", "saturation", "hue"), start=1):
            interval = getattr(self.transform, name) or ((0.0, 0.0) if name == "hue" else (1.0, 1.0))
            drawn[name] = between(uniform[:, place], *interval)
        return drawn

    def then(self, before: Tensor, drawn: dict[str, Tensor], mean: Tensor) -> Tensor:
        number = len(mean)
        gray = before.new_tensor((*GRAY, 0.0))
        maps = torch.zeros(number, 4, 4, 4, dtype=before.dtype, device=before.device)  # one for each of the four
        maps[:, :, 3, 3] = 1
        colours = maps[:, :, :3, :3]
        unit = torch.eye(3, dtype=before.dtype, device=before.device)
        for place, name in enumerate(("brightness", "contrast", "saturation")):
            colours[:, place] = drawn[name].to(before)[:, None, None] * unit
        colours[:, 2] += (1 - drawn["saturation"].to(before))[:, None, None] * gray[:3]
        colours[:, 3] = _hue_rotations(drawn["hue"].to(before))
        sample = torch.arange(number, device=before.device)
        for place in drawn["order"].T:  # [M], the first of each sample's four, the second, ...
            gray_mean = torch.einsum("mij,mj,i->m", before, mean, gray)
            maps[:, 1, :3, 3] = ((1 - drawn["contrast"].to(before)) * gray_mean)[:, None]
            before = maps[sample, place.to(sample)] @ before
        return before


def _hue_rotations(turns: Tensor) -> Tensor:
    """Return rotations of the hue, red to green to blue. Shapes: turns [M], -0.5 to 0.5 -> [M, 3, 3]."""
    angle = -2 * math.pi * turns
    rotations = torch.zeros(len(turns), 3, 3, dtype=turns.dtype, device=turns.device)
    rotations[:, 0, 0] = 1
    rotations[:, 1, 1] = rotations[:, 2, 2] = angle.cos()
    rotations[:, 2, 1] = angle.sin()
    rotations[:, 1, 2] = -rotations[:, 2, 1]
    yiq = YIQ.to(turns)
    return torch.linalg.inv(yiq) @ rotations @ yiq


class Gray(Colour):
    """Grayscale, RandomGrayscale."""

    matrix = ((*GRAY, 0), (*GRAY, 0), (*GRAY, 0), (0, 0, 0, 1))

    def parameters(self, uniform: np.ndarray) -> Parameters:
        return {"applied": uniform[:, 0] < getattr(self.transform, "p", 1.0)}

    def then(self, before: Tensor, drawn: dict[str, Tensor], mean: Tensor) -> Tensor:
        return torch.where(drawn["applied"].bool()[:, None, None], before.new_tensor(self.matrix) @ before, before)


class Inversion(Gray):
    """RandomInvert."""

    matrix = ((-1, 0, 0, 255), (0, -1, 0, 255), (0, 0, -1, 255), (0, 0, 0, 1))


COLOURS: dict[type, Callable[[Any], Colour]] = {
    transforms.ColorJitter: Jitter,
    transforms.Grayscale: Gray,
    transforms.RandomGrayscale: Gray,
    transforms.RandomInvert: Inversion,
}


LEAST_WEIGHT = 1e-6
"""Of a neighbour; beneath it a bright one would add less than a thousandth of a level, and is left out."""


class Blur:
    """GaussianBlur: a mean along x, then along y, of what lies around a pixel, mirrored about the outermost ones.

    Args:
        transform: torchvision's, which holds the parameters.
        size: of the images.

    Attributes:
        number: of random numbers that it needs for a sample.

    Raises: NotFusable.
    """

    number = 1

    def __init__(self, transform: Any, size: Size) -> None:
        self.transform = transform
        self.taps: tuple[int, int] = tuple(transform.kernel_size)  # along x, along y
        if any(taps // 2 >= side for taps, side in zip(self.taps, reversed(size), strict=True)):
            raise NotFusable(f"the image of {size[0]}x{size[1]} is too small for the kernel")

    def parameters(self, uniform: np.ndarray) -> Parameters:
        """Return what is drawn, as torchvision's function takes it. Shapes: [M, 1] -> [M]."""
        return {"sigma": between(uniform[:, 0], *self.transform.sigma)}

    def weights(self, drawn: Parameters) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights along x and along y, which sum to 1. Shapes: [M] -> [M, taps along x], [M, along y]."""
        both = []
        for taps in self.taps:
            steps = np.arange(taps) - taps // 2
            weights = np.exp(-0.5 * (steps / drawn["sigma"][:, None]) ** 2)
            weights /= weights.sum(axis=1, keepdims=True)
            weights[weights < LEAST_WEIGHT] = 0
            both.append(weights / weights.sum(axis=1, keepdims=True))
        return both[0], both[1]


BLURS: dict[type, Callable[[Any, Size], Blur]] = {transforms.GaussianBlur: Blur}
