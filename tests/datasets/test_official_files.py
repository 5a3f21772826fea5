"""Official data sets: files that are missing, altered or damaged are refused by name, and fetched where asked for."""

from __future__ import annotations

import gzip
import hashlib
import os
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
    annotation_table,
    draw,
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
from scipy.io import savemat
from torchvision.datasets import CIFAR10, CIFAR100, SVHN, FashionMNIST, Flowers102

from datasets import build_dataset
from datasets.base import DataSet
from datasets.sets import cub200, fgvc_aircraft
from utils.types import ConfigError, DataError

Damage = Callable[[Path], object]
FOLDERS = {
    "cub200": "CUB_200_2011",
    "fgvc_aircraft": "fgvc-aircraft-2013b",
    "cifar10": "cifar-10-batches-py",
    "flowers102": "flowers-102",
}
WRITERS: dict[str, Callable[[Path], Path]] = {
    "adience": write_adience,
    "fgvc_aircraft": write_aircraft,
    "cifar10": write_cifar,
    "cub200": write_cub,
    "fashion_mnist": write_fashion_mnist,
    "flowers102": write_flowers,
    "imagenet": write_imagenet,
    "flat imagenet": lambda root: write_imagenet(root, flat=True),
    "svhn": write_svhn,
}
CHECKED = ("cifar10", "fashion_mnist", "flowers102", "svhn")
KIT = "ILSVRC2012_devkit_t12/data"
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


def build(name: str, root: Path, **options: Any) -> DataSet:
    """Read a set from the folder around it; official or not, unless `options` say otherwise."""
    checks = {"verify_checksums": False} if name in CHECKED else {}
    return build_dataset(name.removeprefix("flat "), data_path=str(root), **checks | options)


def lines(name: str, *texts: str) -> Damage:
    return lambda folder: write_lines(folder / name, [*texts])


def faces(*texts: str) -> Damage:
    return lines("fold_2_data.txt", *(text.replace(" ", "\t", 11) for text in texts))


def without(*paths: str) -> Damage:
    def remove(folder: Path) -> None:
        for path in (folder / name for name in paths):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


def content(name: str, data: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(data)


def matlab(name: str, **variables: Any) -> Damage:
    return lambda folder: savemat(folder / name, variables)


def pickled(value: object) -> Damage:
    return content("data_batch_4", pickle.dumps(value))


def cut(name: str, share: float) -> Damage:
    return lambda folder: (folder / name).write_bytes((data := (folder / name).read_bytes())[: int(share * len(data))])


PIXELS = np.zeros((1, 3072), np.uint8)
DIGITS = np.zeros((32, 32, 3, 3), np.uint8)
SPLIT = "train_test_split.txt"
OF = "image_class_labels.txt"
TESTED = "data/images_variant_test.txt"
REST = "f 1 2 3 4 5 6 7"
FAULTS: list[tuple[str, Damage, str]] = [
    ("cub200", lines(OF, "1 0", "2 1", "3 2", "4 2", "5 3"), f"{OF}: wrong values:\n  image 1: must be a class from 1"),
    ("cub200", lines(OF, "1 4", "2 1", "3 2", "4 2", "5 3"), "image 1: must be a class from 1 to 3, got 4"),
    ("cub200", lines(OF, "1 3", "2 x"), f"{OF}: wrong lines:\n  line 2: cannot be read: 2 x"),
    ("cub200", lines(OF, "1 3", "1 2"), "wrong lines:\n  line 2: 1 stands twice"),
    ("cub200", lines(OF, "9 3"), "wrong lines:\n  line 1: 9 is no image of images.txt"),
    ("cub200", lines(OF, "1 3", "2"), "wrong lines:\n  line 2: 1 fields, expected 2"),
    ("cub200", lines(OF, "1 3", "2 1"), "lacks images:\n  3 002.Laysan_Albatross/bird_3.jpg\n  4 "),
    ("cub200", lines(OF), f"{OF}: holds no lines"),
    ("cub200", lines(SPLIT, "1 1", "2 2", "3 0", "4 1", "5 0"), f"{SPLIT}: wrong values:\n  image 2: must be 1 (train"),
    ("cub200", lines("bounding_boxes.txt", "1 0.0 0.0 20.0"), "line 1: cannot be read: 1 0.0 0.0 20.0"),
    ("cub200", lines("bounding_boxes.txt", "1 0.0 nan 20.0 3.0"), "line 1: cannot be read"),
    ("cub200", lines("bounding_boxes.txt", *(f"{k} 25.0 0.0 4.0 4.0" for k in range(1, 6))), "bird_1.jpg: (25.0, 0.0,"),
    ("cub200", lines("classes.txt", "1 a", "3 b"), "must number 2 different classes from 1 on, in order"),
    ("cub200", lines("images.txt", "1 ../x.jpg", "2 a", "3 b", "4 c", "5 d"), "that lead out of images:\n  ../x.jpg"),
    ("cub200", without(f"images/{BIRDS[1]}/bird_3.jpg"), f"1 of 5 images are missing:\n  images/{BIRDS[1]}/bird_3.jpg"),
    ("cub200", without("classes.txt", "images"), "missing files:\n  classes.txt\n  images\n`download: true` fetches"),
    ("fgvc_aircraft", lines(TESTED, "0000003 737-300"), "line 1: '737-300' is no class of the set"),
    ("fgvc_aircraft", lines(TESTED, "0000003 DR-400", "7 DR-400"), "line 2: 7 has no line in images_box.txt"),
    ("fgvc_aircraft", lines(TESTED, "0000003 737-200", "0000002 DR-400"), "variant_test.txt:\n  0000002"),  # of both
    ("fgvc_aircraft", lines("data/images_box.txt", "0000003 1 1 5 x"), "0000003: the corners must be whole numbers"),
    ("fgvc_aircraft", lines("data/images_box.txt", "../3 1 1 5 5"), "line 1: '../3' is no image name"),
    ("fgvc_aircraft", without("data/images/0000001.jpg"), "1 of 4 images are missing:\n  data/images/0000001.jpg"),
    ("fgvc_aircraft", without(TESTED), f"missing files:\n  {TESTED}\n`download: true`"),
    ("adience", faces(ADIENCE_HEAD, f"u o.jpg 1 young {REST}"), "wrong lines:\n  line 2: 'young' is no age, such as"),
    ("adience", faces(ADIENCE_HEAD, "u o.jpg 1 3"), "fold_2_data.txt: wrong lines:\n  line 2: 4 fields, expected 12"),
    ("adience", faces(ADIENCE_HEAD, f"../u o.jpg 1 3 {REST}"), "'../u/landmark_aligned_face.1.o.jpg' is no image"),
    ("adience", faces(f"u o.jpg 1 3 {REST}"), "fold_2_data.txt: must begin with the columns user_id, original_image, "),
    ("adience", without("aligned/00@N0/landmark_aligned_face.0.0_1_o.jpg"), "1 of 9 images are missing:\n  aligned/00"),
    (
        "adience",
        without("fold_3_data.txt", "aligned"),
        "missing files:\n  fold_3_data.txt\n  aligned\nAdience's authors",
    ),
    ("flowers102", without("setid.mat", "jpg"), "flowers-102: missing:\n  setid.mat\n  jpg\n`download: true` fetches"),
    (
        "flowers102",
        without("jpg/image_00002.jpg", "jpg/image_00007.jpg"),
        "2 of 8 images are missing:\n  image_00002.j",
    ),
    ("flowers102", matlab("imagelabels.mat", labels=[[1, 2, 3, 4, 5, 6, 0, 103]]), "labels outside 1..102: 0, 103"),
    (
        "flowers102",
        matlab("setid.mat", trnid=[[5, 6]], valid=[[6, 7]], tstid=[[1, 2, 3, 4]]),
        "name each of the 8 label",
    ),
    ("flowers102", matlab("setid.mat", trnid=[1], other=[2]), "setid.mat: lacks valid, tstid (found: trnid, other)"),
    ("flowers102", content("setid.mat", b"no matlab"), "setid.mat: damaged or no MATLAB file"),
    ("svhn", without("train_32x32.mat"), "missing files:\n  train_32x32.mat\n`download: true` fetches them"),
    (
        "svhn",
        matlab("test_32x32.mat", X=DIGITS, y=[[0], [2], [3]]),
        "test_32x32.mat: labels outside 1..10, where 10 is",
    ),
    ("svhn", matlab("test_32x32.mat", X=DIGITS, y=[[1], [2], [11]]), "where 10 is the digit 0: 11"),
    ("svhn", matlab("test_32x32.mat", X=DIGITS, y=[[1], [2]]), "test_32x32.mat: 3 images but 2 labels"),
    ("svhn", matlab("train_32x32.mat", X=DIGITS.T, y=[[1]] * 3), "'X' is no array of bytes of 32 x 32 x 3 x N, but ui"),
    ("fashion_mnist", without(LABELS), f"missing files:\n  {LABELS}\n`download: true`"),
    ("fashion_mnist", content(IMAGES, b"plain text"), f"{IMAGES}: damaged or no gzipped idx file"),
    ("fashion_mnist", content(IMAGES, gzip.compress(bytes(100))[:-20]), f"{IMAGES}: "),
    *(
        ("fashion_mnist", content(name, gzip.compress(bytes(data))), message)
        for name, data, message in (
            (LABELS, (0, 0, 8, 1, 0, 0, 0, 5, 0, 1, 2, 3, 10), "labels outside 0..9: 10"),
            (LABELS, (0, 0, 8, 1, 0, 0, 0, 2, 0, 1), f"5 images but 2 labels in {LABELS}"),
            (
                LABELS,
                (0, 0, 8, 3, 0, 0, 0, 2, 0, 1),
                "no idx file of bytes in 1 dimensions: it begins with 00 00 08 03",
            ),
            (LABELS, (0, 0, 8, 1, 0, 0, 0, 5, 0, 1), "damaged: its head promises 5 bytes, 2 follow"),
            (LABELS, (0, 0, 8, 1, 0, 0, 0, 1, 0, 1), "damaged: its head promises 1 bytes, more follow"),
            (LABELS, (0, 0, 8, 1, 0), "damaged or no gzipped idx file"),
        )
    ),
    (
        "imagenet",
        lambda folder: (folder / "train" / "n07654321").mkdir(),
        "train: classes without images:\n  n07654321",
    ),
    (
        "imagenet",
        lambda folder: (folder / "train" / "goldfish").mkdir(),
        "train: no synsets, which are called n01440764",
    ),
    ("imagenet", without("val"), "missing folders:\n  val\nIt is not downloaded: expected train/<synset>"),
    (
        "flat imagenet",
        without(f"{KIT}/meta.mat"),
        f"{KIT}:\nmeta.mat\nUnpack ILSVRC2012_devkit_t12".replace(":\n", ":\n  "),
    ),
    ("flat imagenet", lambda folder: draw(folder / "val" / "mine.jpg", 7), "has no line for:\n  mine.jpg"),
    ("flat imagenet", lines(f"{KIT}/{TRUTH}", "1", "0", "2", "3"), "wrong lines:\n  line 2: no number of a class: 0"),
    ("flat imagenet", lines(f"{KIT}/{TRUTH}", "1", "4", "2", "3"), "line 2: no number of a class: 4"),  # a parent
    ("flat imagenet", lines(f"{KIT}/{TRUTH}", "1", "3", "2"), "has no line for:\n  ILSVRC2012_val_00000004.JPEG"),
    (
        "flat imagenet",
        matlab(f"{KIT}/meta.mat", synsets=annotation_table([{"WNID": name} for name in SYNSETS])),
        "meta.mat: synsets lacks ILSVRC2012_ID, num_children",
    ),
    ("cifar10", without("data_batch_3", "batches.meta"), "missing files:\n  data_batch_3\n  batches.meta\n`download: "),
    *(("cifar10", cut("test_batch", share), "test_batch: damaged or no CIFAR file") for share in (0, 0.3, 0.99)),
    ("cifar10", pickled({"labels": [0]}), "data_batch_4: 'data' is no uint8 array of N rows of 3,072"),
    ("cifar10", pickled({"data": PIXELS + 0.5, "labels": [0]}), "holds numbers of type 'f8' where bytes are expected"),
    ("cifar10", pickled({"data": PIXELS, "labels": [0, 1]}), "data_batch_4: 1 images but 2 labels"),
    ("cifar10", pickled({"data": PIXELS, "labels": [10]}), "labels outside 0..9: 10"),
    ("cifar10", pickled({"data": PIXELS, "labels": [-1]}), "labels outside 0..9: -1"),
    ("cifar10", pickled({"data": PIXELS, "labels": ["cat"]}), "'labels' is no list of integers"),
    ("cifar10", pickled([1, 2]), "holds no dictionary"),
]


@pytest.mark.parametrize(("name", "damage", "message"), FAULTS)
def test_faults_are_named_with_their_file(tmp_path: Path, name: str, damage: Damage, message: str) -> None:
    WRITERS[name](tmp_path)
    damage(tmp_path / FOLDERS.get(name, "."))
    with pytest.raises(DataError) as caught:
        build(name, tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("fgvc_aircraft", {"annotation": "model"}, "annotation: must be 'variant', 'family' or 'manufacturer', got"),
        ("flowers102", {"flowers_train": "trainvall"}, "must be one of trainval, train, got 'trainvall'; did you mean"),
        ("adience", {"fold": 5}, "fold: must be 0, 1, 2, 3 or 4, got 5"),
        ("adience", {"fold": True}, "fold: must be 0, 1, 2, 3 or 4, got True"),
        ("adience", {"other_ages": "keep"}, "other_ages: must be 'drop' or 'nearest', got 'keep'"),
    ],
)
def test_other_choices_are_refused(name: str, params: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_dataset(name, **params)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(marker),)

    path = write_cifar(tmp_path) / FOLDERS["cifar10"] / "data_batch_1"
    path.write_bytes(pickle.dumps({"data": Evil(), "labels": []}))
    with pytest.raises(DataError, match=r"data_batch_1: damaged or no CIFAR file: refused: it would run posix\.mkdir"):
        build("cifar10", tmp_path)
    assert not marker.exists()


# --------------------------------------------------------------------------------------------- checksums and downloads


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def make_official(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the files of CIFAR-10 in a folder pass for the official ones."""
    for part in ("train_list", "test_list"):
        sums = [[name, md5(folder / name)] for name, _ in getattr(CIFAR10, part)]
        monkeypatch.setattr(CIFAR10, part, sums)
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": md5(folder / "batches.meta")})


def test_all_altered_files_are_listed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_cifar(tmp_path) / FOLDERS["cifar10"]
    make_official(monkeypatch, folder)
    sample = "a sample: 10 + 2 of 50,000 + 10,000 images"
    assert build("cifar10", tmp_path, verify_checksums=True).notes == (sample,)
    for name in ("data_batch_2", "test_batch"):
        batch = pickle.loads((folder / name).read_bytes())
        batch["data"][0, 0] ^= 1
        (folder / name).write_bytes(pickle.dumps(batch))
    with pytest.raises(DataError) as caught:
        build("cifar10", tmp_path, verify_checksums=True)
    assert "not the official content (md5 differs):\n  data_batch_2\n  test_batch\n" in str(caught.value)
    assert "verify_checksums: false" in str(caught.value)
    altered = "files that differ from the official ones (md5): data_batch_2, test_batch"
    assert build("cifar10", tmp_path).notes == (altered, sample)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("svhn", ["train_32x32.mat", "test_32x32.mat"]),
        ("fashion_mnist", [IMAGES, LABELS]),
        ("flowers102", ["imagelabels.mat", "setid.mat"]),
    ],
)
def test_altered_files_of_every_set_with_checksums_are_refused(tmp_path: Path, name: str, files: list[str]) -> None:
    WRITERS[name](tmp_path)
    with pytest.raises(DataError) as caught:
        build_dataset(name, data_path=str(tmp_path))
    assert "md5 differs):\n  " + "\n  ".join(files) in str(caught.value)


OFFICIAL = {
    "cub200": {(cub200.URL, "97eceeb196236b17998738112f37df78")},
    "fgvc_aircraft": {(fgvc_aircraft.URL, "d4acdd33327262359767eeaa97a4f732")},
    "cifar10": {(CIFAR10.url, CIFAR10.tgz_md5)},
    "svhn": {(url, md5) for url, name, md5 in SVHN.split_list.values() if "train" in name},
    "fashion_mnist": {(FashionMNIST.mirrors[0] + name, md5) for name, md5 in FashionMNIST.resources},
    "flowers102": {
        (Flowers102._download_url_prefix + name, md5)
        for name, md5 in Flowers102._file_dict.values()
        if name in ("102flowers.tgz", "imagelabels.mat")
    },
}
PRESENT = {"cifar10": "data_batch_1", "svhn": "test_32x32.mat", "flowers102": "setid.mat"}
"""A file that is there already."""


@pytest.mark.parametrize("name", OFFICIAL)
def test_download_fetches_what_is_missing_and_keeps_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    inner = FOLDERS.get(name, ".")
    official, mine = WRITERS[name](tmp_path / "official") / inner, tmp_path / "mine" / inner
    (tmp_path / "mine").mkdir()
    if present := PRESENT.get(name):
        mine.mkdir(exist_ok=True)
        shutil.copy(official / present, mine)
        os.utime(mine / present, (1, 1))
    fetched = set()

    def fetch(url: str, folder: Path, target: str, md5: str) -> None:
        fetched.add((url, md5))
        if (official / target).is_file():
            shutil.copy(official / target, Path(folder) / target)
        else:
            top, base = (official, "jpg") if name == "flowers102" else (official.parent, inner)
            shutil.copy(shutil.make_archive(str(tmp_path / "packed"), "gztar", top, base), Path(folder) / target)

    monkeypatch.setattr("torchvision.datasets.utils.download_url", fetch)
    data, expected = build(name, tmp_path / "mine", download=True), build(name, tmp_path / "official")
    assert (len(data.train), len(data.test)) == (len(expected.train), len(expected.test))
    assert fetched == OFFICIAL[name]
    assert present is None or (mine / present).stat().st_mtime == 1


def test_a_folder_of_another_name_cannot_be_completed(tmp_path: Path) -> None:
    (write_cub(tmp_path) / "CUB_200_2011").rename(tmp_path / "birds")
    (tmp_path / "birds" / "classes.txt").unlink()
    with pytest.raises(DataError, match="birds: must be called CUB_200_2011 for `download: true`"):
        build("cub200", tmp_path / "birds", download=True)


def test_without_a_network_download_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CIFAR100, "url", "http://127.0.0.1:9/cifar-100-python.tar.gz")
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9/.* cannot be downloaded to .*refused"):
        build_dataset("cifar100", data_path=str(tmp_path), download=True)
