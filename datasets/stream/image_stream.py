"""Images as the network sees them: loaded, cropped, resized, augmented, normalised."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import RandomResizedCrop, Resize

from datasets.augmentation.fused.chain import Drawn, FusedChain
from datasets.augmentation.fused.operation import NotFusable
from datasets.augmentation.fused.rectangles import most_pixels
from datasets.augmentation.transforms import OneByOne, build_transforms, is_late
from datasets.base import ImageTable
from datasets.preprocessing import Preprocessing
from datasets.sequences import targets
from datasets.stream.destruction import beside_destroyed, draw_places
from datasets.stream.draws import Draws
from datasets.stream.sampling import Key
from losses.contract import Batch, Sequences
from utils.types import DataError

BACKENDS = ("fused", "torchvision")
SMALL = 2**14
"""Bytes of an image; up to here the images of a batch are gathered in one go, beyond each is read where it lies."""


class Loaded(NamedTuple):
    """A batch on its way from the loader to the device, where `ImageStream.finish` makes a `Batch` of it.

    Shapes: image [B, V, C, H, W], uint8 pixels or float32 if already normalised; with `drawn` not yet augmented, and
    [B, 1, C, H, W] unless each view was cut from the original; None where the pixels lie on the device; boxes
    [B*V, E, 4], what is still to be erased; places [B, n * n], the patches of the destroyed view, if there is one.
    """

    image: Tensor | None
    target: Tensor | Sequences
    index: Tensor
    boxes: Tensor | None = None
    drawn: Drawn | None = None
    places: Tensor | None = None


class ImageStream(Dataset[Batch]):
    """Images of a table as samples.

    A sample's pixels depend on (seed, epoch, index, view) alone. Repeats of an index in an epoch are further views.

    Args:
        table: the part of the data set.
        rows: the indices of its images, [N]; sample n is the image of index rows[n].
        preprocessing: what is done alike to all.
        image_augmentations, tensor_augmentations: chains of transforms, before and after the conversion to a tensor.
            Those that work on normalised tensors, such as CutOut, come last, wherever they stand. A chain that
            `crops_originals` is given the images as they are stored, not resized.
        views: replicas of each image, each augmented on its own.
        seed: the run's seed.
        grid: patches, in height and in width, of a destroyed view behind the only other one; 0 for none.
        backend: "fused" does all transforms in one pass where it can, "torchvision" one by one.

    Attributes:
        fused: the fused chain, or None. not_fused: why it is None although it was asked for.
        crops_originals: RandomResizedCrop cuts from the images as they are stored, which would else be resized first.
        pixels: the prepared images of all rows, uint8 [N, H, W, C] or of many sizes, where they are kept; else each is
            loaded every time.
        on_device: leave the pixels to `finish`, which then augments them where they lie.
        resident: `pixels` where batches are used, [N, C, H, W]; then loaders send no pixels at all.
    """

    def __init__(
        self,
        table: ImageTable,
        rows: Sequence[int] | np.ndarray,
        preprocessing: Preprocessing,
        *,
        image_augmentations: dict | list | None = None,
        tensor_augmentations: dict | list | None = None,
        views: int = 1,
        seed: int = 0,
        grid: int = 0,
        backend: str = "fused",
    ) -> None:
        if backend not in BACKENDS:
            raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
        image_chain = build_transforms(image_augmentations or {}, "image_augmentations")
        self.table, self.rows = table, np.asarray(rows, dtype=np.int64)
        crop = _crop_of_originals(image_chain)
        self.crops_originals = crop is not None and _are_resized(table, self.rows, preprocessing)
        if self.crops_originals:
            preprocessing = replace(preprocessing, size=None, most_pixels=most_pixels(crop))
        self.preprocessing, self.views, self.seed, self.grid = preprocessing, 1 if grid else views, seed, grid
        self.draws = Draws(seed, len(table))
        self.pixels: Any = _prepared_pixels(table, preprocessing)
        self.on_device = False
        self.resident: Tensor | None = None
        tensor_chain = build_transforms(tensor_augmentations or {}, "tensor_augmentations")
        self.fused: FusedChain | None = None
        self.not_fused: str | None = None
        self.one_by_one: OneByOne | None = None
        if not image_chain and not tensor_chain:
            return
        if backend == "fused":
            try:
                chain = [*image_chain, *sorted(tensor_chain, key=is_late)]
                self.fused = FusedChain(chain, None if self.crops_originals else self._size(), preprocessing.channels)
                return
            except NotFusable as error:
                self.not_fused = str(error)
        self.one_by_one = OneByOne(image_chain, tensor_chain, preprocessing, seed)

    @property
    def needs_preparing(self) -> bool:
        """Whether each image is loaded and prepared every time that it is wanted."""
        return self.pixels is None

    def _size(self) -> tuple[int, int]:
        """Return height and width of the prepared images."""
        if self.preprocessing.size is not None:
            return self.preprocessing.size
        if self.preprocessing.crop and not self.preprocessing.erase and self.table.boxes is not None:
            raise NotFusable("images of many sizes")
        return self.table.size(int(self.rows[0]))

    def __len__(self) -> int:
        return len(self.rows)

    def unresized(self, position: int) -> np.ndarray:
        """Return the image of a position for a figure: cut to its box if the network sees it so, uint8 [H, W, C]."""
        return replace(self.preprocessing, size=None, most_pixels=None).load(self.table, int(self.rows[position]))

    def __getitem__(self, key: int | Key) -> Batch:
        """Return sample `position`, or one of `EpochBatches`.

        Shapes: image [V, C, H, W], target [], or a text's labels [L] and length [], index [].
        """
        image, target, index, extra = self.finish(self.__getitems__([key]))
        first = target[0] if isinstance(target, Tensor) else Sequences(target.labels[0], target.lengths[0])
        return Batch(image[0], first, index[0], {name: value[0] for name, value in extra.items()})

    def __getitems__(self, keys: Sequence[int | Key]) -> Loaded:
        """Return the samples of a step, as a loader's workers do. Its keys are of one epoch."""
        epoch, rows, first_views = self.places(keys)
        image, boxes, drawn = self._augmented(epoch, rows, first_views)
        places = None
        if self.grid:
            places = torch.from_numpy(draw_places(self.draws, epoch, rows, first_views, self.grid))
        return Loaded(image, targets(self.table, rows), torch.from_numpy(rows), boxes, drawn, places)

    def places(self, keys: Sequence[int | Key]) -> tuple[int, np.ndarray, np.ndarray]:
        """Return the epoch of some keys, and for each the row of the table and the number of its first view."""
        if not isinstance(keys[0], tuple):
            return 0, self.rows[np.asarray(keys)], np.zeros(len(keys), dtype=np.int64)
        places = np.asarray(keys)
        draws = places[:, 2] if places.shape[1] > 2 else np.zeros(len(keys), dtype=np.int64)
        return int(places[0, 0]), self.rows[places[:, 1]], self.views * draws

    def picture(self, key: int | Key) -> Tensor:
        """Return the first view of a sample for a figure. Shapes: -> [C, H, W] on 0 to 1."""
        return self.preprocessing.denormalize(self[key].image[0])

    def _pixels_of(self, rows: np.ndarray) -> np.ndarray | list[np.ndarray]:
        if self.pixels is None:
            return [self.preprocessing.load(self.table, index) for index in rows.tolist()]
        if not self.crops_originals and math.prod(self.pixels.shape[1:]) <= SMALL:
            return self.pixels[rows]
        return [self.pixels[index] for index in rows.tolist()]

    def _augmented(
        self, epoch: int, rows: np.ndarray, first_views: np.ndarray
    ) -> tuple[Tensor | None, Tensor | None, Drawn | None]:
        """Return the image of `Loaded`, its boxes, and what is left to do."""
        number, views = len(rows), self.views
        stays = self.resident is not None and self.one_by_one is None
        images = [] if stays else self._pixels_of(rows)
        if self.one_by_one is not None:
            samples = zip(images, rows.tolist(), first_views.tolist(), strict=True)
            augmented = [
                self.one_by_one(image, epoch, index, first + view)
                for image, index, first in samples
                for view in range(views)
            ]
            return torch.stack(augmented).unflatten(0, (number, views)), None, None
        if self.fused is None:
            if stays:
                return None, None, None
            return _as_planes(images).unsqueeze(1).expand(-1, views, -1, -1, -1), None, None
        all_views = (first_views[:, None] + np.arange(views)).ravel()
        drawn = self.fused.draw(self.draws, epoch, rows.repeat(views), all_views)
        boxes = drawn.boxes if self.fused.erasing else None
        if self.crops_originals:
            images = [image for image in images for _ in range(views)]
            images = self.fused.crop(images, self.draws, epoch, rows.repeat(views), all_views)
            if self.on_device:
                return _as_planes(images).unflatten(0, (number, views)), boxes, drawn
        elif self.on_device:
            return None if stays else _as_planes(images).unsqueeze(1), boxes, drawn
        return self.fused.on_cpu(images, drawn).unflatten(0, (number, views)), boxes, None

    def finish(self, loaded: Loaded, memory_format: torch.memory_format = torch.contiguous_format) -> Batch:
        """Do what is left, where the batch lies: augment it if that was left, normalise, erase, destroy."""
        image, target, index, boxes, drawn, places = loaded
        if image is None:
            assert self.resident is not None
            image = self.resident[index][:, None]
            if drawn is None:
                image = image.expand(-1, self.views, -1, -1, -1)
        number, flat = len(image), image.flatten(0, 1)
        if drawn is not None:
            assert self.fused is not None
            flat = self.fused.on_device(flat, drawn)
            flat = self.preprocessing.to_numbers(flat, memory_format)
        elif flat.dtype == torch.uint8:
            flat = self.preprocessing.to_numbers(flat, memory_format)
        if boxes is not None:
            assert self.fused is not None
            flat = self.fused.erase(flat, boxes, self.preprocessing.normalize)
        image = flat.unflatten(0, (number, -1))
        if places is None:
            return Batch(image, target, index)
        image, extra = beside_destroyed(image, places)
        return Batch(image, target, index, extra)


def _crop_of_originals(image_chain: Sequence[Any]) -> RandomResizedCrop | None:
    """Return the crop that is to see an image as it is stored: none if a Resize to a height and width comes before."""
    for transform in image_chain:
        if isinstance(transform, Resize) and not isinstance(transform.size, int) and len(transform.size) == 2:
            return None
        if isinstance(transform, RandomResizedCrop):
            return transform
    return None


def _are_resized(table: ImageTable, rows: np.ndarray, preprocessing: Preprocessing) -> bool:
    """Tell whether some images are of another size than the one they are prepared to."""
    target, stored = preprocessing.size, replace(preprocessing, size=None)
    try:
        return target is not None and any(stored.size_of(table, index) != target for index in rows.tolist())
    except DataError:
        return True  # reported with all others that do not decode


def _prepared_pixels(table: ImageTable, preprocessing: Preprocessing) -> np.ndarray | None:
    """Return the images of a table that is in memory and needs no preparation, uint8 [N, H, W, C]; else None."""
    if not isinstance(table.images, np.ndarray) or (preprocessing.crop and table.boxes is not None):
        return None
    images = table.images if table.images.ndim == 4 else table.images[..., None]
    fits = preprocessing.size in (None, images.shape[1:3]) and preprocessing.channels == images.shape[-1]
    return images if fits else None


def _as_planes(images: np.ndarray | list[np.ndarray]) -> Tensor:
    """Shapes: [B, H, W, C] -> [B, C, H, W], channels last in memory."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)
