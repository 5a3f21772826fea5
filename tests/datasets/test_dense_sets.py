"""Data sets of pixels and objects: what they say of an image, and every mistake in their files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dense_layouts import (
    instances,
    save_mask,
    write_coco,
    write_own,
    write_penn_fudan,
    write_pets,
    write_voc,
    write_xml,
)

from datasets import build_dataset
from datasets.base import DataSet
from datasets.dense import DenseTable
from datasets.sets.coco import outlined
from utils.types import DataError


def table(data: DataSet) -> DenseTable:
    assert isinstance(data.train, DenseTable)
    return data.train


def test_voc_says_the_same_of_an_object_by_box_and_by_mask(tmp_path: Path) -> None:
    write_voc(tmp_path)
    boxes, masks, pixels = (
        table(build_dataset("voc", data_path=str(tmp_path), task=task, edition="2007")).annotation(1)
        for task in ("detection", "instance_segmentation", "segmentation")
    )
    assert boxes.boxes is not None
    assert masks.boxes is not None
    assert masks.masks is not None
    assert boxes.boxes.tolist() == masks.boxes.tolist() == [[2, 3, 6, 7], [9, 7, 15, 12]]
    assert boxes.labels is not None
    assert masks.labels is not None
    assert boxes.labels.tolist() == masks.labels.tolist() == [8, 15]
    assert pixels.pixels is not None
    assert np.array_equal(masks.masks[0], pixels.pixels == 8)
    assert set(np.unique(pixels.pixels)) == {0, 8, 15, 255}


def test_difficult_objects_of_voc_are_crowds(tmp_path: Path) -> None:
    data = build_dataset("voc", data_path=str(write_voc(tmp_path)), edition="2007")
    assert [table(data).annotation(row).crowd.tolist() for row in (0, 1)] == [[True, True], [False, False]]  # type: ignore[union-attr]


def test_both_editions_of_voc_train_and_2007_tests(tmp_path: Path) -> None:
    data = build_dataset("voc", data_path=str(write_voc(tmp_path)))
    assert (len(data.train), len(data.test)) == (8, 4)
    assert data.notes == ("a sample: 8 + 4 of 16,551 + 4,952 images",)


def test_coco_s_categories_are_numbered_in_their_order(tmp_path: Path) -> None:
    data = build_dataset("coco", data_path=str(write_coco(tmp_path)), task="instance_segmentation")
    assert data.classes == ("background", "bicycle", "cat")
    one = table(data).annotation(0)
    assert one.labels is not None
    assert one.boxes is not None
    assert one.masks is not None
    assert one.labels.tolist() == [1, 2]
    assert one.boxes.tolist() == [[2, 4, 6, 10], [10, 4, 14, 10]]
    assert [mask[4:10, 2:6].all() for mask in one.masks] == [True, False]
    assert "1 of 4 images show no object" in " ".join(data.notes)


def test_polygons_and_run_lengths_are_one_mask() -> None:
    by_polygon = outlined([[2, 1, 5, 1, 5, 4, 2, 4]], 6, 7)
    runs = {"counts": [13, 3, 3, 3, 3, 3, 14], "size": [6, 7]}
    assert np.array_equal(outlined(runs, 6, 7), by_polygon)
    assert outlined(runs, 6, 7).sum() == 9
    packed = pytest.importorskip("pycocotools.mask").encode(np.asfortranarray(outlined(runs, 6, 7).astype(np.uint8)))
    assert np.array_equal(outlined({"counts": packed["counts"].decode()}, 6, 7), outlined(runs, 6, 7))


def test_boxed_pets_hold_every_fifth_head_out(tmp_path: Path) -> None:
    data = build_dataset("pets_segmentation", data_path=str(write_pets(tmp_path)), task="detection")
    assert (len(data.train), len(data.test), data.kind) == (7, 1, "detection")
    one = table(data).annotation(0)
    assert one.boxes is not None
    assert one.boxes.tolist() == [[4, 4, 10, 8]]


def join(data: DataSet) -> DenseTable:
    """Return the rows of both parts."""
    one, other = table(data), data.test
    assert isinstance(other, DenseTable)
    images, labels = [*one.images, *other.images], np.concatenate([one.labels, other.labels])
    return dataclasses.replace(one, images=images, labels=labels, annotations=[*one.annotations, *other.annotations])


def change(key: str, place: int, **values: Any) -> Callable[[dict], None]:
    return lambda content: content[key][place].update(values)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (change("annotations", 0, image_id=99), "object 0 of image 99: there is no such image"),
        (change("annotations", 1, category_id=5), "object 1 of image 10: there is no category 5"),
        (change("annotations", 1, bbox=[1, 2]), r"bbox must hold x, y, width and height, got \[1.0, 2.0\]"),
        (change("annotations", 2, segmentation=[]), "object 2 of image 11: has no segmentation"),
        (change("images", 0, file_name="../x.jpg"), "image 10: '../x.jpg' leaves the folder"),
        (change("images", 0, file_name="gone.jpg"), "1 of 4 images are missing"),
        (change("images", 0, id=11), "an image's id stands twice"),
        (change("categories", 0, name="bicycle"), "categories must have names, all different"),
        (lambda content: content.pop("images"), "no instances as COCO describes them: .*images"),
    ],
)
def test_mistakes_in_json_are_named(mistake: Callable, message: str, tmp_path: Path) -> None:
    write_own(tmp_path)
    content = instances(tmp_path, "images/train_")
    mistake(content)
    (tmp_path / "train.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        build_dataset("detection_folder", data_path=str(tmp_path), task="instance_segmentation")


def test_boxes_outside_their_image_are_named(tmp_path: Path) -> None:
    write_own(tmp_path)
    content = instances(tmp_path, "images/train_")
    content["annotations"][0]["bbox"] = [15, 4, 40, 6]
    (tmp_path / "train.json").write_text(json.dumps(content))
    data = build_dataset("detection_folder", data_path=str(tmp_path))
    with pytest.raises(DataError, match=r"train_0.jpg: object 1: box \[15.0, 4.0, 55.0, 10.0\] lies outside the image"):
        table(data).refuse_problems(3)


def test_a_box_without_area_is_left_out_with_a_note(tmp_path: Path) -> None:
    write_own(tmp_path)
    content = instances(tmp_path, "images/train_")
    content["annotations"][0]["bbox"] = [5, 4, 0, 6]
    (tmp_path / "train.json").write_text(json.dumps(content))
    data = build_dataset("detection_folder", data_path=str(tmp_path))
    assert "train.json: 1 boxes without area were left out" in data.notes


def test_masks_of_another_size_and_unknown_classes_are_named(tmp_path: Path) -> None:
    write_voc(tmp_path)
    root = tmp_path / "VOCdevkit" / "VOC2007"
    save_mask(root / "SegmentationClass" / "2007_000000.png", np.zeros((5, 5)))
    save_mask(root / "SegmentationClass" / "2007_000001.png", np.full((16, 20), 44))
    data = build_dataset("voc", data_path=str(tmp_path), task="segmentation", edition="2007")
    with pytest.raises(DataError, match=r"(?s)2 annotations.*its pixels are 5 x 5, the image is 16 x 20.*class 44"):
        table(data).refuse_problems(21)
    write_xml(root / "Annotations" / "2007_000000.xml", [("unicorn", (1, 1, 5, 5))])
    data = build_dataset("voc", data_path=str(tmp_path), edition="2007")
    with pytest.raises(DataError, match="unknown category 'unicorn'"):
        table(data).refuse_problems(21)


def test_penn_fudan_s_masks_and_images_have_partners(tmp_path: Path) -> None:
    folder = write_penn_fudan(tmp_path) / "PennFudanPed"
    save_mask(folder / "PedMasks" / "FudanPed00003_mask.png", np.eye(16, 20) * 2)
    data = build_dataset("penn_fudan", data_path=str(tmp_path), num_test=1)
    with pytest.raises(DataError, match="no pixels of pedestrian 1 of 2"):
        join(data).refuse_problems(2)
    (folder / "PedMasks" / "FudanPed00004_mask.png").unlink()
    with pytest.raises(DataError, match="FudanPed00004"):
        build_dataset("penn_fudan", data_path=str(tmp_path))
