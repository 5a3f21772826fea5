"""PASCAL VOC 2007 and 2012: boxes, masks of objects, and a class a pixel."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from datasets.base import DataSet, sample_note
from datasets.dense import BACKGROUND, IGNORED, Annotation, DenseTable, read_mask
from datasets.readers.downloads import download_archive
from datasets.readers.files import listing, read_list, refuse_missing
from datasets.readers.voc_boxes import Object, as_annotation, read_objects
from datasets.sets.penn_fudan import boxes_of
from utils.types import DataError

Task = Literal["segmentation", "detection", "instance_segmentation"]
FACTS = {
    "voc": {
        "num_classes": 21,
        "images": (16_551, 4_952),
        "tasks": ("segmentation", "detection", "instance_segmentation"),
    }
}
CLASSES = (
    *(BACKGROUND, "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
HOST = "https://thor.robots.ox.ac.uk/pascal/VOC"
ARCHIVES = {
    "2007": (f"{HOST}/voc2007/VOCtrainval_06-Nov-2007.tar", "c52e279531787c972589f7e41ab4ae64"),
    "2007 test": (f"{HOST}/voc2007/VOCtest_06-Nov-2007.tar", "b6e924de25625d8de591ea690078ad9f"),
    "2012": (f"{HOST}/voc2012/VOCtrainval_11-May-2012.tar", "6cd6e144f989b92b3379bac3b3de84fd"),
}
"""Address and md5."""
PARTS = {
    "2007": ((("2007", "trainval"),), ("2007", "test")),
    "2012": ((("2012", "train"),), ("2012", "val")),
    "2007+2012": ((("2007", "trainval"), ("2012", "trainval")), ("2007", "test")),
}
"""Edition -> the lists that train, and the one that is the test part; nobody has 2012's own."""
SIZES = {
    ("2007", "detection"): (5_011, 4_952),
    ("2012", "detection"): (5_717, 5_823),
    ("2007+2012", "detection"): (16_551, 4_952),
    **{("2007", task): (422, 210) for task in ("segmentation", "instance_segmentation")},
    **{("2012", task): (1_464, 1_449) for task in ("segmentation", "instance_segmentation")},
    **{("2007+2012", task): (3_335, 210) for task in ("segmentation", "instance_segmentation")},
}
FOLDERS = {
    "segmentation": "SegmentationClass",
    "detection": "Annotations",
    "instance_segmentation": "SegmentationObject",
}


def voc(
    *,
    data_path: str | None = None,
    download: bool = False,
    task: Task = "detection",
    edition: Literal["2007", "2012", "2007+2012"] = "2007+2012",
) -> DataSet:
    """Read PASCAL VOC: 20 classes of objects. Difficult objects neither train nor count as missed.

    Args:
        data_path: folder VOCdevkit (VOC2007/, VOC2012/) or the one around it; by default input/voc.
        download: fetch missing archives.
        edition: 2007: trainval and test; 2012: train and val; 2007+2012: both trainval parts and the test part of 2007.

    Raises: DataError naming what is missing or wrong.
    Source: Everingham et al. 2010, "The Pascal Visual Object Classes (VOC) Challenge".
    """
    outer = Path(data_path or "input/voc").expanduser()
    devkit = outer if outer.name == "VOCdevkit" else outer / "VOCdevkit"
    train_lists, test_list = PARTS[edition]
    lists = [*train_lists, test_list]
    kind = "Main" if task == "detection" else "Segmentation"
    paths = {each: devkit / f"VOC{each[0]}" / "ImageSets" / kind / f"{each[1]}.txt" for each in lists}
    for (year, part), path in paths.items():
        if download and not path.is_file():
            download_archive(*ARCHIVES[f"{year} test" if part == "test" else year], devkit.parent)
    if missing := [path for path in paths.values() if not path.is_file()]:
        raise DataError(f"{devkit}: missing:\n{listing(missing)}\n`download: true` fetches them.")
    tables = [_table(devkit, {each: paths[each] for each in part}, task) for part in (train_lists, [test_list])]
    notes = sample_note([len(table) for table in tables], SIZES[edition, task])
    return DataSet(CLASSES, tables[0], tables[1], notes, kind=task)


def _table(devkit: Path, lists: dict[tuple[str, str], Path], task: Task) -> DenseTable:
    images, files = [], []
    for (year, _), path in lists.items():
        folder = devkit / f"VOC{year}"
        for name in (line.fields[0] for line in read_list(path, 1)):
            images.append(folder / "JPEGImages" / f"{name}.jpg")
            files.append(folder / FOLDERS[task] / f"{name}{'.xml' if task == 'detection' else '.png'}")
    refuse_missing(devkit, images)
    refuse_missing(devkit, files)
    read = {"segmentation": _read_pixels, "detection": _read_boxes, "instance_segmentation": _read_masks}[task]
    return DenseTable(images, np.zeros(len(images), dtype=np.int64), annotations=files, read=read)


def _read_pixels(path: Path) -> Annotation:
    return Annotation(pixels=read_mask(path).astype(np.uint8))


def _label(path: Path, one: Object) -> int:
    if one.name not in CLASSES[1:]:
        raise DataError(f"{path}: unknown category {one.name!r}; one of {', '.join(CLASSES[1:])}")
    return CLASSES.index(one.name)


def _read_boxes(path: Path) -> Annotation:
    objects = read_objects(path)
    return as_annotation(objects, [*map(partial(_label, path), objects)])


def _read_masks(path: Path) -> Annotation:
    """Read the masks of an image's objects; each has the class that most of its pixels have."""
    numbers, pixels = read_mask(path), read_mask(path.parents[1] / FOLDERS["segmentation"] / path.name)
    if numbers.shape != pixels.shape:
        raise DataError(f"{path}: its size is not that of the classes' picture")
    present = [k for k in np.unique(numbers).tolist() if k not in (0, IGNORED)]
    masks = np.stack([numbers == k for k in present]) if present else np.zeros((0, *numbers.shape), dtype=bool)
    labels = [int(np.bincount(pixels[mask], minlength=256)[:IGNORED].argmax()) for mask in masks]
    return Annotation(boxes=boxes_of(masks), labels=np.array(labels, dtype=np.int64), masks=masks)
