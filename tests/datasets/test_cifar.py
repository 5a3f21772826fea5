from __future__ import annotations

import hashlib
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from official_layouts import write_cifar
from torchvision.datasets import CIFAR10, CIFAR100

from datasets.base import keep_classes
from datasets.sets.cifar import cifar10, cifar10_pair, cifar100
from utils.types import ConfigError, DataError

FOLDER = "cifar-10-batches-py"


def make_official(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the files of a folder pass for the official ones."""

    def md5(name: str) -> str:
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    monkeypatch.setattr(CIFAR10, "train_list", [[name, md5(name)] for name, _ in CIFAR10.train_list])
    monkeypatch.setattr(CIFAR10, "test_list", [[name, md5(name)] for name, _ in CIFAR10.test_list])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": md5("batches.meta")})


@pytest.mark.parametrize(("name", "read"), [("cifar10", cifar10), ("cifar100", cifar100)])
def test_pixels_labels_and_names_are_those_of_the_files(tmp_path: Path, name: str, read: Callable) -> None:
    data = read(data_path=str(write_cifar(tmp_path, name)), verify_checksums=False)
    num_train = 10 if name == "cifar10" else 3
    num_classes = 10 if name == "cifar10" else 100
    assert data.classes == tuple(f"{name} class {k}" for k in range(num_classes))
    assert data.train.labels.tolist() == [k % num_classes for k in range(num_train)]
    assert data.train.images.shape == (num_train, 32, 32, 3)
    assert data.train.images.flags.c_contiguous
    # the files hold channel, row, column
    assert data.train.images[2, 7, 5].tolist() == [(2 + c * 1024 + 7 * 32 + 5) % 256 for c in range(3)]
    assert f"a sample: {num_train} + {len(data.test)} of 50,000 + 10,000 images" in data.notes


def test_the_folder_itself_and_the_one_around_it_are_the_same(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    (tmp_path / FOLDER).rename(tmp_path / "renamed")
    data = cifar10(data_path=str(tmp_path / "renamed"), verify_checksums=False)
    shutil.copytree(tmp_path / "renamed", tmp_path / "again" / FOLDER)
    again = cifar10(data_path=str(tmp_path / "again"), verify_checksums=False)
    assert np.array_equal(np.asarray(data.train.images), np.asarray(again.train.images))


def test_official_files_earn_no_note_but_that_of_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path)
    make_official(monkeypatch, tmp_path / FOLDER)
    assert cifar10(data_path=str(tmp_path)).notes == ("a sample: 10 + 2 of 50,000 + 10,000 images",)


def test_all_altered_files_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path)
    make_official(monkeypatch, tmp_path / FOLDER)
    for name in ("data_batch_2", "test_batch"):
        content = pickle.loads((tmp_path / FOLDER / name).read_bytes())
        content["data"][0, 0] ^= 1
        (tmp_path / FOLDER / name).write_bytes(pickle.dumps(content))
    with pytest.raises(DataError) as caught:
        cifar10(data_path=str(tmp_path))
    assert "not the official content (md5 differs):\n  data_batch_2\n  test_batch\n" in str(caught.value)
    assert "verify_checksums: false" in str(caught.value)
    notes = cifar10(data_path=str(tmp_path), verify_checksums=False).notes
    assert notes[0] == "files that differ from the official ones (md5): data_batch_2, test_batch"


def test_missing_files_are_all_told_with_the_remedy(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    (tmp_path / FOLDER / "data_batch_3").unlink()
    (tmp_path / FOLDER / "batches.meta").unlink()
    with pytest.raises(DataError) as caught:
        cifar10(data_path=str(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path / FOLDER}: missing files:\n  data_batch_3\n  batches.meta\n`download: true` fetches them."
    )


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(marker),)

    write_cifar(tmp_path)
    (tmp_path / FOLDER / "data_batch_1").write_bytes(pickle.dumps({"data": Evil(), "labels": []}))
    with pytest.raises(DataError, match=r"data_batch_1: damaged or no CIFAR file: refused: it would run posix\.mkdir"):
        cifar10(data_path=str(tmp_path), verify_checksums=False)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"labels": [0]}, "'data' is no uint8 array of N rows of 3,072"),
        ({"data": np.zeros((1, 3072)), "labels": [0]}, "holds numbers of type 'f8' where bytes are expected"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, "2 images but 1 labels"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": [10]}, r"labels outside 0\.\.9: 10"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": [-1]}, r"labels outside 0\.\.9: -1"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": ["cat"]}, "'labels' is no list of integers"),
        ([1, 2], "holds no dictionary"),
    ],
)
def test_content_of_another_shape_is_refused_by_name(tmp_path: Path, content: object, message: str) -> None:
    write_cifar(tmp_path)
    (tmp_path / FOLDER / "data_batch_4").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=f"data_batch_4: .*{message}"):
        cifar10(data_path=str(tmp_path), verify_checksums=False)


def test_a_pair_is_what_keeping_its_two_classes_gives(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    names = ["cifar10 class 9", "cifar10 class 0"]
    pair = cifar10_pair(data_path=str(tmp_path), verify_checksums=False, classes=names)
    kept = keep_classes(cifar10(data_path=str(tmp_path), verify_checksums=False), names)
    assert pair.classes == tuple(names)
    assert pair.train.labels.tolist() == kept.train.labels.tolist() == [1, 0]
    assert np.array_equal(np.asarray(pair.train.images), np.asarray(kept.train.images))


def test_a_pair_is_airplane_and_truck_by_default_and_never_three(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    meta = tmp_path / FOLDER / "batches.meta"
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    meta.write_bytes(pickle.dumps({"label_names": names}))
    pair = cifar10_pair(data_path=str(tmp_path), verify_checksums=False)
    assert pair.classes == ("airplane", "truck")
    assert pair.train.labels.tolist() == [0, 1]
    with pytest.raises(ConfigError, match="classes: cifar10_pair takes exactly two, got 3: cat, dog, ship"):
        cifar10_pair(data_path=str(tmp_path), verify_checksums=False, classes=["cat", "dog", "ship"])


@pytest.mark.parametrize("share", [0, 0.3, 0.99])
def test_a_truncated_file_is_told_by_name(tmp_path: Path, share: float) -> None:
    write_cifar(tmp_path)
    path = tmp_path / FOLDER / "test_batch"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match="test_batch: damaged or no CIFAR file"):
        cifar10(data_path=str(tmp_path), verify_checksums=False)


def test_files_pickled_by_python_2_are_read_without_warnings(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    path = tmp_path / FOLDER / "data_batch_1"
    content = pickle.loads(path.read_bytes())
    pixels = content["data"].copy()
    pixels[:, 0] = 255
    # as NumPy 1 wrote it under Python 2: the module's old name, byte strings, integers for truth values
    text = pixels.tobytes()
    old = (
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
        b"(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + len(text).to_bytes(4, "little") + text + b"tbU\x06labels](K\x00K\x01eu."
    )
    path.write_bytes(old)
    data = cifar10(data_path=str(tmp_path), verify_checksums=False)
    assert np.array_equal(np.asarray(data.train.images)[:2, 0, 0, 0], [255, 255])
    assert np.array_equal(np.asarray(data.train.images)[1, 0, 1], pixels[1, [1, 1025, 2049]])


def test_download_completes_the_folder_and_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = shutil.make_archive(str(tmp_path / "cifar"), "gztar", write_cifar(tmp_path / "official"), FOLDER)
    make_official(monkeypatch, tmp_path / "official" / FOLDER)
    kept = tmp_path / "mine" / FOLDER / "data_batch_1"
    kept.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "official" / FOLDER / "data_batch_1", kept)
    os.utime(kept, (1, 1))

    def fetch(url: str, folder: Path, name: str, md5: str) -> None:
        assert (url, md5) == (CIFAR10.url, CIFAR10.tgz_md5)
        shutil.copy(archive, Path(folder) / name)

    monkeypatch.setattr("torchvision.datasets.utils.download_url", fetch)
    data = cifar10(data_path=str(tmp_path / "mine"), download=True)
    assert (len(data.train), len(data.test)) == (10, 2)
    assert kept.stat().st_mtime == 1


def test_without_a_network_download_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CIFAR100, "url", "http://127.0.0.1:9/cifar-100-python.tar.gz")
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9/.* cannot be downloaded to .*refused"):
        cifar100(data_path=str(tmp_path), download=True)


@pytest.mark.torture
def test_the_real_images_are_read_in_official_order(sample: Callable[[str], Path]) -> None:
    data = cifar10(data_path=str(sample("cifar10")), verify_checksums=False)
    assert (len(data.train), len(data.test)) == (50_000, 10_000)
    assert data.classes[:3] == ("airplane", "automobile", "bird")
    assert np.bincount(data.train.labels).tolist() == [5_000] * 10
    assert data.test.labels[:5].tolist() == [3, 8, 8, 0, 6]
    assert len(data.notes) == 1
    assert data.notes[0].endswith("test_batch")
