"""Fused augmentation beside torchvision's own operations, with the same numbers drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tf

from datasets.draws import Draws
from datasets.fused.chain import FusedChain

SIZE, NUMBER = (48, 60), 24
BILINEAR = InterpolationMode.BILINEAR
ROWS, VIEWS = np.arange(NUMBER), np.zeros(NUMBER, dtype=np.int64)


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    """Smooth colours with some grain, as photographs have."""
    random = np.random.default_rng(0)
    coarse = random.integers(20, 236, (NUMBER, 6, 7, 3), dtype=np.uint8)
    smooth = [np.asarray(Image.fromarray(each).resize(SIZE[::-1], Image.Resampling.BICUBIC)) for each in coarse]
    return np.clip(np.stack(smooth) + random.normal(0, 3, (NUMBER, *SIZE, 3)), 0, 255).astype(np.uint8)


def drawn_by(chain: FusedChain, epoch: int = 0) -> list[dict[str, Any]]:
    """Return what the single operation of a chain draws for each image."""
    place, operation = [*chain.geometry, *chain.colours][0]
    uniform = Draws(0, NUMBER)(epoch, ROWS, VIEWS, place, max(operation.number, 1))
    values = operation.parameters(uniform)
    return [{name: each[n].tolist() for name, each in values.items()} for n in range(NUMBER)]


def fused(chain: FusedChain, images: np.ndarray, epoch: int = 0) -> Tensor:
    """Shapes: images [M, H, W, C] -> [M, C, h, w] uint8."""
    return chain.on_cpu(images, chain.draw(Draws(0, len(images)), epoch, ROWS[: len(images)], VIEWS[: len(images)]))


def affine(image: Any, d: dict, interpolation: InterpolationMode = InterpolationMode.NEAREST) -> Any:
    shifts, shears = [d["x_shift"], d["y_shift"]], [d["x_shear"], d["y_shear"]]
    return tf.affine(image, d["angle"], [int(s) for s in shifts], d["scale"], shears, interpolation)


def resized_crop(image: Any, d: dict) -> Any:
    return tf.resized_crop(image, d["top"], d["left"], d["height"], d["width"], [40, 44], BILINEAR)


def jitter(image: Any, d: dict) -> Any:
    for place in d["order"]:
        name = ("brightness", "contrast", "saturation", "hue")[place]
        if d[name] != (name != "hue"):  # 1, or of a hue 0, is not asked for
            image = getattr(tf, f"adjust_{name}")(image, d[name])
    return image


AFFINE = {"degrees": 25, "translate": (0.1, 0.1), "scale": (0.9, 1.1), "shear": 8}
OPERATIONS: dict[str, tuple[Any, Any, float, float]] = {
    # torchvision's transform, its function, allowed mean and 99 % quantile of the difference, of 255
    "RandomHorizontalFlip": (T.RandomHorizontalFlip(), lambda i, d: tf.hflip(i) if d["flip"] else i, 0, 0),
    "RandomVerticalFlip": (T.RandomVerticalFlip(), lambda i, d: tf.vflip(i) if d["flip"] else i, 0, 0),
    "RandomAffine nearest": (T.RandomAffine(**AFFINE), affine, 0.5, 10),
    "RandomAffine bilinear": (
        T.RandomAffine(**AFFINE, interpolation=BILINEAR),
        lambda i, d: affine(i, d, BILINEAR),
        2.0,  # at the rim OpenCV mixes with what is outside, Pillow does not
        60,
    ),
    "RandomRotation": (
        T.RandomRotation(40, BILINEAR),
        lambda i, d: tf.rotate(i, d["angle"], BILINEAR),
        2.0,
        60,
    ),
    "RandomCrop": (
        T.RandomCrop(40, padding=4),
        lambda i, d: tf.crop(tf.pad(i, [4]), d["top"], d["left"], 40, 40),
        0,
        0,
    ),
    "RandomCrop reflect": (
        T.RandomCrop((40, 44), padding=(3, 5), padding_mode="reflect"),
        lambda i, d: tf.crop(tf.pad(i, [3, 5], padding_mode="reflect"), d["top"], d["left"], 40, 44),
        0,
        0,
    ),
    "Pad": (T.Pad((1, 2, 3, 4), fill=(10, 20, 30)), lambda i, d: tf.pad(i, [1, 2, 3, 4], (10, 20, 30)), 0, 0),
    "CenterCrop": (T.CenterCrop((31, 40)), lambda i, d: tf.center_crop(i, [31, 40]), 0, 0),
    "Resize up": (T.Resize((64, 90)), lambda i, d: tf.resize(i, [64, 90]), 0.4, 2),
    "Resize down": (T.Resize((40, 44)), lambda i, d: tf.resize(i, [40, 44]), 1.0, 4),
    "RandomResizedCrop": (T.RandomResizedCrop((40, 44)), resized_crop, 0.5, 4),
    "Grayscale": (T.Grayscale(3), lambda i, d: tf.rgb_to_grayscale(i, 3), 0.5, 1),
    "RandomGrayscale": (
        T.RandomGrayscale(0.5),
        lambda i, d: tf.rgb_to_grayscale(i, 3) if d["applied"] else i,
        0.5,
        1,
    ),
    "RandomInvert": (T.RandomInvert(), lambda i, d: tf.invert(i) if d["applied"] else i, 0, 0),
    "brightness": (T.ColorJitter(brightness=0.4), jitter, 0.7, 1),
    "contrast": (T.ColorJitter(contrast=0.4), jitter, 0.7, 1),
    "saturation": (T.ColorJitter(saturation=0.4), jitter, 0.7, 1),
    "hue": (T.ColorJitter(hue=0.1), jitter, 10, 60),
    "ColorJitter": (T.ColorJitter(0.2, 0.2, 0.2, 0.1), jitter, 10, 60),
}


def differences(name: str, photos: np.ndarray) -> np.ndarray:
    """Return |fused - torchvision|, of 255. Shapes: [M, C, h, w]."""
    transform, function, _, _ = OPERATIONS[name]
    chain = FusedChain([transform], SIZE, 3)
    ours = fused(chain, photos).numpy().astype(int)
    pairs = zip(photos, drawn_by(chain), strict=True)
    theirs = np.stack([np.asarray(function(Image.fromarray(image), drawn)) for image, drawn in pairs])
    return abs(ours - theirs.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_is_torchvision_s_with_the_same_numbers(name, photos):
    found = differences(name, photos)
    _, _, mean, quantile = OPERATIONS[name]
    assert found.mean() <= mean
    assert np.quantile(found, 0.99) <= quantile
