from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from official_layouts import write_fashion_mnist
from torchvision.datasets import FashionMNIST

from datasets.sets.fashion_mnist import fashion_mnist
from utils.types import DataError

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


def test_pixels_and_labels_are_those_of_the_files(tmp_path: Path) -> None:
    data = fashion_mnist(data_path=str(write_fashion_mnist(tmp_path)), verify_checksums=False)
    assert data.classes[9] == "Ankle boot"
    assert data.train.labels.tolist() == [9, 0, 3, 7, 2]
    assert data.test.labels.tolist() == [1, 8]
    images = np.asarray(data.train.images)
    assert images.shape == (5, 28, 28)
    assert images[4, 27, 3] == (4 + 27 * 28 + 3) % 256
    assert data.train.load(1).mode == "L"
    assert data.notes[1] == "a sample: 5 + 2 of 60,000 + 10,000 images"


def test_the_folder_that_torchvision_keeps_is_found(tmp_path: Path) -> None:
    write_fashion_mnist(tmp_path / "FashionMNIST" / "raw")
    assert len(fashion_mnist(data_path=str(tmp_path), verify_checksums=False).train) == 5


def test_missing_and_altered_files_are_told_by_name(tmp_path: Path) -> None:
    write_fashion_mnist(tmp_path)
    with pytest.raises(DataError, match=rf"md5 differs\):\n  {IMAGES}\n  {LABELS}\n  t10k-images"):
        fashion_mnist(data_path=str(tmp_path))
    (tmp_path / LABELS).unlink()
    with pytest.raises(DataError, match=rf"missing files:\n  {LABELS}\n`download: true`"):
        fashion_mnist(data_path=str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (LABELS, bytes((0, 0, 8, 1, 0, 0, 0, 5, 0, 1, 2, 3, 10)), r"labels outside 0\.\.9: 10"),
        (LABELS, bytes((0, 0, 8, 1, 0, 0, 0, 2, 0, 1)), rf"5 images but 2 labels in {LABELS}"),
        (LABELS, bytes((0, 0, 8, 3, 0, 0, 0, 2, 0, 1)), "no idx file of bytes in 1 dimensions: .* 00 00 08 03"),
        (LABELS, bytes((0, 0, 8, 1, 0, 0, 0, 5, 0, 1)), "damaged: its head promises 5 bytes, 2 follow"),
        (LABELS, bytes((0, 0, 8, 1, 0, 0, 0, 1, 0, 1)), "damaged: its head promises 1 bytes, more follow"),
        (LABELS, bytes((0, 0, 8, 1, 0)), "damaged or no gzipped idx file"),
        (IMAGES, b"", "no idx file of bytes in 3 dimensions"),
    ],
)
def test_content_that_is_no_such_file_is_refused_by_name(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    write_fashion_mnist(tmp_path)
    (tmp_path / name).write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match=message):
        fashion_mnist(data_path=str(tmp_path), verify_checksums=False)


@pytest.mark.parametrize("content", [b"", b"plain text", gzip.compress(bytes(100))[:-20]])
def test_a_file_that_is_not_gzipped_or_cut_off_is_told_by_name(tmp_path: Path, content: bytes) -> None:
    write_fashion_mnist(tmp_path)
    (tmp_path / IMAGES).write_bytes(content)
    with pytest.raises(DataError, match=rf"{IMAGES}: (damaged or no gzipped idx file|no idx file)"):
        fashion_mnist(data_path=str(tmp_path), verify_checksums=False)


def test_download_fetches_the_official_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    official = write_fashion_mnist(tmp_path / "official")
    fetched = {}

    def fetch(url: str, folder: Path, name: str, md5: str) -> None:
        fetched[url] = md5
        Path(folder).mkdir(exist_ok=True)
        shutil.copy(official / name, Path(folder) / name)

    monkeypatch.setattr("torchvision.datasets.utils.download_url", fetch)
    data = fashion_mnist(data_path=str(tmp_path / "mine"), download=True, verify_checksums=False)
    assert (len(data.train), len(data.test)) == (5, 2)
    assert fetched == {FashionMNIST.mirrors[0] + name: md5 for name, md5 in FashionMNIST.resources}
