"""Preparation of every image of a part alike, before any augmentation and after it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from configuration.schema import Configuration
from datasets.base import ImageTable


@dataclass(frozen=True)
class Preprocessing:
    """From an image as it is stored to pixels of one size, and from pixels to numbers for a network.

    Args:
        size: height and width, or None to keep the image's.
        grayscale: one channel instead of three.
        mean, std: per channel, on 0 to 1; None to leave pixels as they are.
        crop: cut the image to its box.
        erase: with `crop`: keep the frame and paint what is outside the box instead of cutting, black or white.
        most_pixels: with `size` None: an image of more pixels is reduced to that many, its aspect ratio kept.
        fit: keep the aspect ratio, and fill what is left of `size` below and to the right with black.
    """

    size: tuple[int, int] | None
    grayscale: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    crop: bool = False
    erase: bool | Literal["white"] = False
    most_pixels: int | None = None
    fit: bool = False

    @classmethod
    def of(cls, config: Configuration, training: bool) -> Preprocessing:
        """Return the preparation that a configuration asks for; boxes apply to training images unless it says "all"."""
        params = config.normalization
        return cls(
            size=config.size,
            grayscale=config.convert_to_grayscale,
            mean=tuple(params.mean) if params else None,
            std=tuple(params.std) if params else None,
            crop=config.crop_to_bboxes == "all" or (training and config.crop_to_bboxes is True),
            erase=config.erase_background,
            fit=config.task != "classification",
        )

    @property
    def channels(self) -> int:
        return 1 if self.grayscale else 3

    @property
    def pixels_key(self) -> tuple[Any, ...]:
        """The settings that decide the pixels of an image."""
        key = self.size, self.grayscale, self.crop, self.crop and self.erase
        key = key if self.most_pixels is None else (*key, self.most_pixels)
        return (*key, "fit") if self.fit else key

    def fitted(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that an image of these takes up in the prepared one."""
        if not self.fit or self.size is None:
            return self._size_for(height, width)
        scale = min(self.size[0] / height, self.size[1] / width)
        return max(1, round(height * scale)), max(1, round(width * scale))

    def size_of(self, table: ImageTable, index: int) -> tuple[int, int]:
        """Return the height and width that an image is prepared to, read from its file's head only.

        Raises: DataError as `load`, as far as the head shows.
        """
        if self.crop and not self.erase and table.boxes is not None:
            left, top, right, bottom = map(int, table.boxes[index])
            return self._size_for(bottom - top, right - left)
        return self._size_for(*table.size(index))

    def _size_for(self, height: int, width: int) -> tuple[int, int]:
        if self.size is not None or self.most_pixels is None or height * width <= self.most_pixels:
            return self.size or (height, width)
        factor = math.sqrt(self.most_pixels / (height * width))
        return max(1, int(height * factor)), max(1, int(width * factor))

    def load(self, table: ImageTable, index: int) -> np.ndarray:
        """Return the pixels of an image: uint8 [H, W, C].

        Raises: DataError naming the file if it cannot be decoded.
        """
        return self.prepare(table.pixels(index), None if table.boxes is None else table.boxes[index])

    def prepare(self, image: np.ndarray, box: np.ndarray | Sequence[int] | None = None) -> np.ndarray:
        """Crop, resize and convert. Bilinear with antialiasing, as torchvision's Resize.

        Shapes: image uint8 [H, W, 1, 3 or 4], nothing in the fourth channel -> [h, w, C].
        """
        if self.crop and box is not None:
            left, top, right, bottom = map(int, box)
            inside = image[top:bottom, left:right]
            if self.erase:
                image = np.full_like(image, 255 if self.erase == "white" else 0)
                image[top:bottom, left:right] = inside
            else:
                image = inside
        size = self.fitted(*image.shape[:2])
        if image.shape[:2] != size:
            image = resize(image, size)
        elif image.shape[-1] == 4:
            image = np.ascontiguousarray(image[..., :3])
        if self.fit and self.size is not None and size != self.size:
            image = np.pad(image, [(0, full - part) for full, part in zip(self.size, size, strict=True)] + [(0, 0)])
        if self.grayscale and image.shape[-1] == 3:
            return np.asarray(Image.fromarray(image).convert("L"))[..., None]
        return image if image.shape[-1] == self.channels else np.repeat(image, 3, axis=-1)

    def to_numbers(self, pixels: Tensor, memory_format: torch.memory_format = torch.contiguous_format) -> Tensor:
        """Return what a network sees. Shapes: [N, C, H, W] uint8, or float of 0 to 255 -> float32."""
        numbers = pixels.to(torch.float32, memory_format=memory_format, copy=True)
        if self.mean is None or self.std is None:
            return numbers.div_(255)
        mean, std = self._statistics(numbers)
        return numbers.mul_(1 / (255 * std)).sub_(mean / std)

    def normalize(self, image: Tensor) -> Tensor:
        """Shapes: [..., C, H, W] on 0 to 1 -> the same, normalised."""
        if self.mean is None or self.std is None:
            return image
        mean, std = self._statistics(image)
        return (image - mean) / std

    def denormalize(self, image: Tensor) -> Tensor:
        """Undo `normalize`, for figures."""
        if self.mean is None or self.std is None:
            return image
        mean, std = self._statistics(image)
        return image * std + mean

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = (like.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return mean, std


def resize(image: np.ndarray, size: tuple[int, int], mode: str = "bilinear") -> np.ndarray:
    """Resize with antialiasing, by a mode of torch's `interpolate`.

    Shapes: [H, W, 1, 3 or 4] uint8 -> [h, w, 1 or 3].
    """
    if not image.flags.writeable or min(image.strides) < 0:
        image = image.copy()  # torch takes no others
    planes = torch.from_numpy(image).permute(2, 0, 1)[None]
    resized = F.interpolate(planes, size, mode=mode, antialias=True)[0, :3].numpy()  # [C, h, w]
    pixels = np.empty((*size, len(resized)), dtype=np.uint8)
    for channel, plane in enumerate(resized):  # a fifth of the time of a transposing copy
        pixels[..., channel] = plane
    return pixels
