"""Torchvision's geometric transforms: their random draws, and the place in the image that each pixel comes from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from datasets.augmentation.fused.operation import Border, NotFusable, Parameters, Size, between, whole
from datasets.augmentation.fused.rectangles import TRIES, draw_crops
from datasets.augmentation.transforms import AlternatingFlip

LARGEST_REDUCTION = 1.5
"""Beyond it a warp, which reads a few pixels around a place, would skip some."""


class Geometry:
    """A geometric transform of images of one size.

    Args:
        transform: torchvision's, which holds the parameters.
        size: of the images that it is given.

    Attributes:
        number: of random numbers that it needs for a sample.
        size: of the images that it gives.
        interpolation: between pixels; None if it only moves whole ones.
        border: what it may draw in from outside; None if nothing.
        cuts: it cuts part of the image away.

    Raises: NotFusable.
    """

    number = 0
    interpolation: InterpolationMode | None = None
    border: Border | None = None
    cuts = False

    def __init__(self, transform: Any, size: Size) -> None:
        self.transform, self.original, self.size = transform, size, size
        if (interpolation := getattr(transform, "interpolation", None)) is not None:
            self.interpolation = interpolation

    def parameters(self, uniform: np.ndarray) -> Parameters:
        """Return what is drawn, as torchvision's functional operation takes it. Shapes: [M, number] -> [M] each."""
        return {}

    def matrices(self, drawn: Parameters, number: int) -> np.ndarray:
        """Return the maps from places in what it gives to places in what it is given, in pixels from the corner.

        Shapes: [M, 3, 3], for columns (x, y, 1); M is `number`, or 1 if nothing is drawn.
        """
        raise NotImplementedError


def _scaling(x_scale: Any, y_scale: Any, x_shift: Any, y_shift: Any) -> np.ndarray:
    """Return x -> x_scale x + x_shift, and y alike. Shapes: scalars or [M] -> [M, 3, 3]."""
    x_scale, y_scale, x_shift, y_shift = np.broadcast_arrays(*map(np.atleast_1d, (x_scale, y_scale, x_shift, y_shift)))
    matrices = np.zeros((len(x_scale), 3, 3))
    matrices[:, 0, 0], matrices[:, 0, 2] = x_scale, x_shift
    matrices[:, 1, 1], matrices[:, 1, 2] = y_scale, y_shift
    matrices[:, 2, 2] = 1
    return matrices


class Flip(Geometry):
    """RandomHorizontalFlip, RandomVerticalFlip, AlternatingFlip."""

    number = 1

    def parameters(self, uniform: np.ndarray) -> Parameters:
        return {"flip": uniform[:, 0] < self.transform.p}

    def matrices(self, drawn: Parameters, number: int) -> np.ndarray:
        height, width = self.original
        flip = drawn["flip"]
        sign, back = np.where(flip, -1.0, 1.0), flip.astype(float)
        if isinstance(self.transform, transforms.RandomHorizontalFlip):
            return _scaling(sign, 1, width * back, 0)
        return _scaling(1, sign, 0, height * back)


class Affine(Geometry):
    """RandomAffine."""

    number = 6

    def __init__(self, transform: Any, size: Size) -> None:
        super().__init__(transform, size)
        self.border = Border.of(transform.fill)

    def parameters(self, uniform: np.ndarray) -> Parameters:
        affine, (height, width) = self.transform, self.original
        x_share, y_share = affine.translate or (0, 0)
        shear = [*(affine.shear or (0.0, 0.0)), 0.0, 0.0]
        return {
            "angle": between(uniform[:, 0], *affine.degrees),
            "x_shift": np.rint(between(uniform[:, 1], -x_share * width, x_share * width)),
            "y_shift": np.rint(between(uniform[:, 2], -y_share * height, y_share * height)),
            "scale": between(uniform[:, 3], *(affine.scale or (1.0, 1.0))),
            "x_shear": between(uniform[:, 4], *shear[:2]),
            "y_shear": between(uniform[:, 5], *shear[2:4]),
        }

    def matrices(self, drawn: Parameters, number: int) -> np.ndarray:
        """Return the inverses of shift centre rotate shear scale centre^-1. Angles in degrees, shifts in pixels."""
        height, width = self.original
        x_center, y_center = self.transform.center or (width / 2, height / 2)
        turn, x_shear, y_shear = (np.radians(drawn.get(name, 0.0)) for name in ("angle", "x_shear", "y_shear"))
        a = np.cos(turn - y_shear) / np.cos(y_shear)
        b = -a * np.tan(x_shear) - np.sin(turn)
        c = np.sin(turn - y_shear) / np.cos(y_shear)
        d = -c * np.tan(x_shear) + np.cos(turn)
        matrices = _scaling(d, a, 0.0, 0.0)  # the determinant of [[a, b], [c, d]] is 1
        matrices[:, 0, 1], matrices[:, 1, 0] = -b, -c
        matrices[:, :2, :2] /= np.reshape(drawn.get("scale", 1.0), (-1, 1, 1))
        x, y = -x_center - drawn.get("x_shift", 0.0), -y_center - drawn.get("y_shift", 0.0)
        matrices[:, 0, 2] = matrices[:, 0, 0] * x + matrices[:, 0, 1] * y + x_center
        matrices[:, 1, 2] = matrices[:, 1, 0] * x + matrices[:, 1, 1] * y + y_center
        return matrices


class Rotation(Affine):
    """RandomRotation, without `expand`."""

    number = 1

    def __init__(self, transform: Any, size: Size) -> None:
        super().__init__(transform, size)
        if transform.expand:
            raise NotFusable("expand gives images of many sizes")

    def parameters(self, uniform: np.ndarray) -> Parameters:
        return {"angle": between(uniform[:, 0], *self.transform.degrees)}

    def matrices(self, drawn: Parameters, number: int) -> np.ndarray:
        return super().matrices({"angle": -drawn["angle"]}, number)  # counter-clockwise


class Padding(Geometry):
    """Pad."""

    def __init__(self, transform: Any, size: Size) -> None:
        super().__init__(transform, size)
        padding = transform.padding or 0
        sides = (padding,) if isinstance(padding, int) else tuple(padding)
        self.left, self.top, right, bottom = {1: sides * 4, 2: sides * 2, 4: sides}[len(sides)]
        if min(sides) < 0:
            raise NotFusable("padding below 0")
        self.size = size[0] + self.top + bottom, size[1] + self.left + right
        if self.size != size:
            self.border = Border.of(transform.fill, transform.padding_mode)

    def matrices(self, drawn: Parameters, number: int) -> np.ndarray:
        return _scaling(1, 1, -self.left, -self.top)


class Crop(Padding):
    """RandomCrop, with what is padded around the image first."""

    cuts = True
    number = 2

    def __init__(self, transform: Any, size: Size) -> None:
        super().__init__(transform, size)
        self.room = _room(self.size, transform.size, size)
        self.size = tuple(transform.size)

    def parameters(self, uniform: np.ndarray) -> Parameters:
        return {"top": whole(uniform[:, 0], self.room[0] + 1), "left": whole(uniform[:, 1], self.room[1] + 1)}

    def matrices(self, drawn: Parameters, number: int) -> np.ndarray:
        return _scaling(1, 1, drawn["left"] - self.left, drawn["top"] - self.top)


def _room(size: Size, target: Sequence[int], original: Size) -> Size:
    """Return by how much an image is larger than what is cut from it. Raises: NotFusable if it is not."""
    room = size[0] - target[0], size[1] - target[1]
    if min(room) < 0:
        raise NotFusable(f"the image of {original[0]}x{original[1]} is smaller than the crop")
    return room


class CenterCrop(Geometry):
    """CenterCrop, of at most the image's size."""

    cuts = True

    def __init__(self, transform: Any, size: Size) -> None:
        super().__init__(transform, size)
        self.top, self.left = (round(side / 2) for side in _room(size, transform.size, size))
        self.size = tuple(transform.size)

    def matrices(self, drawn: Parameters, number: int) -> np.ndarray:
        return _scaling(1, 1, self.left, self.top)


class Resize(Geometry):
    """Resize, to at most a little less."""

    def __init__(self, transform: Any, size: Size) -> None:
        super().__init__(transform, size)
        if transform.max_size is not None:
            raise NotFusable("max_size")
        target = [transform.size] if isinstance(transform.size, int) else list(transform.size)
        if len(target) == 1:  # of the shorter side
            target = [int(target[0] * side / min(size)) for side in size]
        self.size = target[0], target[1]
        _refuse_reduction(size[0] / self.size[0], size[1] / self.size[1])

    def matrices(self, drawn: Parameters, number: int) -> np.ndarray:
        return _scaling(self.original[1] / self.size[1], self.original[0] / self.size[0], 0, 0)


def _refuse_reduction(*factors: float) -> None:
    if max(factors) > LARGEST_REDUCTION:
        raise NotFusable(f"makes images up to {max(factors):.2g} times smaller, beyond {LARGEST_REDUCTION}")


class ResizedCrop(Geometry):
    """RandomResizedCrop, to at most a little less than what is cropped."""

    cuts = True
    number = 4 * TRIES

    def __init__(self, transform: Any, size: Size) -> None:
        super().__init__(transform, size)
        self.size = tuple(transform.size)
        height, width = size
        area, (least, most) = height * width * max(transform.scale), (min(transform.ratio), max(transform.ratio))
        tallest, widest = min(height, math.sqrt(area / least)), min(width, math.sqrt(area * most))
        _refuse_reduction(tallest / self.size[0], widest / self.size[1])

    def parameters(self, uniform: np.ndarray) -> Parameters:
        height, width = self.original
        return draw_crops(self.transform, uniform, np.full(len(uniform), height), np.full(len(uniform), width))

    def matrices(self, drawn: Parameters, number: int) -> np.ndarray:
        x_scale, y_scale = drawn["width"] / self.size[1], drawn["height"] / self.size[0]
        return _scaling(x_scale, y_scale, drawn["left"], drawn["top"])


GEOMETRY: dict[type, Callable[[Any, Size], Geometry]] = {
    transforms.RandomHorizontalFlip: Flip,
    transforms.RandomVerticalFlip: Flip,
    AlternatingFlip: Flip,
    transforms.RandomAffine: Affine,
    transforms.RandomRotation: Rotation,
    transforms.RandomCrop: Crop,
    transforms.Pad: Padding,
    transforms.CenterCrop: CenterCrop,
    transforms.Resize: Resize,
    transforms.RandomResizedCrop: ResizedCrop,
}
