"""What a data set is: for each part one table, a row an image, a label and perhaps a box."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.images import EncodedImage, open_image
from utils.lookup import did_you_mean
from utils.types import ConfigError


@dataclass(frozen=True)
class ImageTable:
    """One part of a data set. A row's image, label and box stand together and are never matched by a listing.

    Args:
        images: uint8 array [N, H, W] (grayscale) or [N, H, W, 3] (RGB) for sets held in memory, else N paths or encoded
            images.
        labels: [N] int64, 0-based, in the order of the data set's `classes`.
        boxes: [N, 4] int64 or None: x1, y1, x2, y2 in pixels, 0-based, x2 and y2 exclusive, inside the image.
    """

    images: np.ndarray | Sequence[Path | EncodedImage]
    labels: np.ndarray
    boxes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, rows: np.ndarray) -> ImageTable:
        """Return some rows as a table of their own. Shapes: rows [M], their numbers."""
        table = self.images
        images = table[rows] if isinstance(table, np.ndarray) else [table[int(row)] for row in rows]
        boxes = None if self.boxes is None else self.boxes[rows]
        return dataclasses.replace(self, images=images, labels=self.labels[rows], boxes=boxes)

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


def keep_classes(data_set: DataSet, names: Sequence[str]) -> DataSet:
    """Return a data set of some of its classes only; label k is then `names[k]`.

    Raises: ConfigError for a name that is no class or stands twice, and for fewer than two.
    """
    problems = [
        f"classes: {name!r} is no class of the data{did_you_mean(name, data_set.classes)}{_some(data_set.classes)}"
        for name in names
        if name not in data_set.classes
    ]
    problems += [f"classes: {name!r} stands twice" for name in dict.fromkeys(names) if list(names).count(name) > 1]
    if len(names) < 2:
        problems.append(f"classes: must name at least two, got {len(names)}")
    if problems:
        raise ConfigError("\n".join(problems))
    new_label = np.full(len(data_set.classes), -1)
    for label, name in enumerate(names):
        new_label[data_set.classes.index(name)] = label
    parts = {part: _relabelled(getattr(data_set, part), new_label) for part in ("train", "test")}
    return dataclasses.replace(data_set, classes=tuple(names), **parts)


def _some(classes: Sequence[str], shown: int = 12) -> str:
    more = f", and {len(classes) - shown} more" if len(classes) > shown else ""
    return f"; it has {', '.join(classes[:shown])}{more}"


def _relabelled(table: ImageTable, new_label: np.ndarray) -> ImageTable:
    """Return the rows whose label stays. Shapes: new_label [K], -1 for a class that goes."""
    rows = np.flatnonzero(new_label[table.labels] >= 0)
    kept = table.select(rows)
    return dataclasses.replace(kept, labels=new_label[kept.labels])
