from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from official_layouts import ADIENCE_HEAD, write_adience, write_lines

from datasets import build_dataset
from datasets.sets.adience import adience
from utils.types import ConfigError, DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_adience(tmp_path)


def test_one_fold_is_tested_and_the_others_train(folder: Path) -> None:
    data = adience(data_path=str(folder), fold=4)
    assert data.classes == ("0-2", "4-6", "8-12", "15-20", "25-32", "38-43", "48-53", "60-100")
    assert data.ordered
    assert data.test.labels.tolist() == [3, 6, 2]
    assert data.train.labels.tolist() == [0, 7, 4, 4, 5, 1]
    assert {Path(str(image)).parent.name for image in data.test.images} == {"40@N0"}
    assert adience(data_path=str(folder)).test.labels.tolist() == [0, 7]


def test_folds_together_test_every_face_once(folder: Path) -> None:
    runs = [build_dataset("adience", data_path=str(folder), fold=fold) for fold in range(5)]
    tested = [str(image) for data in runs for image in data.test.images]
    assert len(tested) == len(set(tested)) == 9
    for data in runs:
        assert set(map(str, data.train.images)) == set(tested) - set(map(str, data.test.images))


def test_ages_outside_the_eight_ranges_are_left_out_and_counted(folder: Path) -> None:
    assert adience(data_path=str(folder)).notes == (
        "fold 0 is the test part; validation images show the same people as training images",
        "6 faces left out whose age is none of the eight ranges: None 1, (38, 48) 1, 13 1, nothing 1, 56 1, 35 1",
    )


def test_the_misspelt_range_is_the_one_it_means(folder: Path) -> None:
    data = adience(data_path=str(folder), fold=1)
    assert data.test.labels.tolist() == [4, 4]  # "(25, 32)" and "(25, 23)"


def test_the_nearest_class_takes_other_ages_but_no_missing_ones(folder: Path) -> None:
    ages = [
        adience(data_path=str(folder), fold=fold, other_ages="nearest").test.labels.tolist() for fold in (0, 1, 2, 3)
    ]
    assert ages == [[0, 7, 4], [4, 4], [5, 5, 2], [1, 6]]  # 35 is as near to 32 as to 38, 56 nearer to 53


@pytest.mark.parametrize(
    ("age", "label"),
    [("3", 0), ("7", 1), ("22", 3), ("23", 4), ("57", 7), ("(38, 42)", 5), ("(27, 32)", 4), ("101", 7)],
)
def test_of_two_classes_as_near_the_younger_takes_an_age(folder: Path, age: str, label: int) -> None:
    row = ["40@N0", "4_0_o.jpg", "4", age, *"f1234567"]
    write_lines(folder / "fold_4_data.txt", [ADIENCE_HEAD.replace(" ", "\t"), "\t".join(row)])
    assert adience(data_path=str(folder), fold=4, other_ages="nearest").test.labels.tolist() == [label]


def test_either_crop_is_taken(folder: Path) -> None:
    aligned = np.asarray(adience(data_path=str(folder)).test.load(0))
    faces = np.asarray(build_dataset("adience", data_path=str(folder), images="faces").test.load(0))
    assert int(faces[0, 0, 0]) - int(aligned[0, 0, 0]) > 150


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"fold": 5}, "fold: must be 0, 1, 2, 3 or 4, got 5"),
        ({"fold": True}, "fold: must be 0, 1, 2, 3 or 4, got True"),
        ({"images": "raw"}, "images: must be 'aligned' or 'faces', got 'raw'"),
        ({"other_ages": "keep"}, "other_ages: must be 'drop' or 'nearest', got 'keep'"),
    ],
)
def test_other_choices_are_refused(params: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_dataset("adience", **params)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("u\to.jpg\t1\tyoung\tf\t1\t2\t3\t4\t5\t6\t7", "line 2: 'young' is no age, such as 35 or "),
        ("u\to.jpg\t1\t(25, 32)", "line 2: 4 fields, expected 12"),
        (
            "../u\to.jpg\t1\t(25, 32)\tf\t1\t2\t3\t4\t5\t6\t7",
            "line 2: '../u/landmark_aligned_face.1.o.jpg' is no image",
        ),
    ],
)
def test_wrong_lines_are_told_by_file_and_line(folder: Path, line: str, message: str) -> None:
    write_lines(folder / "fold_2_data.txt", [ADIENCE_HEAD.replace(" ", "\t"), line])
    with pytest.raises(DataError, match=f"fold_2_data.txt: wrong lines:\n  {message}"):
        adience(data_path=str(folder))


def test_a_list_without_its_head_is_refused(folder: Path) -> None:
    write_lines(folder / "fold_2_data.txt", (folder / "fold_2_data.txt").read_text().splitlines()[1:])
    with pytest.raises(DataError, match=r"fold_2_data\.txt: must begin with the columns user_id, original_image, "):
        adience(data_path=str(folder))


def test_a_person_of_both_parts_is_noted(folder: Path) -> None:
    shutil.copy(folder / "fold_1_data.txt", folder / "fold_0_data.txt")
    assert adience(data_path=str(folder)).notes[-1] == "1 people appear in training and test images"


def test_missing_lists_and_images_are_told_by_name(folder: Path) -> None:
    (folder / "aligned" / "00@N0" / "landmark_aligned_face.0.0_1_o.jpg").unlink()
    with pytest.raises(
        DataError, match=r"1 of 9 images are missing:\n  aligned/00@N0/landmark_aligned_face.0.0_1_o.jpg"
    ):
        adience(data_path=str(folder))
    (folder / "fold_3_data.txt").unlink()
    shutil.rmtree(folder / "aligned")
    with pytest.raises(DataError, match=r"missing files:\n  fold_3_data.txt\n  aligned\nAdience's authors"):
        adience(data_path=str(folder))
