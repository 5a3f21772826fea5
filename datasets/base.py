"""What a data set is: for each part one table, a row an image, a label and perhaps a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.images import open_image


@dataclass(frozen=True)
class ImageTable:
    """One part of a data set. A row's image, label and box stand together and are never matched by a listing.

    Args:
        images: uint8 array [N, H, W] (grayscale) or [N, H, W, 3] (RGB) for sets held in memory, else N paths.
        labels: [N] int64, 0-based, in the order of the data set's `classes`.
        boxes: [N, 4] int64 or None: x1, y1, x2, y2 in pixels, 0-based, x2 and y2 exclusive, inside the image.
    """

    images: np.ndarray | Sequence[Path]
    labels: np.ndarray
    boxes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def load(self, row: int) -> Image.Image:
        """Return the image of a row, of mode L or RGB.

        Raises: DataError naming the file if it cannot be decoded.
        """
        image = self.images[row]
        return Image.fromarray(image) if isinstance(image, np.ndarray) else open_image(image)

    def name(self, row: int) -> str:
        """Return what to call a row in a message."""
        image = self.images[row]
        return f"image {row}" if isinstance(image, np.ndarray) else str(image)


@dataclass(frozen=True)
class DataSet:
    """A data set as its authors publish it.

    Args:
        classes: class names in official order; label k is `classes[k]`.
        train: the training part; validation is held out of it by the data module.
        test: the official test part.
        notes: what a reader of the results must know, such as "512 boxes clipped"; told once, kept with the run.
        kind: "image" or "sequence"; must match the loss.
    """

    classes: tuple[str, ...]
    train: ImageTable
    test: ImageTable
    notes: tuple[str, ...] = ()
    kind: str = "image"
