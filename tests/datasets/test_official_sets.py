"""Official data sets: what their files say arrives, in the official order."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from official_layouts import (
    ADIENCE_HEAD,
    BIRDS,
    SYNSETS,
    write_adience,
    write_aircraft,
    write_cifar,
    write_cub,
    write_fashion_mnist,
    write_flowers,
    write_imagenet,
    write_lines,
    write_svhn,
)
from torchvision.datasets import CIFAR10, Flowers102

from datasets import build_dataset
from datasets.base import DataSet, ImageTable, keep_classes
from utils.types import ConfigError

WRITERS: dict[str, Callable[[Path], Path]] = {
    "adience": write_adience,
    "fgvc_aircraft": write_aircraft,
    "cifar10": write_cifar,
    "cifar100": lambda root: write_cifar(root, "cifar100"),
    "cub200": write_cub,
    "fashion_mnist": write_fashion_mnist,
    "flowers102": write_flowers,
    "imagenet": write_imagenet,
    "svhn": write_svhn,
}
CHECKED = ("cifar10", "cifar100", "fashion_mnist", "flowers102", "svhn")


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., DataSet]:
    """Return a function that reads the tiny copy of a set, written on first use."""

    def read_set(name: str, **options: Any) -> DataSet:
        if not any(tmp_path.iterdir()):
            WRITERS[name](tmp_path)
        checks = {"verify_checksums": False} if name in CHECKED else {}
        return build_dataset(name, data_path=str(tmp_path), **checks | options)

    return read_set


def names(table: ImageTable) -> list[str]:
    return [Path(table.name(row)).name for row in range(len(table))]


def boxes(table: ImageTable) -> list[list[int]]:
    assert table.boxes is not None
    return table.boxes.tolist()


@pytest.mark.parametrize(
    ("name", "train", "test", "note"),
    [
        ("cub200", [2, 0, 1], [1, 2], "a sample: 3 + 2 of 5,994 + 5,794 images"),
        ("fgvc_aircraft", [1, 2], [0, 2], "a sample: 2 + 2 of 6,667 + 3,333 images"),
        ("fashion_mnist", [9, 0, 3, 7, 2], [1, 8], "a sample: 5 + 2 of 60,000 + 10,000 images"),
        ("svhn", [1, 0, 9, 5], [0, 2, 3], "a sample: 4 + 3 of 73,257 + 26,032 images"),  # 10 in the file is 0
        ("cifar10", [*range(10)], [0, 1], "a sample: 10 + 2 of 50,000 + 10,000 images"),
        ("cifar100", [0, 1, 2], [3, 4, 5], "a sample: 3 + 3 of 50,000 + 10,000 images"),
        ("flowers102", [96, 95, 94, 93], [100, 99, 98, 97], "(md5): imagelabels.mat, setid.mat"),  # 102 - number
        ("imagenet", [0, 0, 1, 1, 2, 2], [0, 1, 2, 2], "a sample: 3 of 1,000 classes, 6 + 4 of 1,281,167 + 50,000"),
    ],
)
def test_labels_and_parts_are_the_official_ones(
    read: Callable[..., DataSet], name: str, train: list[int], test: list[int], note: str
) -> None:
    data = read(name)
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == (train, test)
    assert note in " ".join(data.notes)


def test_pixels_in_memory_are_those_of_the_files(tmp_path: Path) -> None:
    for name, pixel, channels in (
        ("cifar10", (2, 7, 5), [(2 + c * 1024 + 7 * 32 + 5) % 256 for c in range(3)]),  # channel, row, column
        ("cifar100", (2, 7, 5), [(2 + c * 1024 + 7 * 32 + 5) % 256 for c in range(3)]),
        ("svhn", (2, 7, 5), [(2 + 10 * 7 + 3 * 5 + c) % 256 for c in range(3)]),
        ("fashion_mnist", (1, 27, 3), (1 + 27 * 28 + 3) % 256),
    ):
        folder = WRITERS[name](tmp_path / name)
        images = np.asarray(build_dataset(name, data_path=str(folder), verify_checksums=False).train.images)
        assert images[pixel].tolist() == channels
        assert images.flags.c_contiguous


def test_the_folder_itself_and_the_one_around_it_are_the_same(tmp_path: Path) -> None:
    for name, inner in (("cifar10", "cifar-10-batches-py"), ("cub200", "CUB_200_2011"), ("flowers102", "flowers-102")):
        folder = WRITERS[name](tmp_path / name) / inner
        checks = {"verify_checksums": False} if name in CHECKED else {}
        pixels = np.asarray(build_dataset(name, data_path=str(folder.parent), **checks).train.load(1))
        renamed = build_dataset(name, data_path=str(folder.rename(folder.with_name("renamed"))), **checks)
        assert np.array_equal(np.asarray(renamed.train.load(1)), pixels)
    write_fashion_mnist(tmp_path / "FashionMNIST" / "raw")  # as torchvision keeps it
    assert len(build_dataset("fashion_mnist", data_path=str(tmp_path), verify_checksums=False).train) == 5


# ---------------------------------------------------------------------------------------------------- cub and aircraft


def test_boxes_of_birds_hold_all_pixels_they_touch(read: Callable[..., DataSet], tmp_path: Path) -> None:
    data = read("cub200")
    assert data.classes == tuple(BIRDS)
    assert names(data.train) == ["bird_1.jpg", "bird_2.jpg", "bird_4.jpg"]
    assert boxes(data.train) == [[0, 0, 20, 16], [2, 3, 7, 9], [10, 9, 20, 16]]
    assert boxes(data.test) == [[1, 2, 6, 7], [19, 15, 20, 16]]
    clipped = "1 of 5 boxes reached outside their image and were clipped: 002.Laysan_Albatross/bird_4.jpg"
    assert data.notes[0] == clipped
    for name in ("image_class_labels.txt", "bounding_boxes.txt", "train_test_split.txt"):  # lists are matched by id
        path = tmp_path / "CUB_200_2011" / name
        write_lines(path, path.read_text().splitlines()[::-1])
    again = read("cub200")
    assert (again.train.labels.tolist(), boxes(again.train)) == (data.train.labels.tolist(), boxes(data.train))


@pytest.mark.parametrize(
    ("annotation", "classes", "train", "test"),
    [
        ("variant", ("737-200", "737-700", "DR-400"), [1, 2], [0, 2]),
        ("family", ("Boeing 737", "DR-400"), [0, 1], [0, 1]),
        ("manufacturer", ("Boeing", "Robin"), [0, 1], [0, 1]),
    ],
)
def test_classes_and_labels_of_aircraft_are_those_of_the_annotation(
    read: Callable[..., DataSet], annotation: str, classes: tuple[str, ...], train: list[int], test: list[int]
) -> None:
    data = read("fgvc_aircraft", annotation=annotation)
    assert data.classes == classes
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == (train, test)
    assert names(data.train) == ["0000004.jpg", "0000002.jpg"]


def test_the_banner_of_aircraft_is_cut_off_and_boxes_end_above_it(read: Callable[..., DataSet]) -> None:
    data = read("fgvc_aircraft")
    image = np.asarray(data.train.load(0))
    assert image.shape == (30, 40, 3)
    assert image[:25].max() < 60  # the banner is white
    assert data.train.size(0) == (30, 40)
    assert boxes(data.train) == [[0, 0, 40, 30], [4, 5, 20, 25]]  # 1-based and inclusive in the file
    assert boxes(data.test) == [[1, 2, 30, 30], [9, 10, 12, 13]]
    assert keep_classes(data, ["DR-400", "737-700"]).train.load(0).height == 30
    assert data.notes[0] == "1 of 4 boxes reached outside their image and were clipped: images/0000003.jpg"


# ------------------------------------------------------------------------------------------------------------- adience


def test_one_fold_of_faces_is_tested_and_the_others_train(read: Callable[..., DataSet], tmp_path: Path) -> None:
    runs = [read("adience", fold=fold) for fold in range(5)]
    assert runs[4].classes == ("0-2", "4-6", "8-12", "15-20", "25-32", "38-43", "48-53", "60-100")
    assert runs[4].ordered
    assert [run.test.labels.tolist() for run in runs] == [[0, 7], [4, 4], [5], [1], [3, 6, 2]]  # (25, 23) is (25, 32)
    assert runs[4].train.labels.tolist() == [0, 7, 4, 4, 5, 1]
    tested = [str(image) for run in runs for image in run.test.images]
    assert len(tested) == len(set(tested)) == 9
    for run in runs:
        assert set(map(str, run.train.images)) == set(tested) - set(map(str, run.test.images))
    assert runs[0].notes == (
        "fold 0 is the test part; validation images show the same people as training images",
        "6 faces left out whose age is none of the eight ranges: None 1, (38, 48) 1, 13 1, nothing 1, 56 1, 35 1",
    )
    shutil.copy(tmp_path / "fold_1_data.txt", tmp_path / "fold_0_data.txt")
    assert read("adience").notes[-1] == "1 people appear in training and test images"


@pytest.mark.parametrize(
    ("age", "label"),
    [("3", 0), ("7", 1), ("22", 3), ("23", 4), ("57", 7), ("(38, 42)", 5), ("(27, 32)", 4), ("101", 7), ("35", 4)],
)
def test_of_two_classes_as_near_the_younger_takes_an_age(
    read: Callable[..., DataSet], tmp_path: Path, age: str, label: int
) -> None:
    read("adience")
    rows = ["\t".join(["40@N0", "4_0_o.jpg", "4", other, *"f1234567"]) for other in (age, "None")]
    write_lines(tmp_path / "fold_4_data.txt", [ADIENCE_HEAD.replace(" ", "\t"), *rows])
    assert read("adience", fold=4, other_ages="nearest").test.labels.tolist() == [label]  # none without an age


def test_either_crop_of_faces_is_taken(read: Callable[..., DataSet]) -> None:
    aligned, faces = (np.asarray(read("adience", images=kind).test.load(0)) for kind in ("aligned", "faces"))
    assert int(faces[0, 0, 0]) - int(aligned[0, 0, 0]) > 150


# ---------------------------------------------------------------------------------------------------- flowers and svhn


def test_flowers_train_alone_leaves_the_validation_images_out(read: Callable[..., DataSet]) -> None:
    assert names(read("flowers102").train) == [f"image_0000{k}.jpg" for k in (5, 6, 7, 8)]
    data = read("flowers102", flowers_train="train")
    assert (names(data.train), len(data.test)) == (["image_00005.jpg", "image_00006.jpg"], 4)


def test_the_real_flowers_have_the_papers_counts(sample: Callable[[str], Path]) -> None:
    folder = str(sample("flowers102"))
    data = build_dataset("flowers102", data_path=folder)
    assert (len(data.train), len(data.test), len(data.classes)) == (2_040, 6_149, 102)
    assert len(build_dataset("flowers102", data_path=folder, flowers_train="train").train) == 1_020
    assert np.bincount(data.train.labels).tolist() == [20] * 102
    assert data.notes == ()
    assert data.classes[data.test.labels[names(data.test).index("image_00001.jpg")]] == Flowers102.classes[76]


def test_the_extra_digits_are_trained_on_and_needed_only_when_asked_for(
    read: Callable[..., DataSet], tmp_path: Path
) -> None:
    data = read("svhn", extra=True)
    assert (data.train.labels.tolist(), len(data.test)) == ([1, 0, 9, 5, 6, 0], 3)
    assert data.notes[1] == "a sample: 4 + 2 + 3 of 73,257 + 531,131 + 26,032 images"
    (tmp_path / "extra_32x32.mat").unlink()
    assert len(read("svhn").train) == 4


# ------------------------------------------------------------------------------------------------------------ imagenet


@pytest.mark.parametrize("flat", [False, True])
def test_imagenet_s_classes_are_the_sorted_synsets_whatever_the_kit_calls_them(
    read: Callable[..., DataSet], tmp_path: Path, flat: bool
) -> None:
    write_imagenet(tmp_path, flat)
    if not flat:
        shutil.rmtree(tmp_path / "ILSVRC2012_devkit_t12")  # which class folders do without
    data = read("imagenet")
    assert data.classes == ("n01440764", "n02119789", "n03000684")
    assert names(data.train)[:2] == ["n01440764_1.JPEG", "n01440764_2.JPEG"]
    # the kit's classes 1, 3, 2, 3 are n02119789, n03000684, n01440764, n03000684
    labels = {name[-6]: int(label) for name, label in zip(names(data.test), data.test.labels, strict=True)}
    assert labels == {"1": 1, "2": 2, "3": 0, "4": 2}
    shutil.rmtree(tmp_path / "train" / SYNSETS[2])
    data = read("imagenet")
    assert data.test.labels.tolist() == [0, 1]
    assert data.notes[0] == "2 validation images left out: train has none of their 1 classes"


# --------------------------------------------------------------------------------------------------------------- cifar


def test_a_pair_is_what_keeping_its_two_classes_gives(read: Callable[..., DataSet], tmp_path: Path) -> None:
    classes = ["cifar10 class 9", "cifar10 class 0"]
    kept = keep_classes(read("cifar10"), classes)
    pair = read("cifar10_pair", verify_checksums=False, classes=classes)
    assert pair.classes == tuple(classes)
    assert pair.train.labels.tolist() == kept.train.labels.tolist() == [1, 0]
    assert np.array_equal(np.asarray(pair.train.images), np.asarray(kept.train.images))
    meta = tmp_path / "cifar-10-batches-py" / "batches.meta"
    official = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    meta.write_bytes(pickle.dumps({"label_names": official}))
    assert read("cifar10_pair", verify_checksums=False).classes == ("airplane", "truck")
    with pytest.raises(ConfigError, match="classes: cifar10_pair takes exactly two, got 3: cat, dog, ship"):
        read("cifar10_pair", verify_checksums=False, classes=["cat", "dog", "ship"])


def test_files_pickled_by_python_2_are_read_without_warnings(read: Callable[..., DataSet], tmp_path: Path) -> None:
    read("cifar10")
    path = tmp_path / CIFAR10.base_folder / "data_batch_1"
    pixels = pickle.loads(path.read_bytes())["data"].copy()
    pixels[:, 0] = 255
    # as NumPy 1 wrote it under Python 2: the module's old name, byte strings, integers for truth values
    text = pixels.tobytes()
    path.write_bytes(
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
        b"(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + len(text).to_bytes(4, "little") + text + b"tbU\x06labels](K\x00K\x01eu."
    )
    images = np.asarray(read("cifar10").train.images)
    assert images[:2, 0, 0, 0].tolist() == [255, 255]
    assert np.array_equal(images[1, 0, 1], pixels[1, [1, 1025, 2049]])


@pytest.mark.torture
def test_the_real_images_of_cifar_are_read_in_official_order(sample: Callable[[str], Path]) -> None:
    data = build_dataset("cifar10", data_path=str(sample("cifar10")), verify_checksums=False)
    assert (len(data.train), len(data.test)) == (50_000, 10_000)
    assert data.classes[:3] == ("airplane", "automobile", "bird")
    assert np.bincount(data.train.labels).tolist() == [5_000] * 10
    assert data.test.labels[:5].tolist() == [3, 8, 8, 0, 6]
    assert len(data.notes) == 1
    assert data.notes[0].endswith("test_batch")
