from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from official_layouts import BIRDS, write_cub, write_lines

from datasets.sets import cub200 as module
from datasets.sets.cub200 import cub200
from utils.types import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_cub(tmp_path) / "CUB_200_2011"


def test_labels_parts_and_names_follow_the_lists(folder: Path) -> None:
    data = cub200(data_path=str(folder.parent))
    assert data.classes == tuple(BIRDS)
    assert [Path(str(image)).name for image in data.train.images] == ["bird_1.jpg", "bird_2.jpg", "bird_4.jpg"]
    assert data.train.labels.tolist() == [2, 0, 1]
    assert data.test.labels.tolist() == [1, 2]
    assert data.notes[1] == "a sample: 3 + 2 of 5,994 + 5,794 images"


def test_boxes_hold_all_pixels_they_touch_and_are_clipped_with_a_note(folder: Path) -> None:
    data = cub200(data_path=str(folder))
    assert data.train.boxes is not None
    assert data.test.boxes is not None
    assert data.train.boxes.tolist() == [[0, 0, 20, 16], [2, 3, 7, 9], [10, 9, 20, 16]]
    assert data.test.boxes.tolist() == [[1, 2, 6, 7], [19, 15, 20, 16]]
    assert data.notes[0] == (
        "1 of 5 boxes reached outside their image and were clipped: 002.Laysan_Albatross/bird_4.jpg"
    )


def test_lists_are_matched_by_id_whatever_their_order(folder: Path) -> None:
    expected = cub200(data_path=str(folder))
    for name in ("image_class_labels.txt", "bounding_boxes.txt", "train_test_split.txt"):
        write_lines(folder / name, (folder / name).read_text().splitlines()[::-1])
    data = cub200(data_path=str(folder))
    assert data.train.labels.tolist() == expected.train.labels.tolist()
    assert str(data.train.boxes) == str(expected.train.boxes)


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("image_class_labels.txt", ["1 0", "2 1", "3 2", "4 2", "5 3"], "image 1: must be a class from 1 to 3, got 0"),
        ("image_class_labels.txt", ["1 4", "2 1", "3 2", "4 2", "5 3"], "image 1: must be a class from 1 to 3, got 4"),
        ("image_class_labels.txt", ["1 3", "2 x"], "wrong lines:\n  line 2: cannot be read: 2 x"),
        ("image_class_labels.txt", ["1 3", "1 2"], "wrong lines:\n  line 2: 1 stands twice"),
        ("image_class_labels.txt", ["9 3"], "wrong lines:\n  line 1: 9 is no image of images.txt"),
        ("image_class_labels.txt", ["1 3", "2"], "wrong lines:\n  line 2: 1 fields, expected 2"),
        ("image_class_labels.txt", ["1 3", "2 1"], "lacks images:\n  3 002.Laysan_Albatross/bird_3.jpg\n  4 "),
        ("image_class_labels.txt", [], "holds no lines"),
        ("train_test_split.txt", ["1 1", "2 2", "3 0", "4 1", "5 0"], r"image 2: must be 1 \(training\) or 0 \(test\)"),
        ("bounding_boxes.txt", ["1 0.0 0.0 20.0"], "line 1: cannot be read: 1 0.0 0.0 20.0"),
        ("bounding_boxes.txt", ["1 0.0 nan 20.0 3.0"], "line 1: cannot be read"),
        ("classes.txt", ["1 a", "3 b"], "must number 2 different classes from 1 on, in order"),
        ("images.txt", ["1 ../x.jpg", "2 a", "3 b", "4 c", "5 d"], "names that lead out of images:\n  ../x.jpg"),
    ],
)
def test_wrong_lines_are_told_by_file_and_line(folder: Path, name: str, lines: list[str], message: str) -> None:
    write_lines(folder / name, lines)
    with pytest.raises(DataError, match=f"{name}: (wrong (lines|values):\n  )?{message}"):
        cub200(data_path=str(folder))


def test_a_box_without_area_is_refused_as_it_is_published(folder: Path) -> None:
    boxes = (folder / "bounding_boxes.txt").read_text().splitlines()
    write_lines(folder / "bounding_boxes.txt", [*boxes[:4], "5 25.0 0.0 4.0 4.0"])
    with pytest.raises(DataError, match=r"bird_5\.jpg: \(25\.0, 0\.0, 4\.0, 4\.0\) in 20 x 16 pixels"):
        cub200(data_path=str(folder))


def test_missing_files_and_images_are_told_by_name(folder: Path) -> None:
    (folder / "images" / BIRDS[1] / "bird_3.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 5 images are missing:\n  images/002.Laysan_Albatross/bird_3.jpg"):
        cub200(data_path=str(folder))
    (folder / "classes.txt").unlink()
    shutil.rmtree(folder / "images")
    with pytest.raises(DataError, match=r"missing files:\n  classes.txt\n  images\n`download: true` fetches them"):
        cub200(data_path=str(folder))


def test_download_unpacks_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = shutil.make_archive(str(tmp_path / "birds"), "gztar", write_cub(tmp_path / "official"), "CUB_200_2011")

    def fetch(url: str, folder: Path, name: str, md5: str) -> None:
        assert (url, md5) == (module.URL, "97eceeb196236b17998738112f37df78")
        Path(folder).mkdir(exist_ok=True)
        shutil.copy(archive, Path(folder) / name)

    monkeypatch.setattr("torchvision.datasets.utils.download_url", fetch)
    data = cub200(data_path=str(tmp_path / "mine"), download=True)
    assert (len(data.train), len(data.test)) == (3, 2)
    (tmp_path / "mine" / "CUB_200_2011").rename(tmp_path / "mine" / "birds")
    (tmp_path / "mine" / "birds" / "classes.txt").unlink()
    with pytest.raises(DataError, match="birds: must be called CUB_200_2011 for `download: true`"):
        cub200(data_path=str(tmp_path / "mine" / "birds"), download=True)
