from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from official_layouts import write_aircraft, write_lines

from datasets import build_dataset
from datasets.base import keep_classes
from datasets.sets import fgvc_aircraft as module
from datasets.sets.fgvc_aircraft import fgvc_aircraft
from utils.types import ConfigError, DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_aircraft(tmp_path) / "fgvc-aircraft-2013b"


@pytest.mark.parametrize(
    ("annotation", "classes", "train", "test"),
    [
        ("variant", ("737-200", "737-700", "DR-400"), [1, 2], [0, 2]),
        ("family", ("Boeing 737", "DR-400"), [0, 1], [0, 1]),
        ("manufacturer", ("Boeing", "Robin"), [0, 1], [0, 1]),
    ],
)
def test_classes_and_labels_are_those_of_the_annotation(
    folder: Path, annotation: str, classes: tuple[str, ...], train: list[int], test: list[int]
) -> None:
    data = build_dataset("fgvc_aircraft", data_path=str(folder.parent), annotation=annotation)
    assert data.classes == classes
    assert data.train.labels.tolist() == train
    assert data.test.labels.tolist() == test
    assert [Path(str(image)).name for image in data.train.images] == ["0000004.jpg", "0000002.jpg"]
    assert data.notes[1] == "a sample: 2 + 2 of 6,667 + 3,333 images"


def test_another_annotation_is_refused() -> None:
    with pytest.raises(ConfigError, match="annotation: must be 'variant', 'family' or 'manufacturer', got 'model'"):
        build_dataset("fgvc_aircraft", annotation="model")


def test_the_banner_is_cut_off_and_boxes_end_above_it(folder: Path) -> None:
    data = fgvc_aircraft(data_path=str(folder))
    image = np.asarray(data.train.load(0))
    assert image.shape == (30, 40, 3)
    assert image[:25].max() < 60  # the banner is white
    assert data.train.size(0) == (30, 40)
    assert data.train.boxes is not None
    assert data.test.boxes is not None
    assert data.train.boxes.tolist() == [[0, 0, 40, 30], [4, 5, 20, 25]]  # 1-based and inclusive in the file
    assert data.test.boxes.tolist() == [[1, 2, 30, 30], [9, 10, 12, 13]]
    assert keep_classes(data, ["DR-400", "737-700"]).train.load(0).height == 30
    assert data.notes[0] == "1 of 4 boxes reached outside their image and were clipped: images/0000003.jpg"


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("images_variant_test.txt", ["0000003 737-300"], "line 1: '737-300' is no class of the set"),
        ("images_variant_test.txt", ["0000003 DR-400", "7 DR-400"], "line 2: 7 has no line in images_box.txt"),
        ("images_variant_test.txt", ["0000003"], "line 1: 1 fields, expected 2"),
        ("images_box.txt", ["0000003 1 1 5"], "line 1: 4 fields, expected 5"),
        ("images_box.txt", ["0000003 1 1 5 x"], "line 1: 0000003: the corners must be whole numbers"),
        ("images_box.txt", ["../3 1 1 5 5"], "line 1: '../3' is no image name"),
    ],
)
def test_wrong_lines_are_told_by_file_and_line(folder: Path, name: str, lines: list[str], message: str) -> None:
    write_lines(folder / "data" / name, lines)
    with pytest.raises(DataError, match=f"{name}: wrong lines:\n  {message}"):
        fgvc_aircraft(data_path=str(folder))


def test_an_image_of_both_parts_is_refused(folder: Path) -> None:
    write_lines(folder / "data" / "images_variant_test.txt", ["0000003 737-200", "0000002 DR-400"])
    with pytest.raises(DataError, match=r"listed more than once in .*trainval.txt and .*test.txt:\n  0000002"):
        fgvc_aircraft(data_path=str(folder))


def test_missing_files_and_images_are_told_by_name(folder: Path) -> None:
    (folder / "data" / "images" / "0000001.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 4 images are missing:\n  data/images/0000001.jpg"):
        fgvc_aircraft(data_path=str(folder))
    (folder / "data" / "images_family_test.txt").unlink()
    with pytest.raises(DataError, match=r"missing files:\n  data/images_family_test.txt\n`download: true`"):
        fgvc_aircraft(data_path=str(folder), annotation="family")


def test_download_unpacks_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    official = write_aircraft(tmp_path / "official")
    archive = shutil.make_archive(str(tmp_path / "aircraft"), "gztar", official, module.FOLDER)

    def fetch(url: str, folder: Path, name: str, md5: str) -> None:
        assert (url, md5) == (module.URL, "d4acdd33327262359767eeaa97a4f732")
        Path(folder).mkdir(exist_ok=True)
        shutil.copy(archive, Path(folder) / name)

    monkeypatch.setattr("torchvision.datasets.utils.download_url", fetch)
    data = fgvc_aircraft(data_path=str(tmp_path / "mine"), download=True)
    assert (len(data.train), len(data.test)) == (2, 2)
