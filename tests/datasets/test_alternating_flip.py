"""AlternatingFlip: each image mirrored in every other epoch, by both backends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from datasets.augmentation.transforms import build_transforms
from datasets.base import ImageTable
from datasets.preprocessing import Preprocessing
from datasets.stream.image_stream import ImageStream
from utils.types import ConfigError

COUNT = 200
EPOCHS = range(5)


def mirrored(epoch: int, backend: str, seed: int = 0, chain: str = "image_augmentations", views: int = 2) -> np.ndarray:
    """Return which views of which images an epoch mirrors. Shapes: [COUNT, views] bool."""
    pixels = np.zeros((COUNT, 4, 4, 1), dtype=np.uint8)
    pixels[:, :, 0] = 255  # bright at the left
    table = ImageTable(pixels, np.zeros(COUNT, int))
    preprocessing = Preprocessing(None, grayscale=True)
    chains: dict[str, Any] = {chain: {"AlternatingFlip": {}}}
    stream = ImageStream(table, range(COUNT), preprocessing, views=views, seed=seed, backend=backend, **chains)
    assert stream.not_fused is None
    images = stream.finish(stream.__getitems__([(epoch, position, 0) for position in range(COUNT)])).image
    assert images.sum() == COUNT * views * 4
    return (images[..., 0, 0, 3] == 1).numpy()


@pytest.mark.parametrize("chain", ["image_augmentations", "tensor_augmentations"])
@pytest.mark.parametrize("backend", ["fused", "torchvision"])
def test_each_view_of_an_image_is_mirrored_in_every_other_epoch(backend, chain):
    first = mirrored(0, backend, chain=chain)
    for epoch in EPOCHS:
        assert np.array_equal(mirrored(epoch, backend, chain=chain), first ^ (epoch % 2 == 1))
    assert 0.4 < first.mean() < 0.6
    assert 0.35 < (first[:, 0] ^ first[:, 1]).mean() < 0.65
    assert 0.35 < (first ^ mirrored(0, backend, seed=1, chain=chain)).mean() < 0.65


def test_it_cannot_stand_inside_a_transform_of_transforms():
    chain = {"RandomApply": {"transforms": {"AlternatingFlip": {}}}}
    text = r"RandomApply\.transforms\.AlternatingFlip: alternates with the epochs, so not inside RandomApply"
    with pytest.raises(ConfigError, match=text):
        build_transforms(chain, "image_augmentations")
