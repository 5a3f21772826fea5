"""Channel statistics are those of all pixels pooled, by whatever route they are computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.base import ImageTable
from datasets.preprocessing import Preprocessing
from datasets.statistics import channel_statistics
from datasets.stream.image_stream import ImageStream

RNG = np.random.default_rng(0)


def in_memory(*shape: int) -> ImageTable:
    return ImageTable(
        np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8), np.zeros(shape[0], dtype=np.int64)
    )


@pytest.fixture
def on_disk(tmp_path: Path) -> ImageTable:
    """Images of different sizes and brightness: a mean of means would differ from the pooled mean."""
    paths = []
    for number, (height, width) in enumerate([(4, 5), (30, 40), (17, 9)]):
        paths.append(tmp_path / f"{number}.png")
        pixels = RNG.integers(40 * number, 120 + 40 * number, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(paths[-1])
    boxes = np.array([[0, 0, 5, 2], [10, 5, 30, 25], [1, 1, 8, 16]])
    return ImageTable(paths, np.zeros(3, dtype=np.int64), boxes)


def pooled(images: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.concatenate([np.atleast_3d(image).reshape(-1, np.atleast_3d(image).shape[-1]) for image in images])
    return (pixels / 255).mean(axis=0), (pixels / 255).std(axis=0)


def test_pooled_over_pixels_of_images_of_all_sizes(on_disk: ImageTable) -> None:
    mean, std = channel_statistics(on_disk)
    expected = pooled([np.asarray(on_disk.load(row)) for row in range(3)])
    assert mean == pytest.approx(expected[0], rel=1e-12)
    assert std == pytest.approx(expected[1], rel=1e-12)
    gray = channel_statistics(on_disk, grayscale=True)
    expected = pooled([np.asarray(on_disk.load(row).convert("L")) for row in range(3)])
    assert np.concatenate(gray) == pytest.approx(np.concatenate(expected), rel=1e-12)
    one, three = (channel_statistics(in_memory(5, 8, 8), grayscale=kind) for kind in (True, False))
    assert np.concatenate(three) == pytest.approx(np.repeat(one, 3), rel=1e-12)
    with pytest.raises(ValueError, match="no images"):
        channel_statistics(in_memory(0, 8, 8))


@pytest.mark.parametrize("grayscale", [False, True])
@pytest.mark.parametrize(("crop", "erase"), [(False, False), (True, False), (True, True)])
def test_training_normalised_by_them_has_mean_0_and_deviation_1(
    on_disk: ImageTable, grayscale: bool, crop: bool, erase: bool
) -> None:
    size = (12, 10)
    mean, std = channel_statistics(on_disk, size, grayscale, crop=crop, erase=erase)
    stream = ImageStream(on_disk, range(3), Preprocessing(size, grayscale, mean, std, crop, erase))
    pixels = torch.stack([stream[row].image[0].double() for row in range(3)])
    assert pixels.mean(dim=(0, 2, 3)).numpy() == pytest.approx(np.zeros(len(mean)), abs=1e-6)
    assert pixels.std(dim=(0, 2, 3), correction=0).numpy() == pytest.approx(np.ones(len(mean)), abs=1e-6)
