"""What the network sees is a pure function of (seed, epoch, row, view)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from datasets.augmentation.transforms import build_transforms
from datasets.base import ImageTable
from datasets.preprocessing import Preprocessing
from datasets.stream.image_stream import ImageStream
from training.names import OF_OBJECTS, transforms
from utils.types import ConfigError

IMAGE_CHAIN = {
    "RandomHorizontalFlip": {},
    "RandomAffine": {"degrees": 25, "translate": [0.1, 0.1], "shear": 8},
    "ColorJitter": {"brightness": 0.2, "hue": 0.1},
    "RandomChoice": {"transforms": {"RandomVerticalFlip": {"p": 1.0}, "RandomGrayscale": {"p": 1.0}}},
}
IMAGE_CHAIN_FUSED = {"RandomHorizontalFlip": {}, "RandomCrop": {"size": [20, 16], "padding": 3}}
TENSOR_CHAIN = {"RandomErasing": {"p": 0.5}}


@pytest.fixture
def table() -> ImageTable:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 20, 16, 3), dtype=np.uint8)
    boxes = np.tile([[4, 2, 12, 18]], (12, 1))
    return ImageTable(pixels, np.arange(12) % 3, boxes)


def augmented(table: ImageTable, **options) -> ImageStream:
    options = {"seed": 0, "image_augmentations": IMAGE_CHAIN, "tensor_augmentations": TENSOR_CHAIN} | options
    return ImageStream(table, range(12), Preprocessing((20, 16)), **options)


def test_pixels_depend_on_seed_epoch_row_and_view_and_nothing_else(table):
    first, again = augmented(table, views=2), augmented(table, views=2)
    reference = {(e, n): first[(e, n)].image for e in range(3) for n in range(12)}
    torch.manual_seed(99)
    for key in reversed(reference):
        assert torch.equal(again[key].image, reference[key])
    for views in reference.values():
        assert not torch.equal(views[0], views[1])
    assert not torch.equal(reference[0, 0], reference[1, 0])
    assert not torch.equal(augmented(table, seed=1, views=2)[(0, 0)].image, reference[0, 0])
    assert torch.equal(augmented(table, views=1)[(0, 3)].image[0], augmented(table, views=3)[(0, 3)].image[0])


def test_row_decides_not_its_place_among_the_rows(table):
    part = ImageStream(table, [7, 3], Preprocessing((20, 16)), image_augmentations=IMAGE_CHAIN)
    whole = ImageStream(table, range(12), Preprocessing((20, 16)), image_augmentations=IMAGE_CHAIN)
    assert torch.equal(part[(1, 1)].image, whole[(1, 3)].image)
    assert int(part[(1, 1)].index) == 3
    assert part[(1, 1)].target == 0


def test_workers_do_not_change_pixels(table):
    stream = augmented(table)
    finish: Any = stream.finish
    loaders = (DataLoader(stream, 5, num_workers=workers, collate_fn=finish) for workers in (0, 2))
    here, there = ([*loader] for loader in loaders)
    for a, b in zip(here, there, strict=True):
        assert torch.equal(a.image, b.image)
    assert type(here[0]).__name__ == "Batch"
    assert here[0].image.shape == (5, 1, 3, 20, 16)
    assert (here[0].target.tolist(), here[0].index.tolist()) == ([0, 1, 2, 0, 1], [0, 1, 2, 3, 4])


def test_normalization_is_undone_for_pictures(table):
    plain = Preprocessing((20, 16))
    normal = Preprocessing((20, 16), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    raw, normalized = (ImageStream(table, range(12), p)[0].image[0] for p in (plain, normal))
    expected = (raw - torch.tensor([0.4, 0.5, 0.6])[:, None, None]) / torch.tensor([0.2, 0.3, 0.4])[:, None, None]
    torch.testing.assert_close(normalized, expected)
    torch.testing.assert_close(normal.denormalize(normalized), raw)


def test_crop_is_the_box_and_erasing_keeps_the_frame(table):
    cropped = ImageStream(table, range(12), Preprocessing(None, crop=True))[2].image[0]
    erased = ImageStream(table, range(12), Preprocessing(None, crop=True, erase=True))[2].image[0]
    whole = ImageStream(table, range(12), Preprocessing(None))[2].image[0]
    assert torch.equal((whole * 255).round().to(torch.uint8), torch.from_numpy(table.images[2]).permute(2, 0, 1))
    assert torch.equal(cropped, whole[:, 2:18, 4:12])
    assert erased.shape == whole.shape
    assert torch.equal(erased[:, 2:18, 4:12], cropped)
    assert erased.sum() == cropped.sum()
    white = ImageStream(table, range(12), Preprocessing(None, crop=True, erase="white"))[2].image[0]
    assert torch.equal(white[:, 2:18, 4:12], cropped)
    assert (white.sum() - cropped.sum()).item() == pytest.approx(3 * (20 * 16 - 16 * 8), rel=1e-5)


def test_grayscale_is_one_channel_and_leaves_gray_images_as_they_are():
    gray = ImageTable(np.arange(64, dtype=np.uint8).reshape(1, 8, 8), np.zeros(1, int))
    view = ImageStream(gray, [0], Preprocessing(None, grayscale=True))[0].image[0]
    assert view.shape == (1, 8, 8)
    assert torch.equal((view[0] * 255).round().to(torch.uint8), torch.from_numpy(gray.images[0]))
    assert ImageStream(gray, [0], Preprocessing(None))[0].image.shape == (1, 3, 8, 8)


def test_resize_is_pil_s_antialiased_bilinear(table):
    view = ImageStream(table, range(12), Preprocessing((7, 9)))[0].image[0]
    expected = Image.fromarray(table.images[0]).resize((9, 7), Image.Resampling.BILINEAR)
    difference = (view * 255).numpy() - np.array(expected).transpose(2, 0, 1)
    assert abs(difference).max() < 1.01  # of 255: torch's fixed-point arithmetic is not quite Pillow's
    assert abs(difference).mean() < 0.05


# ----------------------------------------------------------------------------------------------------- transforms

PARAMS = {
    "CenterCrop": {"size": 8},
    "Pad": {"padding": 2},
    "RandomAdjustSharpness": {"sharpness_factor": 2.0},
    "RandomAffine": {"degrees": 10, "interpolation": "bilinear"},
    "RandomApply": {"transforms": {"RandomHorizontalFlip": {"p": 1.0}}},
    "RandomChoice": {"transforms": {"RandomHorizontalFlip": {"p": 1.0}}},
    "RandomCrop": {"size": 8},
    "RandomOrder": {"transforms": {"RandomHorizontalFlip": {"p": 1.0}}},
    "RandomPosterize": {"bits": 2},
    "RandomResizedCrop": {"size": [8, 8]},
    "RandomRotation": {"degrees": 10},
    "RandomSolarize": {"threshold": 0.5},
    "Resize": {"size": [8, 8]},
    "GaussianBlur": {"kernel_size": 3},
}


@pytest.mark.parametrize("name", [name for name in transforms() if name not in OF_OBJECTS])
def test_every_transform_by_name_works_on_a_tensor(name):
    (transform,) = build_transforms({name: PARAMS.get(name, {})}, "image_augmentations")
    image = (torch.rand(3, 64, 64) * 255).to(torch.uint8)
    if name in ("RandomErasing", "RandomSolarize", "ElasticTransform"):
        image = image / 255
    assert transform(image).ndim == 3


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ({"RandomAffine": {}}, "image_augmentations.RandomAffine.degrees: missing"),
        ({"ColorJitter": {"brightnes": 1}}, "unknown parameter; did you mean 'brightness'"),
        ({"RandomErasing": {"scale": [0.1, 2]}}, "image_augmentations.RandomErasing.scale: must be two ascending"),
        ({"RandomAffine": {"degrees": 1, "interpolation": "best"}}, "interpolation: must be one of nearest, "),
    ],
)
def test_wrong_parameters_of_transforms_are_named(chain, message):
    with pytest.raises(ConfigError, match=message):
        build_transforms(chain, "image_augmentations")


# ------------------------------------------------------------------------------------------------- on an accelerator


def test_what_is_augmented_where_the_batch_lies_is_what_the_loader_would_augment(table):
    chain = {
        "image_augmentations": IMAGE_CHAIN_FUSED,
        "tensor_augmentations": {"RandomErasing": {"p": 0.5}, "CutOut": {"length": 5}},
        "views": 2,
    }
    here, there = augmented(table, **chain), augmented(table, **chain)
    there.on_device = True
    keys = [(2, n, n % 3) for n in range(12)]
    loaded = there.__getitems__(keys)
    assert loaded.image is not None
    assert loaded.image.shape == (12, 1, 3, 20, 16)
    assert loaded.image.dtype == torch.uint8
    ours, theirs = here.finish(here.__getitems__(keys)), there.finish(loaded)
    assert ours.image.shape == theirs.image.shape == (12, 2, 3, 20, 16)
    torch.testing.assert_close(ours.image, theirs.image)
    assert torch.equal(torch.as_tensor(ours.index), torch.as_tensor(theirs.index))


@pytest.mark.parametrize("chain", [IMAGE_CHAIN_FUSED, {}])
def test_a_set_that_lies_on_the_device_gives_the_same_batches(table, chain):
    table = ImageTable(table.images, table.labels)
    here, there = (augmented(table, image_augmentations=chain, tensor_augmentations=None, views=2) for _ in range(2))
    there.on_device, there.resident = True, torch.from_numpy(np.array(table.images)).permute(0, 3, 1, 2)
    keys = [(1, n) for n in (4, 0, 11)]
    loaded = there.__getitems__(keys)
    assert loaded.image is None
    torch.testing.assert_close(there.finish(loaded).image, here.finish(here.__getitems__(keys)).image)


def test_transforms_that_cannot_be_fused_run_one_by_one_and_say_so(table):
    stream = augmented(table, image_augmentations={"RandomPosterize": {"bits": 4}}, tensor_augmentations=None)
    assert stream.fused is None
    assert stream.not_fused == "RandomPosterize"
    assert augmented(table, backend="torchvision").not_fused is None
    with pytest.raises(ValueError, match="backend must be one of fused, torchvision, got 'fast'"):
        augmented(table, backend="fast")
