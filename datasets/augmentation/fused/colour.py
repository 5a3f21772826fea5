"""Torchvision's colour transforms: their random draws, as affine maps of a pixel's red, green and blue."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import transforms

from datasets.augmentation.fused.operation import Parameters, between, whole

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
        jitter, none = self.transform, np.ones(len(uniform))
        factors = {
            name: none if interval is None else between(uniform[:, place], *interval)
            for place, (name, interval) in enumerate(
                (("brightness", jitter.brightness), ("contrast", jitter.contrast), ("saturation", jitter.saturation)), 1
            )
        }
        hue = 0 * none if jitter.hue is None else between(uniform[:, 4], *jitter.hue)
        return {"order": ORDERS[whole(uniform[:, 0], len(ORDERS))], "hue": hue, **factors}

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

    def parameters(self, uniform: np.ndarray) -> Parameters:
        return {"applied": uniform[:, 0] < getattr(self.transform, "p", 1.0)}

    def then(self, before: Tensor, drawn: dict[str, Tensor], mean: Tensor) -> Tensor:
        gray = torch.eye(4, dtype=before.dtype, device=before.device)
        gray[:3, :3] = before.new_tensor(GRAY)
        return torch.where(drawn["applied"].bool()[:, None, None], gray @ before, before)


class Inversion(Colour):
    """RandomInvert."""

    def parameters(self, uniform: np.ndarray) -> Parameters:
        return {"applied": uniform[:, 0] < self.transform.p}

    def then(self, before: Tensor, drawn: dict[str, Tensor], mean: Tensor) -> Tensor:
        inversion = torch.diag(before.new_tensor((-1.0, -1.0, -1.0, 1.0)))
        inversion[:3, 3] = 255
        return torch.where(drawn["applied"].bool()[:, None, None], inversion @ before, before)


COLOURS: dict[type, Callable[[Any], Colour]] = {
    transforms.ColorJitter: Jitter,
    transforms.Grayscale: Gray,
    transforms.RandomGrayscale: Gray,
    transforms.RandomInvert: Inversion,
}
