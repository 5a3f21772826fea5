"""Images as the network sees them: loaded, cropped, resized, augmented, normalised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import functional as tf

from datasets.augmentation import build_transforms, is_late
from datasets.base import ImageTable
from datasets.sampling import Key
from datasets.sequences import targets
from utils.schema import Configuration
from utils.seeding import derive_seed, seed_cpu
from utils.types import Batch


@dataclass(frozen=True)
class Preprocessing:
    """What is done alike to every image of a part, before any augmentation.

    Args:
        size: height and width, or None to keep the image's.
        grayscale: one channel instead of three.
        mean, std: per channel, on 0 to 1; None to leave pixels as they are.
        crop: cut the image to its box.
        erase: with `crop`: keep the frame and paint what is outside the box black instead of cutting.
    """

    size: tuple[int, int] | None
    grayscale: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    crop: bool = False
    erase: bool = False

    @classmethod
    def of(cls, config: Configuration, training: bool) -> Preprocessing:
        """Return what a configuration asks for; boxes apply to training images unless it says "all"."""
        params = config.normalization
        return cls(
            size=config.size,
            grayscale=config.convert_to_grayscale,
            mean=tuple(params.mean) if params else None,
            std=tuple(params.std) if params else None,
            crop=config.crop_to_bboxes == "all" or (training and config.crop_to_bboxes is True),
            erase=config.erase_background,
        )

    def prepare(self, image: Image.Image, box: np.ndarray | None) -> Image.Image:
        """Crop, resize and convert. Bilinear with antialiasing, as torchvision's Resize on PIL images."""
        if not (self.grayscale and image.mode == "L"):
            image = image.convert("RGB")
        if self.crop and box is not None:
            left, top, right, bottom = (int(edge) for edge in box)
            inside = image.crop((left, top, right, bottom))
            if self.erase:
                image = Image.new(image.mode, image.size)
                image.paste(inside, (left, top))
            else:
                image = inside
        if self.size is not None and (image.height, image.width) != self.size:
            image = image.resize((self.size[1], self.size[0]), Image.Resampling.BILINEAR)
        return image.convert("L") if self.grayscale else image

    def normalize(self, image: Tensor) -> Tensor:
        """Shapes: [..., C, H, W] on 0 to 1 -> the same, normalised."""
        if self.mean is None or self.std is None:
            return image
        return tf.normalize(image, list(self.mean), list(self.std))

    def denormalize(self, image: Tensor) -> Tensor:
        """Undo `normalize`, for pictures."""
        if self.mean is None or self.std is None:
            return image
        mean, std = (torch.tensor(values, dtype=image.dtype)[:, None, None] for values in (self.mean, self.std))
        return image * std + mean


class ImageStream(Dataset[Batch]):
    """Rows of a table as samples.

    What a sample looks like depends on (seed, epoch, row, view) alone. Repeats of a row in an epoch are further views.

    Args:
        table: the part of the data set.
        rows: which of its rows, [N]; sample n is row rows[n].
        preprocessing: what is done alike to all.
        image_augmentations, tensor_augmentations: chains of transforms, before and after the conversion to a tensor.
            Those that work on normalised tensors, such as CutOut, come last, wherever they stand.
        views: replicas of each image, each augmented on its own.
        seed: the run's seed.
    """

    def __init__(
        self,
        table: ImageTable,
        rows: Sequence[int] | np.ndarray,
        preprocessing: Preprocessing,
        *,
        image_augmentations: dict | None = None,
        tensor_augmentations: dict | None = None,
        views: int = 1,
        seed: int = 0,
    ) -> None:
        self.table, self.rows, self.preprocessing = table, np.asarray(rows, dtype=np.int64), preprocessing
        self.image_chain = build_transforms(image_augmentations or {}, "image_augmentations")
        chain = build_transforms(tensor_augmentations or {}, "tensor_augmentations")
        self.tensor_chain = [transform for transform in chain if not is_late(transform)]
        self.late_chain = [transform for transform in chain if is_late(transform)]
        self.views, self.seed = views, seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | Key) -> Batch:
        """Return sample `position`, or one of `EpochBatches`.

        Shapes: image [V, C, H, W], target [], or a text's labels [L] and length [], index [].
        """
        epoch, position, *repeats = key if isinstance(key, tuple) else (0, key)
        first = self.views * (repeats[0] if repeats else 0)
        row = int(self.rows[position])
        box = None if self.table.boxes is None else self.table.boxes[row]
        image = self.preprocessing.prepare(self.table.load(row), box)
        views = torch.stack([self._view(image, epoch, row, first + view) for view in range(self.views)])
        return Batch(views, targets(self.table, row), torch.tensor(row))

    def _view(self, image: Image.Image, epoch: int, row: int, view: int) -> Tensor:
        if self.image_chain or self.tensor_chain or self.late_chain:
            seed_cpu(derive_seed(self.seed, "augment", epoch, row, view))
        for transform in self.image_chain:
            image = transform(image)
        tensor = tf.to_tensor(image)
        for transform in self.tensor_chain:
            tensor = transform(tensor)
        tensor = self.preprocessing.normalize(tensor)
        for transform in self.late_chain:
            tensor = transform(tensor)
        return tensor
