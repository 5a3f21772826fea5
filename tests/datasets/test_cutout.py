"""CutOut: one square of zeros after normalisation, wherever it stands in the chain."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from datasets.augmentation.transforms import CutOut, build_transforms
from datasets.base import ImageTable
from datasets.preprocessing import Preprocessing
from datasets.stream.image_stream import ImageStream
from utils.types import ConfigError


@pytest.mark.parametrize("length", [1, 4, 5, 30])
def test_the_cut_is_a_square_around_a_centre_in_the_image(length):
    torch.manual_seed(0)
    corners = set()
    for _ in range(200):
        cut = CutOut(length)(torch.ones(3, 10, 12))
        assert torch.equal(cut[0], cut[1])
        rows, columns = (cut[0] == 0).any(dim=1).nonzero().flatten(), (cut[0] == 0).any(dim=0).nonzero().flatten()
        assert (cut[0] == 0).sum() == len(rows) * len(columns)
        for places, side in ((rows, 10), (columns, 12)):
            assert min(length, side, (length + 1) // 2) <= len(places) <= min(length, side)
            inside = places.min() > 0 and places.max() < side - 1
            assert len(places) == length or not inside
        corners.add((int(rows.min()), int(columns.min())))
    assert len(corners) > 20 or length == 30


def test_every_pixel_is_as_likely_a_centre():
    torch.manual_seed(0)
    image = torch.ones(1, 8, 8)
    CutOut(4)(image)
    assert image.sum() == 64  # what it is given stays
    counts = sum((CutOut(1)(torch.ones(1, 4, 4)) == 0).int() for _ in range(4000))
    assert isinstance(counts, torch.Tensor)
    assert counts.sum() == 4000
    assert counts.float().std() < 3 * (4000 / 16) ** 0.5


@pytest.fixture
def table() -> ImageTable:
    return ImageTable(np.full((6, 16, 16, 3), 200, dtype=np.uint8), np.zeros(6, int))


def stream(table: ImageTable, **chain) -> ImageStream:
    preprocessing = Preprocessing(None, mean=(0.3, 0.4, 0.5), std=(0.2, 0.2, 0.2))
    return ImageStream(table, range(6), preprocessing, tensor_augmentations=chain)


def test_the_cut_is_0_after_normalisation_wherever_it_stands(table):
    for chain in ({"CutOut": {"length": 6}, "RandomErasing": {"p": 0.0}}, {"CutOut": {"length": 6}}):
        image = stream(table, **chain)[0].image[0]
        assert 9 <= (image == 0).all(dim=0).sum() <= 36
        torch.testing.assert_close(image[:, image[0] != 0][:, 0], (200 / 255 - torch.tensor([0.3, 0.4, 0.5])) / 0.2)


def test_the_cut_depends_on_seed_epoch_row_and_view_alone(table):
    first = stream(table, CutOut={"length": 6})[(1, 2)].image
    torch.manual_seed(5)
    assert torch.equal(stream(table, CutOut={"length": 6})[(1, 2)].image, first)
    others = [stream(table, CutOut={"length": 6})[key].image for key in ((1, 2, 1), (1, 3), (2, 2))]
    assert not any(torch.equal(other, first) for other in others)


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ({"CutOut": {"length": 0}}, "CutOut refuses its parameters: length must be >= 1, got 0"),
        ({"CutOut": {"length": 2.5}}, r"tensor_augmentations.CutOut.length: must be a whole number, got 2.5"),
        ({"CutOut": {"size": 3}}, r"tensor_augmentations.CutOut.size: unknown parameter .*\(allowed: length\)"),
        (
            {"RandomApply": {"transforms": {"CutOut": {}}}},
            r"tensor_augmentations.RandomApply.transforms.CutOut: comes after normalisation, so not inside RandomApply",
        ),
        (
            {"RandomApply": {"transforms": {"CutOt": {}}}},
            r"tensor_augmentations.RandomApply.transforms.CutOt: unknown transform 'CutOt'; did you mean 'CutOut'\?",
        ),
    ],
)
def test_what_cannot_be_cut_is_refused(chain, message):
    with pytest.raises(ConfigError, match=message):
        build_transforms(chain, "tensor_augmentations")
