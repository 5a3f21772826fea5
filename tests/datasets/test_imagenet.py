from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from official_layouts import SYNSETS, annotation_table, draw, write_imagenet, write_lines
from scipy.io import savemat

from datasets.sets.imagenet import imagenet
from utils.types import DataError

KIT = Path("ILSVRC2012_devkit_t12", "data")
TRUTH = "ILSVRC2012_validation_ground_truth.txt"


@pytest.mark.parametrize("flat", [False, True])
def test_classes_are_the_sorted_synsets_whatever_the_kit_calls_them(tmp_path: Path, flat: bool) -> None:
    data = imagenet(data_path=str(write_imagenet(tmp_path, flat)))
    assert data.classes == ("n01440764", "n02119789", "n03000684")
    assert data.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert [Path(str(image)).name for image in data.train.images][:2] == ["n01440764_1.JPEG", "n01440764_2.JPEG"]
    # the kit's classes 1, 3, 2, 3 are n02119789, n03000684, n01440764, n03000684
    found = {
        Path(str(image)).stem[-1]: int(label) for image, label in zip(data.test.images, data.test.labels, strict=True)
    }
    assert found == {"1": 1, "2": 2, "3": 0, "4": 2}
    assert data.notes == ("a sample: 3 of 1,000 classes, 6 + 4 of 1,281,167 + 50,000 images",)


@pytest.mark.parametrize("flat", [False, True])
def test_validation_images_of_classes_that_train_lacks_are_left_out_with_a_note(tmp_path: Path, flat: bool) -> None:
    write_imagenet(tmp_path, flat)
    shutil.rmtree(tmp_path / "train" / SYNSETS[2])
    data = imagenet(data_path=str(tmp_path))
    assert data.test.labels.tolist() == [0, 1]
    assert data.notes[0] == "2 validation images left out: train has none of their 1 classes"


def test_class_folders_need_no_kit_and_flat_images_do(tmp_path: Path) -> None:
    shutil.rmtree(write_imagenet(tmp_path / "folders") / "ILSVRC2012_devkit_t12")
    assert len(imagenet(data_path=str(tmp_path / "folders")).test) == 4
    write_imagenet(tmp_path / "flat", flat=True)
    (tmp_path / "flat" / KIT / "meta.mat").unlink()
    with pytest.raises(
        DataError, match=r"(?s)val: has no class folders, .*:\n  meta.mat\nUnpack ILSVRC2012_devkit_t12"
    ):
        imagenet(data_path=str(tmp_path / "flat"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1", "0", "2", "3"], f"{TRUTH}: wrong lines:\n  line 2: no number of a class: 0"),
        (["1", "4", "2", "3"], f"{TRUTH}: wrong lines:\n  line 2: no number of a class: 4"),  # a parent of classes
        (["1", "n0", "2", "3"], f"{TRUTH}: wrong lines:\n  line 2: no number of a class: n0"),
        (["1", "3", "2"], f"val: images that .*{TRUTH} has no line for:\n  ILSVRC2012_val_00000004.JPEG"),
    ],
)
def test_a_truth_that_does_not_fit_is_told_by_line_or_image(tmp_path: Path, lines: list[str], message: str) -> None:
    write_imagenet(tmp_path, flat=True)
    write_lines(tmp_path / KIT / TRUTH, lines)
    with pytest.raises(DataError, match=message):
        imagenet(data_path=str(tmp_path))


def test_an_image_with_another_name_is_refused(tmp_path: Path) -> None:
    draw(write_imagenet(tmp_path, flat=True) / "val" / "mine.jpg", 7)
    with pytest.raises(DataError, match=r"has no line for:\n  mine.jpg"):
        imagenet(data_path=str(tmp_path))


def test_a_kit_of_another_content_is_told_by_what_it_lacks(tmp_path: Path) -> None:
    write_imagenet(tmp_path, flat=True)
    savemat(tmp_path / KIT / "meta.mat", {"synsets": annotation_table([{"WNID": name} for name in SYNSETS])})
    with pytest.raises(DataError, match=r"meta.mat: synsets lacks ILSVRC2012_ID, num_children"):
        imagenet(data_path=str(tmp_path))


def test_folders_that_are_no_synsets_or_hold_nothing_are_told_by_name(tmp_path: Path) -> None:
    write_imagenet(tmp_path)
    (tmp_path / "train" / "n07654321").mkdir()
    with pytest.raises(DataError, match=r"train: classes without images:\n  n07654321"):
        imagenet(data_path=str(tmp_path))
    (tmp_path / "train" / "goldfish").mkdir()
    with pytest.raises(DataError, match=r"train: no synsets, which are called n01440764 and so on:\n  goldfish"):
        imagenet(data_path=str(tmp_path))
    shutil.rmtree(tmp_path / "val")
    with pytest.raises(DataError, match=r"missing folders:\n  val\nIt is not downloaded: expected train/<synset>"):
        imagenet(data_path=str(tmp_path))
