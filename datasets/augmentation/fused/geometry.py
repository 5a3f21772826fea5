"""Torchvision's geometric transforms: their random draws, and the place in the image that each pixel comes from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from datasets.augmentation.alternating_flip import AlternatingFlip
from datasets.augmentation.fused.cropping import TRIES, draw_crops
from datasets.augmentation.fused.operation import Border, NotFusable, Parameters, Size, between, whole

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
        original, (height, width) = self.transform, self.original
        none = np.zeros(len(uniform))
        x_reach, y_reach = (
            share * side for share, side in zip(original.translate or (0, 0), (width, height), strict=True)
        )
        shear = original.shear or (0.0, 0.0)
        return {
            "angle": between(uniform[:, 0], *original.degrees),
            "x_shift": np.rint(between(uniform[:, 1], -x_reach, x_reach)),
            "y_shift": np.rint(between(uniform[:, 2], -y_reach, y_reach)),
            "scale": none + 1 if original.scale is None else between(uniform[:, 3], *original.scale),
            "x_shear": between(uniform[:, 4], *shear[:2]),
            "y_shear": between(uniform[:, 5], *shear[2:]) if len(shear) == 4 else none,
        }

    def matrices(self, drawn: Parameters, number: int) -> np.ndarray:
        return _inverse_affine(self.transform.center, self.original, **drawn)


class Rotation(Geometry):
    """RandomRotation, without `expand`."""

    number = 1

    def __init__(self, transform: Any, size: Size) -> None:
        super().__init__(transform, size)
        if transform.expand:
            raise NotFusable("expand gives images of many sizes")
        self.border = Border.of(transform.fill)

    def parameters(self, uniform: np.ndarray) -> Parameters:
        return {"angle": between(uniform[:, 0], *self.transform.degrees)}

    def matrices(self, drawn: Parameters, number: int) -> np.ndarray:
        return _inverse_affine(self.transform.center, self.original, -drawn["angle"])  # counter-clockwise


def _inverse_affine(
    center: Sequence[float] | None,
    size: Size,
    angle: np.ndarray,
    x_shift: np.ndarray | float = 0.0,
    y_shift: np.ndarray | float = 0.0,
    scale: np.ndarray | float = 1.0,
    x_shear: np.ndarray | float = 0.0,
    y_shear: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Return the inverses of shift centre rotate shear scale centre^-1. Angles in degrees, shifts in pixels."""
    x_center, y_center = (size[1] / 2, size[0] / 2) if center is None else center
    turn, x_shear, y_shear = (np.radians(each) for each in (angle, x_shear, y_shear))
    a = np.cos(turn - y_shear) / np.cos(y_shear)
    b = -a * np.tan(x_shear) - np.sin(turn)
    c = np.sin(turn - y_shear) / np.cos(y_shear)
    d = -c * np.tan(x_shear) + np.cos(turn)
    matrices = np.zeros((len(turn), 3, 3))  # the determinant of [[a, b], [c, d]] is 1
    matrices[:, 0, 0], matrices[:, 0, 1] = d / scale, -b / scale
    matrices[:, 1, 0], matrices[:, 1, 1] = -c / scale, a / scale
    x, y = -x_center - x_shift, -y_center - y_shift
    matrices[:, 0, 2] = matrices[:, 0, 0] * x + matrices[:, 0, 1] * y + x_center
    matrices[:, 1, 2] = matrices[:, 1, 0] * x + matrices[:, 1, 1] * y + y_center
    matrices[:, 2, 2] = 1
    return matrices


class Crop(Geometry):
    """RandomCrop, with what is padded around the image first."""

    cuts = True
    number = 2

    def __init__(self, transform: Any, size: Size) -> None:
        super().__init__(transform, size)
        left, top, right, bottom = _sides(transform.padding)
        self.left, self.top = left, top
        self.size = tuple(transform.size)
        self.room = size[0] + top + bottom - self.size[0], size[1] + left + right - self.size[1]
        if min(self.room) < 0:
            raise NotFusable(f"the image of {size[0]}x{size[1]} is smaller than the crop")
        if max(left, top, right, bottom) > 0:
            self.border = Border.of(transform.fill, transform.padding_mode)

    def parameters(self, uniform: np.ndarray) -> Parameters:
        return {"top": whole(uniform[:, 0], self.room[0] + 1), "left": whole(uniform[:, 1], self.room[1] + 1)}

    def matrices(self, drawn: Parameters, number: int) -> np.ndarray:
        return _scaling(1, 1, drawn["left"] - self.left, drawn["top"] - self.top)


class Padding(Geometry):
    """Pad."""

    def __init__(self, transform: Any, size: Size) -> None:
        super().__init__(transform, size)
        self.left, self.top, right, bottom = _sides(transform.padding)
        self.size = size[0] + self.top + bottom, size[1] + self.left + right
        self.border = Border.of(transform.fill, transform.padding_mode)

    def matrices(self, drawn: Parameters, number: int) -> np.ndarray:
        return _scaling(1, 1, -self.left, -self.top)


def _sides(padding: int | Sequence[int] | None) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom."""
    if padding is None:
        return 0, 0, 0, 0
    sides = (padding,) if isinstance(padding, int) else tuple(padding)
    left, top, right, bottom = {1: sides * 4, 2: sides * 2, 4: sides}[len(sides)]
    if min(sides) < 0:
        raise NotFusable("padding below 0")
    return left, top, right, bottom


class CenterCrop(Geometry):
    """CenterCrop, of at most the image's size."""

    cuts = True

    def __init__(self, transform: Any, size: Size) -> None:
        super().__init__(transform, size)
        self.size = tuple(transform.size)
        room = size[0] - self.size[0], size[1] - self.size[1]
        if min(room) < 0:
            raise NotFusable(f"the image of {size[0]}x{size[1]} is smaller than the crop")
        self.top, self.left = (round(side / 2) for side in room)

    def matrices(self, drawn: Parameters, number: int) -> np.ndarray:
        return _scaling(1, 1, self.left, self.top)


class Resize(Geometry):
    """Resize, to at most a little less."""

    def __init__(self, transform: Any, size: Size) -> None:
        super().__init__(transform, size)
        height, width = size
        target = [transform.size] if isinstance(transform.size, int) else list(transform.size)
        if transform.max_size is not None:
            raise NotFusable("max_size")
        if len(target) == 1:  # of the shorter side
            short = min(height, width)
            self.size = int(target[0] * height / short), int(target[0] * width / short)
        else:
            self.size = target[0], target[1]
        _refuse_reduction(height / self.size[0], width / self.size[1])

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
