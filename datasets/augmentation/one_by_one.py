"""torchvision's own transforms, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as tf

from datasets.augmentation.transforms import alternates, is_late
from datasets.preprocessing import Preprocessing
from utils.seeding import derive_seed, seed_cpu


class OneByOne:
    """A chain as torchvision runs it: on PIL images, then on tensors, then on normalised tensors.

    Args:
        image_chain, tensor_chain: the transforms. Those that work on normalised tensors, such as CutOut, come last,
            wherever they stand.
        preprocessing: what normalises.
        seed: the run's.
    """

    def __init__(
        self, image_chain: Sequence[Any], tensor_chain: Sequence[Any], preprocessing: Preprocessing, seed: int
    ) -> None:
        self.image_chain, self.preprocessing, self.seed = image_chain, preprocessing, seed
        self.tensor_chain = [transform for transform in tensor_chain if not is_late(transform)]
        self.late_chain = [transform for transform in tensor_chain if is_late(transform)]

    def __call__(self, image: np.ndarray, epoch: int, index: int, view: int) -> Tensor:
        """Augment an image by random numbers that depend on (seed, epoch, index, view) alone.

        Shapes: [H, W, C] uint8 -> [C, h, w], uint8 or, where there are transforms of tensors, float32 and normalised.
        """
        start = derive_seed(self.seed, "alternate", index, view)

        def apply(transform: Any, image: Any) -> Any:
            return transform.at(image, start, epoch) if alternates(transform) else transform(image)

        seed_cpu(derive_seed(self.seed, "augment", epoch, index, view))
        augmented: Any = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
        for transform in self.image_chain:
            augmented = apply(transform, augmented)
        if not self.tensor_chain and not self.late_chain and isinstance(augmented, Image.Image):
            return tf.pil_to_tensor(augmented)
        tensor = augmented if isinstance(augmented, Tensor) else tf.to_tensor(augmented)
        for transform in self.tensor_chain:
            tensor = apply(transform, tensor)
        tensor = self.preprocessing.normalize(tensor)
        for transform in self.late_chain:
            tensor = transform(tensor)
        return tensor.to(torch.float32)
