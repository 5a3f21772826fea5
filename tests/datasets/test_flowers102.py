from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from official_layouts import write_flowers
from scipy.io import savemat
from torchvision.datasets import Flowers102

from datasets.sets.flowers102 import flowers102
from utils.types import ConfigError, DataError


def test_labels_and_parts_follow_the_official_numbers(tmp_path: Path) -> None:
    data = flowers102(data_path=str(write_flowers(tmp_path)), verify_checksums=False)
    assert [Path(str(path)).name for path in data.train.images] == [f"image_0000{k}.jpg" for k in (5, 6, 7, 8)]
    assert data.train.labels.tolist() == [96, 95, 94, 93]  # 102 - number, 1-based
    assert data.test.labels.tolist() == [100, 99, 98, 97]
    assert data.notes == ("files that differ from the official ones (md5): imagelabels.mat, setid.mat",)


def test_train_alone_leaves_the_validation_images_out(tmp_path: Path) -> None:
    data = flowers102(data_path=str(write_flowers(tmp_path)), verify_checksums=False, flowers_train="train")
    assert [Path(str(path)).name for path in data.train.images] == ["image_00005.jpg", "image_00006.jpg"]
    assert len(data.test) == 4


def test_another_choice_of_training_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="flowers_train: must be one of trainval, train, got 'trainvall'; did you mean"
    ):
        flowers102(data_path=str(tmp_path), flowers_train="trainvall")


def test_altered_labels_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"md5 differs\):\n  imagelabels.mat\n  setid.mat"):
        flowers102(data_path=str(write_flowers(tmp_path)))


def test_missing_files_are_all_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        flowers102(data_path=str(tmp_path))
    assert str(caught.value).splitlines() == [
        f"{tmp_path / 'flowers-102'}: missing:",
        "  imagelabels.mat",
        "  setid.mat",
        "  jpg",
        "`download: true` fetches them.",
    ]


def test_missing_images_are_told_by_name(tmp_path: Path) -> None:
    write_flowers(tmp_path)
    for number in (2, 7):
        (tmp_path / "flowers-102" / "jpg" / f"image_0000{number}.jpg").unlink()
    with pytest.raises(DataError, match=r"2 of 8 images are missing:\n  image_00002.jpg\n  image_00007.jpg"):
        flowers102(data_path=str(tmp_path), verify_checksums=False)


def test_labels_out_of_range_are_refused(tmp_path: Path) -> None:
    write_flowers(tmp_path)
    savemat(tmp_path / "flowers-102" / "imagelabels.mat", {"labels": np.array([[1, 2, 3, 4, 5, 6, 0, 103]])})
    with pytest.raises(DataError, match=r"imagelabels.mat: labels outside 1\.\.102: 0, 103"):
        flowers102(data_path=str(tmp_path), verify_checksums=False)


def test_parts_that_share_an_image_are_refused(tmp_path: Path) -> None:
    write_flowers(tmp_path)
    parts = {"trnid": [[5, 6]], "valid": [[6, 7]], "tstid": [[1, 2, 3, 4]]}
    savemat(tmp_path / "flowers-102" / "setid.mat", parts)
    with pytest.raises(DataError, match=r"setid\.mat: its three parts must name each of the 8 labelled images once"):
        flowers102(data_path=str(tmp_path), verify_checksums=False)


@pytest.mark.parametrize("content", [b"", b"no matlab", b"MATLAB 5.0 MAT-file" + bytes(200)])
def test_a_damaged_mat_file_is_told_by_name(tmp_path: Path, content: bytes) -> None:
    write_flowers(tmp_path)
    (tmp_path / "flowers-102" / "setid.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"setid.mat: (damaged or no MATLAB file|lacks trnid, valid, tstid)"):
        flowers102(data_path=str(tmp_path), verify_checksums=False)


def test_a_mat_file_of_something_else_is_told_by_what_it_lacks(tmp_path: Path) -> None:
    write_flowers(tmp_path)
    savemat(tmp_path / "flowers-102" / "setid.mat", {"trnid": [1], "other": [2]})
    with pytest.raises(DataError, match=r"setid.mat: lacks valid, tstid \(found: trnid, other\)"):
        flowers102(data_path=str(tmp_path), verify_checksums=False)


def test_download_fetches_only_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    official = write_flowers(tmp_path / "official") / "flowers-102"
    archive = shutil.make_archive(str(tmp_path / "images"), "gztar", official, "jpg")
    mine = tmp_path / "mine" / "flowers-102"
    mine.mkdir(parents=True)
    shutil.copy(official / "setid.mat", mine)
    fetched = []

    def fetch(url: str, folder: Path, name: str, md5: str) -> None:
        fetched.append(url.removeprefix(Flowers102._download_url_prefix))
        shutil.copy(archive if name.endswith(".tgz") else official / name, Path(folder) / name)

    monkeypatch.setattr("torchvision.datasets.utils.download_url", fetch)
    data = flowers102(data_path=str(tmp_path / "mine"), download=True, verify_checksums=False)
    assert (len(data.train), len(data.test)) == (4, 4)
    assert fetched == ["102flowers.tgz", "imagelabels.mat"]


def test_the_real_set_has_the_papers_counts(sample: Callable[[str], Path]) -> None:
    folder = str(sample("flowers102"))
    data = flowers102(data_path=folder)
    assert (len(data.train), len(data.test), len(data.classes)) == (2_040, 6_149, 102)
    assert len(flowers102(data_path=folder, flowers_train="train").train) == 1_020
    assert np.bincount(data.train.labels).tolist() == [20] * 102
    assert data.notes == ()
    first = [Path(str(path)).name for path in data.test.images].index("image_00001.jpg")
    assert data.classes[data.test.labels[first]] == Flowers102.classes[76]
