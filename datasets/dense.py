"""Images whose annotation is a class for each pixel, or objects with boxes and perhaps masks."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datasets.base import ImageTable
from datasets.readers.files import in_threads, listing
from datasets.readers.images import DAMAGED, name_and_size
from utils.files import open_regular
from utils.types import DataError

IGNORED = 255
"""Class of a pixel that neither trains nor counts."""
BACKGROUND = "background"
"""Class 0 of every data set of pixels or objects."""


@dataclass(frozen=True)
class Annotation:
    """What an image shows, in its own pixels.

    Shapes: pixels [H, W] uint8, a class or IGNORED; boxes [M, 4] float32 as `ImageTable`'s; labels [M] int64, 1 to
    K - 1; masks [M, H, W] bool; crowd [M] bool: a box around many, which neither trains nor counts as missed.
    """

    pixels: np.ndarray | None = None
    boxes: np.ndarray | None = None
    labels: np.ndarray | None = None
    masks: np.ndarray | None = None
    crowd: np.ndarray | None = None


@dataclass(frozen=True)
class DenseTable(ImageTable):
    """An `ImageTable` with an annotation a row; its labels are only what a share for validation is held out by.

    Args:
        annotations: N files, or N values of JSON.
        read: one of them -> what it says.
    """

    annotations: Sequence[Any] = ()
    read: Callable[[Any], Annotation] = Annotation

    def select(self, indices: np.ndarray) -> DenseTable:
        chosen = [self.annotations[int(index)] for index in indices]
        whole: Any = super().select(indices)
        return dataclasses.replace(whole, annotations=chosen)

    def annotation(self, index: int) -> Annotation:
        return self.read(self.annotations[index])

    @property
    def digest(self) -> bytes:
        """A digest of the annotations: of files by name and size."""
        digest = hashlib.blake2b(digest_size=16)
        for item in self.annotations:
            text = name_and_size(item) if isinstance(item, Path) else json.dumps(item, sort_keys=True)
            digest.update(text.encode() + b"\n")
        return digest.digest()

    def refuse_problems(self, num_classes: int) -> None:
        """Read every annotation once. Raises: DataError naming all that are wrong."""
        problems = []
        for _, call in in_threads(partial(self._problems, num_classes), range(len(self))):
            problems += call.result()
        if problems:
            raise DataError(f"{len(problems):,} annotations cannot be used:\n{listing(problems)}")

    def _problems(self, num_classes: int, index: int) -> list[str]:
        name, (height, width) = self.name(index), self.size(index)
        try:
            one = self.annotation(index)
        except DataError as error:
            return [str(error)]
        problems = []
        for what, masks in (("pixels", one.pixels), ("masks", one.masks)):
            if masks is not None and masks.shape[-2:] != (height, width) and masks.size:
                have = f"{masks.shape[-2]} x {masks.shape[-1]}"
                return [f"{name}: its {what} are {have}, the image is {height} x {width}"]
        if one.pixels is not None and len(wrong := np.setdiff1d(one.pixels, [*range(num_classes), IGNORED])):
            allowed = f"0 to {num_classes - 1}, or {IGNORED} for ignored"
            problems.append(f"{name}: pixels of class {wrong[0]}; allowed are {allowed}")
        if one.boxes is not None and one.labels is not None:
            for k, (x1, y1, x2, y2) in enumerate(one.boxes.tolist()):
                box = f"{name}: object {k + 1}: box {[x1, y1, x2, y2]}"
                if not (x1 < x2 and y1 < y2):
                    problems.append(f"{box} has no area")
                elif not (x1 >= -1 and y1 >= -1 and x2 <= width + 1 and y2 <= height + 1):  # rounded by a pixel
                    problems.append(f"{box} lies outside the image of {width} x {height} px")
            outside = [label for label in one.labels.tolist() if not 0 < label < num_classes]
            problems += [f"{name}: an object of class {label}; allowed are 1 to {num_classes - 1}" for label in outside]
        if one.masks is not None:
            empty = np.flatnonzero(~one.masks.any(axis=(1, 2)))
            problems += [f"{name}: object {k + 1}: its mask is empty" for k in empty.tolist()]
        return problems


def read_mask(path: Path) -> np.ndarray:
    """Return a picture of numbers, [H, W] uint8 or int32, as it is stored: a palette's indices, not its colours.

    Raises: DataError naming the file if it is none.
    """
    try:
        with open_regular(path) as file, Image.open(file, formats=("PNG",)) as image:
            if image.mode not in ("L", "P", "1", "I", "I;16"):
                raise DataError(f"{path}: must hold a number a pixel, got an image of mode {image.mode}")
            pixels = np.asarray(image)
    except (OSError, *DAMAGED, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    return pixels.astype(np.int32 if pixels.dtype.itemsize > 1 else np.uint8)
