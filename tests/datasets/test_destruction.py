"""Destroyed views: which patches move where, drawn from (seed, epoch, row), and an image cut by them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from datasets.base import ImageTable
from datasets.preprocessing import Preprocessing
from datasets.stream.destruction import JITTER, beside_destroyed, destroy, draw_places
from datasets.stream.draws import Draws
from datasets.stream.image_stream import ImageStream

ROWS = np.arange(50)


def places(epoch: int = 0, seed: int = 0, rows: np.ndarray = ROWS) -> np.ndarray:
    return draw_places(Draws(seed, 50), epoch, rows, np.zeros(len(rows), dtype=np.int64), 7)


def test_every_patch_lies_at_one_place_and_near_its_own():
    drawn = places()
    assert (np.sort(drawn, axis=1) == np.arange(49)).all()
    row, column = np.divmod(drawn, 7)
    at_row, at_column = np.divmod(np.arange(49), 7)
    assert abs(row - at_row).max() < 2 * JITTER
    assert abs(column - at_column).max() < 2 * JITTER
    assert 0.5 < (drawn != np.arange(49)).mean() < 1


def test_places_are_a_function_of_seed_epoch_and_row():
    drawn = places()
    assert (places(rows=ROWS[7:9]) == drawn[7:9]).all()
    assert (places(epoch=1) != drawn).any()
    assert (places(seed=1) != drawn).any()
    assert len(np.unique(drawn, axis=0)) == len(drawn)


def test_patches_are_moved_whole():
    image = torch.arange(2 * 3 * 8 * 12, dtype=torch.float32).reshape(2, 3, 8, 12)
    assert torch.equal(destroy(image, torch.arange(4).expand(2, 4)), image)
    moved = destroy(image, torch.tensor([[1, 0, 2, 3], [3, 2, 1, 0]]))
    assert torch.equal(moved[0, :, :4, :6], image[0, :, :4, 6:])
    assert torch.equal(moved[0, :, 4:], image[0, :, 4:])
    assert torch.equal(moved[1, :, :4, :6], image[1, :, 4:, 6:])


@pytest.mark.parametrize("size", [(7, 9), (16, 15)])
def test_a_size_that_the_grid_does_not_divide_is_kept(size):
    image = torch.rand(2, 3, *size)
    destroyed = destroy(image, torch.tensor([[1, 0, 2, 5, 4, 3, 6, 7, 8]]).expand(2, 9))
    assert destroyed.shape == image.shape
    assert 0 <= destroyed.min() <= destroyed.max() <= 1


def test_the_whole_image_stands_before_its_destroyed_view():
    image = torch.rand(2, 1, 3, 6, 6)
    both, extra = beside_destroyed(image, torch.tensor([[1, 0, 2, 3], [0, 1, 2, 3]]))
    assert torch.equal(both[:, :1], image)
    assert extra["destroyed"].tolist() == [[0, 1], [0, 1]]
    assert extra["places"].tolist() == [[[0, 1, 2, 3], [1, 0, 2, 3]], [[0, 1, 2, 3], [0, 1, 2, 3]]]


@pytest.mark.parametrize("chain", [None, {"RandomAffine": {"degrees": 20}}])
@pytest.mark.parametrize("on_device", [False, True])
def test_a_stream_destroys_what_it_has_augmented(chain, on_device):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 14, 14, 3), dtype=np.uint8)
    table = ImageTable(pixels, np.arange(5))
    stream = ImageStream(table, range(5), Preprocessing(None), tensor_augmentations=chain, seed=3, grid=7)
    plain = ImageStream(table, range(5), Preprocessing(None), tensor_augmentations=chain, seed=3)
    stream.on_device = on_device
    batch = stream.finish(stream.__getitems__([(4, 0), (4, 3)]))
    whole = plain.finish(plain.__getitems__([(4, 0), (4, 3)])).image
    assert torch.allclose(batch.image[:, :1], whole, atol=1e-6)
    assert torch.equal(batch.image[:, 1], destroy(batch.image[:, 0], batch.extra["places"][:, 1]))
    assert torch.equal(stream[(4, 3)].extra["places"], batch.extra["places"][1])
    assert not plain[(4, 3)].extra
