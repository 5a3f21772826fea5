"""RandomResizedCrop cuts from the images as they are stored, whatever image_size the others are resized to."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms as T
from torchvision.transforms import functional as tf

from datasets import build_dataset
from datasets.augmentation.fused.rectangles import TRIES, draw_crops, most_pixels
from datasets.base import ImageTable
from datasets.data_module import DataModule
from datasets.preprocessing import Preprocessing
from datasets.stream.draws import Draws
from datasets.stream.image_stream import ImageStream
from utils.seeding import derive_seed, seed_cpu

CROP = {"RandomResizedCrop": {"size": [32, 24]}}
SIZES = [(90, 60), (60, 90), (400, 50), (50, 400), (33, 33), (200, 301), (10, 9), (32, 24)]


@pytest.fixture
def photos(tmp_path: Path) -> ImageTable:
    """Smooth images of many sizes and odd aspect ratios, without loss."""
    random = np.random.default_rng(0)
    paths = []
    for number, (height, width) in enumerate(SIZES):
        coarse = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8))
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(tmp_path / f"{number}.png")
        paths.append(tmp_path / f"{number}.png")
    boxes = np.array([[1, 1, width - 2, height - 1] for height, width in SIZES])
    return ImageTable(paths, np.arange(len(SIZES)) % 2, boxes)


def stream(table: ImageTable, chain: dict, size: tuple[int, int] | None = (32, 24), **options) -> ImageStream:
    preprocessing = Preprocessing(size, **{key: options.pop(key) for key in ("crop", "erase") if key in options})
    return ImageStream(table, range(len(table)), preprocessing, image_augmentations=chain, **options)


def levels(image: Tensor) -> Tensor:
    return (image * 255).round()


def expected_crop(table: ImageTable, row: int, epoch: int, view: int, transform: Any, place: int = 0) -> Any:
    """Return torchvision's crop of an original, with the numbers that the fused chain draws."""
    original: Any = table.load(row)
    uniform = Draws(0, len(table))(epoch, np.array([row]), np.array([view]), place, 4 * TRIES)
    drawn = draw_crops(transform, uniform, np.array([original.height]), np.array([original.width]))
    top, left, height, width = (int(drawn[name][0]) for name in ("top", "left", "height", "width"))
    return tf.resized_crop(original, top, left, height, width, list(transform.size), transform.interpolation)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_fused_cuts_what_torchvision_cuts_from_the_original(photos, interpolation):
    made = stream(photos, {"RandomResizedCrop": {"size": [32, 24], "interpolation": interpolation}}, views=2)
    assert made.fused is not None
    transform = T.RandomResizedCrop((32, 24), interpolation=T.InterpolationMode(interpolation))
    for epoch in range(4):
        for row in range(len(SIZES)):
            for view, image in enumerate(made[(epoch, row)].image):
                wanted = np.asarray(expected_crop(photos, row, epoch, view, transform)).transpose(2, 0, 1)
                off = np.abs(levels(image).numpy() - wanted)
                assert off.max() <= 2
                assert off.mean() < 0.2


def test_torchvision_backend_is_torchvision_on_the_original(photos):
    made = stream(photos, CROP | {"RandomHorizontalFlip": {}}, backend="torchvision")
    chain = T.Compose([T.RandomResizedCrop((32, 24)), T.RandomHorizontalFlip()])
    for row in range(len(SIZES)):
        seed_cpu(derive_seed(0, "augment", 1, row, 0))
        wanted = tf.pil_to_tensor(chain(photos.load(row)))
        assert torch.equal(levels(made[(1, row)].image[0]).to(torch.uint8), wanted)


def test_crops_are_distributed_as_torchvisions():
    transform, number = T.RandomResizedCrop(8), 2000
    for height, width in ((90, 60), (400, 50), (33, 33)):
        uniform = np.random.default_rng(0).random((number, 4 * TRIES))
        ours = draw_crops(transform, uniform, np.full(number, height), np.full(number, width))
        torch.manual_seed(0)
        blank = torch.empty(1, height, width)
        drawn = [transform.get_params(blank, list(transform.scale), list(transform.ratio)) for _ in range(number)]
        theirs = np.array(drawn, dtype=float)
        for column, name in enumerate(("top", "left", "height", "width")):
            spread = theirs[:, column].std() / math.sqrt(number)
            assert ours[name].mean() == pytest.approx(theirs[:, column].mean(), abs=6 * spread + 1e-9)
            assert ours[name].std() == pytest.approx(theirs[:, column].std(), rel=0.1, abs=1e-9)


def test_real_photographs_are_cut_as_torchvision_cuts_them(sample):
    data = build_dataset("flowers102", data_path=str(sample("flowers102")))
    rows = [row for row in range(0, len(data.train), 150) if data.train.size(row)[0] != data.train.size(row)[1]]
    table = data.train.select(np.array(rows))
    made = stream(table, {"RandomResizedCrop": {"size": 96}}, (96, 96))
    assert len(rows) > 8
    for row in range(len(rows)):
        wanted = np.asarray(expected_crop(table, row, 0, 0, T.RandomResizedCrop(96))).transpose(2, 0, 1)
        off = np.abs(levels(made[row].image[0]).numpy() - wanted)
        assert off.max() <= 2
        assert off.mean() < 0.3


@pytest.mark.parametrize("flip_first", [True, False])
def test_the_rest_of_the_chain_sees_the_crop(photos, flip_first):
    flip = {"RandomHorizontalFlip": {"p": 1.0}}
    made = stream(photos, flip | CROP if flip_first else CROP | flip)
    assert made.fused is not None
    for row in range(len(SIZES)):
        crop = expected_crop(photos, row, 2, 0, T.RandomResizedCrop((32, 24)), place=int(flip_first))
        wanted = torch.from_numpy(np.asarray(crop).copy()).permute(2, 0, 1).flip(-1)
        assert (levels(made[(2, row)].image[0]) - wanted).abs().max() <= 2


def test_large_originals_keep_the_pixels_that_the_smallest_crop_needs():
    assert most_pixels(T.RandomResizedCrop(224)) == 224 * 224 / 0.08
    assert most_pixels(T.RandomResizedCrop(32)) == 512 * 512
    large = np.zeros((1, 2560, 1280, 3), dtype=np.uint8)
    large[:, :1280] = 200
    table = ImageTable(large, np.zeros(1, int))
    made = stream(table, {"RandomResizedCrop": {"size": 256, "scale": [0.08, 0.08], "ratio": [1.0, 1.0]}}, (256, 256))
    assert made.crops_originals
    assert made.preprocessing.size_of(table, 0) == made.preprocessing.load(table, 0).shape[:2] == (1280, 640)
    transform = T.RandomResizedCrop(256, scale=(0.08, 0.08), ratio=(1.0, 1.0))
    for epoch in range(6):
        wanted = np.asarray(expected_crop(table, 0, epoch, 0, transform)).transpose(2, 0, 1)
        assert np.abs(levels(made[(epoch, 0)].image[0]).numpy() - wanted).mean() < 1  # half a pixel off at most


@pytest.mark.parametrize("erase", [False, True, "white"])
def test_crops_lie_within_the_box(photos, erase):
    made = stream(photos, CROP, crop=True, erase=erase)
    plain = Preprocessing(None, crop=True, erase=erase)
    for row in range(len(SIZES)):
        cut = Image.fromarray(plain.load(photos, row))
        uniform = Draws(0, len(photos))(0, np.array([row]), np.array([0]), 0, 4 * TRIES)
        drawn = draw_crops(T.RandomResizedCrop((32, 24)), uniform, np.array([cut.height]), np.array([cut.width]))
        box = [int(drawn[name][0]) for name in ("top", "left", "height", "width")]
        wanted = np.asarray(tf.resized_crop(cut, *box, [32, 24])).transpose(2, 0, 1)  # type: ignore[arg-type]
        assert np.abs(levels(made[row].image[0]).numpy() - wanted).max() <= 2


def test_images_of_the_right_size_are_cut_as_before(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 24, 3), dtype=np.uint8)
    chain = CROP | {"RandomHorizontalFlip": {}}
    sized, unsized = (stream(ImageTable(pixels, np.zeros(6, int)), chain, size) for size in ((32, 24), None))
    assert not sized.crops_originals
    assert sized.fused is not None
    assert sized.fused.cropping is None
    for row in range(6):
        assert torch.equal(sized[(3, row)].image, unsized[(3, row)].image)
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    files = stream(ImageTable(paths, np.zeros(6, int)), chain)
    assert not files.crops_originals
    assert torch.equal(files[(1, 4)].image, sized[(1, 4)].image)


@pytest.mark.parametrize(
    ("chain", "crops"),
    [
        (CROP, True),
        ({"ColorJitter": {"hue": 0.1}} | CROP, True),
        ({"Resize": {"size": [32, 24]}} | CROP, False),
        ({"RandomCrop": {"size": [20, 20]}}, False),
        ({"RandomApply": {"transforms": CROP}}, False),
    ],
)
def test_only_a_crop_that_sees_the_original_size_takes_the_original(photos, chain, crops):
    assert stream(photos, chain).crops_originals is crops
    assert stream(photos, chain)[(0, 1)].image.ndim == 4


def test_what_cannot_come_before_the_crop_is_done_by_torchvision(photos):
    nearest = {"RandomResizedCrop": {"size": [32, 24], "interpolation": "nearest"}}
    for chain, reason in (
        ({"ColorJitter": {"hue": 0.1}} | CROP, "ColorJitter (comes before a crop from images of many sizes)"),
        (nearest, "RandomResizedCrop (interpolation: nearest)"),
    ):
        made = stream(photos, chain)
        assert made.not_fused == reason
        assert made[(0, 2)].image.shape == (1, 3, 32, 24)


def test_an_accelerator_gets_the_crops(photos):
    chain = CROP | {"RandomHorizontalFlip": {}, "RandomAffine": {"degrees": 10, "interpolation": "bilinear"}}
    erasing = {"RandomErasing": {"p": 0.5}}
    here, there = (stream(photos, chain, views=2, tensor_augmentations=erasing) for _ in range(2))
    there.on_device = True
    keys = [(2, row, row % 2) for row in range(len(SIZES))]
    loaded = there.__getitems__(keys)
    assert loaded.image is not None
    assert loaded.image.shape == (len(SIZES), 2, 3, 32, 24)
    ours, theirs = here.finish(here.__getitems__(keys)), there.finish(loaded)
    assert (levels(ours.image) - levels(theirs.image)).abs().mean() < 1  # OpenCV rounds places
    alone = [here.finish(here.__getitems__([key])).image[0] for key in keys]
    assert torch.equal(torch.stack(alone), ours.image)


# ------------------------------------------------------------------------------------------------------- kept images


@pytest.fixture
def build(tmp_path, quick):
    """Return a function that builds the data of a run on photographs of many sizes."""
    random = np.random.default_rng(0)
    for part, name, number in ((p, n, i) for p in ("train", "test") for n in ("cat", "dog") for i in range(12)):
        height, width = (int(side) for side in random.integers(20, 60, 2))
        image = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
        path = tmp_path / "images" / part / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.convert("L" if number % 4 == 0 else "RGB").save(path)

    def module(**changes) -> DataModule:
        chain = "{RandomResizedCrop: {size: 16, scale: [0.5, 1.0]}, RandomHorizontalFlip: {}}"
        settings = {"dataset": "image_folder", "data_path": tmp_path / "images", "image_size": 16}
        settings |= {"convert_to_grayscale": "false", "augment_images": "true", "image_augmentations": chain}
        folder = build_dataset("image_folder", data_path=str(tmp_path / "images"))
        return DataModule(quick(**settings | changes), folder, (16, 16))

    return module


def everything(data: DataModule) -> list[Tensor]:
    train = [data.train_stream[(epoch, n)].image for epoch in range(3) for n in range(len(data.train_stream))]
    return train + [data.test_stream[n].image for n in range(len(data.test_stream))]


@pytest.mark.parametrize("backend", ["fused", "torchvision"])
@pytest.mark.parametrize("gray", ["false", "true"])
def test_kept_originals_are_the_streamed_ones(build, cache, backend, gray):
    options = {"augment_backend": backend, "convert_to_grayscale": gray}
    expected = everything(build(cache="none", **options))
    for where in ("disk", "memory"):
        data = build(cache=where, **options)
        data.keep_images()
        assert not data.train_stream.needs_preparing
        assert data.train_stream.crops_originals
        assert all(torch.equal(a, b) for a, b in zip(everything(data), expected, strict=True))
    assert len(list((cache / "lossbench" / "images").glob("image_folder-*"))) == 3  # train, valid, test


def test_another_split_finds_the_kept_originals_where_there_was_room(build, cache, monkeypatch):
    build(cache="disk").keep_images()
    loaded, load = [], Preprocessing.load
    monkeypatch.setattr(Preprocessing, "load", lambda *args: (loaded.append(args), load(*args))[1])
    data = build(cache="disk", seed=1)
    data.keep_images()
    assert len(loaded) <= 2 * len(data.valid_rows)  # those validated on before are trained on, and the other way round
    assert len(list((cache / "lossbench" / "images").glob("image_folder-*"))) == 3
    data = build(cache_limit_gb=1e-6)
    data.keep_images()
    assert data.train_stream.needs_preparing  # without room they are decoded again


def test_evaluation_and_plain_chains_are_prepared_as_before(build):
    crops, plain = build(), build(augment_images="false")
    for ours, theirs in ((crops.valid_stream, plain.valid_stream), (crops.test_stream, plain.test_stream)):
        assert all(torch.equal(ours[row].image, theirs[row].image) for row in range(len(ours)))
    assert plain.train_stream.preprocessing.most_pixels is None
    assert crops.train_stream.unresized(0).shape == plain.train_stream.unresized(0).shape
