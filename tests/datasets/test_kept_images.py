"""Images that a run keeps decoded: the same pixels, wherever they come from."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from configuration.schema import Configuration
from datasets import build_dataset, data_module
from datasets.data_module import DataModule
from datasets.preprocessing import Preprocessing
from utils.types import ConfigError

AUGMENTED = {"augment_images": "true", "image_augmentations": "{RandomAffine: {degrees: 25}, ColorJitter: {hue: 0.1}}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty photographs of many sizes in two classes, some of them gray, some PNG."""
    random = np.random.default_rng(0)
    for part, number in (("train", 15), ("test", 5)):
        for name in ("cat", "dog"):
            (tmp_path / "images" / part / name).mkdir(parents=True)
            for n in range(number):
                shape = (int(random.integers(20, 50)), int(random.integers(20, 50)), 3)
                image = Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8))
                ending = "png" if n % 5 == 0 else "jpg"
                image.convert("L" if n % 4 == 0 else "RGB").save(tmp_path / "images" / part / name / f"{n}.{ending}")
    return tmp_path / "images"


@pytest.fixture
def build(folder: Path, quick: Callable[..., Configuration]) -> Callable[..., DataModule]:
    """Return a function that builds the data of a run on the photographs."""

    def module(**changes) -> DataModule:
        settings = {"dataset": "image_folder", "data_path": folder, "image_size": 16, "convert_to_grayscale": "false"}
        config = quick(**settings | AUGMENTED | changes)
        return DataModule(config, build_dataset("image_folder", data_path=str(folder)), (16, 16))

    return module


def everything(data: DataModule) -> list[torch.Tensor]:
    streams = ((data.train_stream, 3), (data.valid_stream, 1), (data.test_stream, 1))
    return [
        stream[(epoch, n)].image for stream, epochs in streams for epoch in range(epochs) for n in range(len(stream))
    ]


@pytest.mark.parametrize("backend", ["fused", "torchvision"])
def test_kept_images_are_the_streamed_ones(build, backend):
    streamed, *kept = (build(cache=cache, augment_backend=backend) for cache in ("none", "disk", "memory", "auto"))
    expected = everything(streamed)
    for data in kept:
        data.keep_images()
        assert not data.train_stream.needs_preparing
        assert all(torch.equal(a, b) for a, b in zip(everything(data), expected, strict=True))
    streamed.keep_images()
    assert streamed.train_stream.needs_preparing


def test_a_second_run_decodes_nothing_whatever_its_split_and_its_background_counts(build, monkeypatch):
    keys = [Preprocessing((16, 16), crop=True, erase=erase).pixels_key for erase in (False, True, "white")]
    assert keys[:2] == [
        ((16, 16), False, True, False),
        ((16, 16), False, True, True),
    ]  # as caches on the disk have them
    assert len(set(keys)) == 3
    build(cache="disk").keep_images()
    loaded = []
    monkeypatch.setattr(Preprocessing, "load", lambda self, table, row: loaded.append(row))
    build(cache="disk", seed=1, valid_fraction=0.3).keep_images()
    assert loaded == []


def test_boxes_on_training_images_alone_make_a_cache_of_their_own(folder, quick, cache):
    paths = [path.relative_to(folder) for path in sorted(folder.glob("*/*/*"))]
    rows = [f"{path.as_posix()},{path.parent.name},2,3,15,18,{path.parts[0]}" for path in paths]
    table = folder / "images.csv"
    table.write_text("\n".join(["path,label,x1,y1,x2,y2,split", *rows]) + "\n")
    images = build_dataset("csv", data_path=str(table))
    config = quick(dataset="csv", data_path=table, image_size=16, convert_to_grayscale="false", crop_to_bboxes="true")
    data = DataModule(config, images, (16, 16))
    expected = everything(data)
    assert data.train_stream.unresized(0).shape == (15, 13, 3)  # what the network sees, for pictures
    assert data.test_stream.unresized(0).shape == (28, 32, 3)
    data.keep_images()
    assert all(torch.equal(a, b) for a, b in zip(everything(data), expected, strict=True))
    assert len(list((cache / "lossbench" / "images").glob("csv-*.u8"))) == 3  # training, validation, test


def test_no_room_streams_and_says_so_or_is_an_error_where_a_cache_was_asked_for(build, caplog):
    tiny = {"cache_limit_gb": 1e-6}
    with caplog.at_level(logging.INFO, logger="lossbench"):
        data = build(**tiny)
        data.keep_images()
    assert data.train_stream.needs_preparing
    assert "images are decoded again in every epoch: " in caplog.text
    for place in ("disk", "memory"):
        with pytest.raises(ConfigError, match=f"^command line: cache: cannot be {place}: "):
            build(cache=place, **tiny).keep_images()


def test_sets_in_memory_are_prepared_once(quick, monkeypatch):
    digits = build_dataset("digits")
    few = replace(digits, train=digits.train.select(np.arange(60)), test=digits.test.select(np.arange(9)))
    data, streamed = (DataModule(quick(image_size=12, cache=cache), few, (12, 12)) for cache in ("auto", "none"))
    data.keep_images()
    assert torch.equal(data.train_stream[(0, 5)].image, streamed.train_stream[(0, 5)].image)
    monkeypatch.setattr(Preprocessing, "load", None)
    assert data.train_stream[(0, 5)].image.shape == (1, 1, 12, 12)


def test_what_would_load_images_faster_is_named(build, monkeypatch):
    monkeypatch.setattr(data_module, "available_cores", lambda: 4)
    unknown = {"image_augmentations": "{RandomPosterize: {bits: 4}}"}
    hints = {
        "; set augment_backend: fused, set num_workers: 4": {"augment_backend": "torchvision", "num_workers": 2},
        "; augmentation is not fused because of RandomPosterize": {"num_workers": 4, **unknown},
        "; every core loads images already": {"num_workers": 4},
        "; set cache: disk": {"num_workers": 4, "cache": "none"},
    }
    for hint, changes in hints.items():
        data = build(**changes)
        data.keep_images()
        assert data.faster_loading() == hint
