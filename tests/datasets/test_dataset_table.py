"""Laws of every data set that can be built offline, and of the table they stand in."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dense_layouts import write_coco, write_own, write_penn_fudan, write_pets, write_voc
from official_layouts import (
    draw,
    write_adience,
    write_aircraft,
    write_ccpd,
    write_cifar,
    write_cub,
    write_fashion_mnist,
    write_flowers,
    write_imagenet,
    write_newer,
    write_parquet,
    write_plates,
    write_svhn,
    write_table,
)
from PIL import Image

from datasets import DATASETS, build_dataset
from datasets.base import DataSet, ImageTable
from datasets.dense import DenseTable
from datasets.sequences import text_problems
from datasets.sets.stanford.preparation import prepare_stanford
from utils.lookup import load_entry
from utils.types import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def build_stanford(folder: Path) -> DataSet:
    prepare_stanford(write_newer(folder / "raw"), folder / "cars", allow_partial=True, say=lambda line: None)
    return build_dataset("stanford_cars", data_path=str(folder / "cars"))


def build_folder(folder: Path) -> DataSet:
    for part in ("train", "test"):
        for k, name in enumerate(("bus", "car")):
            draw(folder / part / name / "1.jpg", 100 * k)
    return build_dataset("image_folder", data_path=str(folder))


BUILDERS: dict[str, Callable[[Path], DataSet]] = {
    "digits": lambda folder: build_dataset("digits"),
    "cifar10": lambda folder: build_dataset("cifar10", data_path=str(write_cifar(folder)), verify_checksums=False),
    "cifar10_pair": lambda folder: build_dataset(
        "cifar10_pair",
        data_path=str(write_cifar(folder)),
        verify_checksums=False,
        classes=["cifar10 class 0", "cifar10 class 1"],
    ),
    "cifar100": lambda folder: build_dataset(
        "cifar100", data_path=str(write_cifar(folder, "cifar100")), verify_checksums=False
    ),
    "svhn": lambda folder: build_dataset("svhn", data_path=str(write_svhn(folder)), verify_checksums=False),
    "fashion_mnist": lambda folder: build_dataset(
        "fashion_mnist", data_path=str(write_fashion_mnist(folder)), verify_checksums=False
    ),
    "flowers102": lambda folder: build_dataset(
        "flowers102", data_path=str(write_flowers(folder)), verify_checksums=False
    ),
    "cub200": lambda folder: build_dataset("cub200", data_path=str(write_cub(folder))),
    "fgvc_aircraft": lambda folder: build_dataset("fgvc_aircraft", data_path=str(write_aircraft(folder))),
    "adience": lambda folder: build_dataset("adience", data_path=str(write_adience(folder))),
    "imagenet": lambda folder: build_dataset("imagenet", data_path=str(write_imagenet(folder))),
    "stanford_cars": build_stanford,
    "image_folder": build_folder,
    "csv": lambda folder: build_dataset("csv", data_path=str(write_table(folder))),
    "parquet": lambda folder: build_dataset("parquet", data_path=str(write_parquet(folder))),
    "made_up": lambda folder: build_dataset("made_up", like="adience"),
    "plates": lambda folder: build_dataset("plates", data_path=str(write_plates(folder))),
    "pets_segmentation": lambda folder: build_dataset("pets_segmentation", data_path=str(write_pets(folder))),
    "voc": lambda folder: build_dataset("voc", data_path=str(write_voc(folder))),
    "coco": lambda folder: build_dataset("coco", data_path=str(write_coco(folder))),
    "detection_folder": lambda folder: build_dataset("detection_folder", data_path=str(write_own(folder))),
    "penn_fudan": lambda folder: build_dataset("penn_fudan", data_path=str(write_penn_fudan(folder)), num_test=2),
    "ccpd": lambda folder: build_dataset("ccpd", data_path=str(write_ccpd(folder))),
}


@pytest.fixture(scope="module", params=DATASETS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[DataSet, DataSet]:
    """A data set built twice from equal files in different places."""
    build = BUILDERS[request.param]
    return build(tmp_path_factory.mktemp("first")), build(tmp_path_factory.mktemp("second"))


def test_every_row_has_an_image_and_a_label_within_the_classes(pair: tuple[DataSet, DataSet]) -> None:
    data, _ = pair
    assert len(set(data.classes)) == len(data.classes) >= 2
    assert len({data.test.name(row) for row in range(len(data.test))}) == len(data.test)
    for part in (data.train, data.test):
        assert len(part) == len(part.images) == len(part.labels) > 0
        assert {part.load(row).mode for row in (0, len(part) - 1)} <= {"L", "RGB"}
        assert part.labels.dtype == np.int64
        assert part.labels.ndim == (2 if data.kind == "sequence" else 1)
        if isinstance(part, DenseTable):
            part.refuse_problems(len(data.classes))
        assert 0 <= (part.labels if part.strata is None else part.strata).min() <= part.labels.max() < len(data.classes)
        if data.kind == "sequence":
            assert text_problems("", part, len(data.classes)) == []
            assert {len(character) for character in data.classes} == {1}


def test_boxes_lie_inside_their_images(pair: tuple[DataSet, DataSet]) -> None:
    data, _ = pair
    for part in (data.train, data.test):
        boxes = np.empty((0, 4), dtype=np.int64) if part.boxes is None else part.boxes
        assert boxes.dtype == np.int64
        for row, (x1, y1, x2, y2) in enumerate(boxes):
            width, height = part.load(row).size
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height


def test_the_order_of_rows_depends_on_the_content_alone(pair: tuple[DataSet, DataSet]) -> None:
    first, second = pair
    assert first.classes == second.classes
    for one, other in ((first.train, second.train), (first.test, second.test)):
        assert np.array_equal(one.labels, other.labels)
        for row in range(0, len(one), max(1, len(one) // 10)):
            assert np.array_equal(np.asarray(one.load(row)), np.asarray(other.load(row)))


def test_every_entry_is_held_to_these_laws() -> None:
    assert set(BUILDERS) == set(DATASETS)


@pytest.mark.parametrize("name", DATASETS)
def test_entries_name_documented_functions_of_keywords(name: str) -> None:
    function = load_entry(DATASETS[name])
    assert inspect.getdoc(function)
    assert DATASETS[name].summary
    assert all(p.kind is p.KEYWORD_ONLY for p in inspect.signature(function).parameters.values())


def test_unknown_names_earn_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"unknown data set 'cifar_10'; did you mean 'cifar10'\?"):
        build_dataset("cifar_10")
    with pytest.raises(ConfigError, match=r"cifar10\.data_pat: unknown parameter; did you mean 'data_path'\?"):
        build_dataset("cifar10", data_pat="x")


def test_an_array_row_is_loaded_as_it_is_stored() -> None:
    images = np.random.RandomState(0).randint(0, 256, (2, 5, 4, 3)).astype(np.uint8)
    table = ImageTable(images, np.array([0, 1]))
    image = table.load(1)
    assert isinstance(image, Image.Image)
    assert np.array_equal(np.asarray(image), images[1])
    assert table.name(1) == "image 1"
