from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from official_layouts import write_svhn
from scipy.io import savemat
from torchvision.datasets import SVHN

from datasets.sets.svhn import svhn
from utils.types import DataError


def make_official(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the files of a folder pass for the official ones."""
    files = {
        part: [url, name, hashlib.md5((folder / name).read_bytes()).hexdigest()]
        for part, (url, name, _) in SVHN.split_list.items()
    }
    monkeypatch.setattr(SVHN, "split_list", files)


def test_ten_is_the_digit_zero_and_pixels_stay_where_they_are(tmp_path: Path) -> None:
    data = svhn(data_path=str(write_svhn(tmp_path)), verify_checksums=False)
    assert data.classes == tuple("0123456789")
    assert data.train.labels.tolist() == [1, 0, 9, 5]  # 1, 10, 9, 5 in the file
    assert data.test.labels.tolist() == [0, 2, 3]
    images = np.asarray(data.train.images)
    assert images.shape == (4, 32, 32, 3)
    assert images.flags.c_contiguous
    assert images[2, 7, 5].tolist() == [(2 + 10 * 7 + 3 * 5 + c) % 256 for c in range(3)]
    assert data.notes[1] == "a sample: 4 + 3 of 73,257 + 26,032 images"


def test_the_extra_part_is_trained_on_and_needed_only_when_asked_for(tmp_path: Path) -> None:
    write_svhn(tmp_path)
    data = svhn(data_path=str(tmp_path), verify_checksums=False, extra=True)
    assert data.train.labels.tolist() == [1, 0, 9, 5, 6, 0]
    assert len(data.test) == 3
    assert data.notes[1] == "a sample: 4 + 2 + 3 of 73,257 + 531,131 + 26,032 images"
    (tmp_path / "extra_32x32.mat").unlink()
    assert len(svhn(data_path=str(tmp_path), verify_checksums=False).train) == 4
    with pytest.raises(DataError, match=r"missing files:\n  extra_32x32.mat\n`download: true` fetches them"):
        svhn(data_path=str(tmp_path), verify_checksums=False, extra=True)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 2, 3], "labels outside 1..10, where 10 is the digit 0: 0"),
        ([1, 2, 11], "labels outside 1..10, where 10 is the digit 0: 11"),
        ([1, 2], "3 images but 2 labels"),
    ],
)
def test_other_labels_are_refused_by_file(tmp_path: Path, labels: list[int], message: str) -> None:
    write_svhn(tmp_path)
    savemat(tmp_path / "test_32x32.mat", {"X": np.zeros((32, 32, 3, 3), np.uint8), "y": np.array(labels)[:, None]})
    with pytest.raises(DataError, match=f"test_32x32.mat: {message}"):
        svhn(data_path=str(tmp_path), verify_checksums=False)


def test_images_of_another_shape_are_refused(tmp_path: Path) -> None:
    write_svhn(tmp_path)
    savemat(tmp_path / "train_32x32.mat", {"X": np.zeros((3, 32, 32, 3), np.uint8), "y": np.ones((3, 1))})
    with pytest.raises(DataError, match=r"train_32x32.mat: 'X' is no array of bytes .* but uint8 \(3, 32, 32, 3\)"):
        svhn(data_path=str(tmp_path), verify_checksums=False)


def test_altered_files_are_refused_by_name_and_official_ones_earn_no_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_svhn(tmp_path)
    with pytest.raises(DataError, match=r"md5 differs\):\n  train_32x32.mat\n  test_32x32.mat"):
        svhn(data_path=str(tmp_path))
    make_official(monkeypatch, tmp_path)
    assert svhn(data_path=str(tmp_path)).notes == ("a sample: 4 + 3 of 73,257 + 26,032 images",)


def test_download_fetches_only_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    official = write_svhn(tmp_path / "official")
    (tmp_path / "mine").mkdir()
    shutil.copy(official / "test_32x32.mat", tmp_path / "mine")
    fetched = []

    def fetch(url: str, folder: Path, name: str, md5: str) -> None:
        fetched.append((url, md5))
        shutil.copy(official / name, Path(folder) / name)

    monkeypatch.setattr("torchvision.datasets.utils.download_url", fetch)
    data = svhn(data_path=str(tmp_path / "mine"), download=True, verify_checksums=False)
    assert len(data.train) == 4
    assert fetched == [(SVHN.split_list["train"][0], SVHN.split_list["train"][2])]
