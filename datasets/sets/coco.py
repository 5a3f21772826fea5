"""COCO, and the user's own images described as COCO describes its own: one json file of instances a part."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from datasets.base import DataSet, sample_note
from datasets.dense import BACKGROUND, Annotation, DenseTable
from datasets.readers.files import MAX_TABLE_BYTES, leads_out, listing, read_bytes, refuse_missing
from utils.types import ConfigError, DataError

FACTS = {
    "coco": {"num_classes": 81, "images": (118_287, 5_000), "tasks": ("detection", "instance_segmentation")},
    "detection_folder": {"tasks": ("detection", "instance_segmentation")},
}
LARGEST = 8 * MAX_TABLE_BYTES
Task = Literal["detection", "instance_segmentation"]


class _Image(msgspec.Struct):
    id: int
    file_name: str
    height: int
    width: int


class _Category(msgspec.Struct):
    id: int
    name: str


class _Object(msgspec.Struct):
    image_id: int
    category_id: int
    bbox: list[float]
    id: int | None = None
    iscrowd: int = 0
    segmentation: Any = None


class Instances(msgspec.Struct):
    """What is read of an instances file; it may hold more."""

    images: list[_Image]
    annotations: list[_Object]
    categories: list[_Category]


def coco(*, data_path: str | None = None, task: Task = "detection") -> DataSet:
    """Read COCO 2017: 118,287 training images and, as the test part, the 5,000 of val2017.

    Args: data_path: folder of train2017/, val2017/ and annotations/instances_*.json; by default input/coco.
    Raises: DataError naming what is missing or wrong.
    Source: Lin et al. 2014, "Microsoft COCO: Common Objects in Context", arXiv:1405.0312; from cocodataset.org, which
        gives no checksums.
    """
    folder = Path(data_path or "input/coco").expanduser()
    parts = {
        part: (folder / "annotations" / f"instances_{part}.json", folder / part) for part in ("train2017", "val2017")
    }
    data = _read_parts(parts, task)
    notes = sample_note([len(data.train), len(data.test)], FACTS["coco"]["images"])
    return dataclasses.replace(data, notes=(*notes, *data.notes))


def detection_folder(*, data_path: str | None = None, task: Task = "detection") -> DataSet:
    """Read DATA/train.json and DATA/test.json, in COCO's form, whose file names lead to images below DATA.

    Args: data_path: the folder.
    Raises: ConfigError without a data_path; DataError naming what is missing or wrong.
    """
    if data_path is None:
        raise ConfigError("data_path: missing; dataset detection_folder reads data_path/train.json and test.json")
    folder = Path(data_path).expanduser()
    return _read_parts({part: (folder / f"{part}.json", folder) for part in ("train", "test")}, task)


def _read_parts(parts: dict[str, tuple[Path, Path]], task: Task) -> DataSet:
    if missing := [path for pair in parts.values() for path in pair if not path.exists()]:
        raise DataError(f"missing:\n{listing(missing)}")
    files = {part: (_read(path), path, images) for part, (path, images) in parts.items()}
    pairs = {(one.id, one.name) for instances, _, _ in files.values() for one in instances.categories}
    categories = dict(pairs)
    names = [categories[number] for number in sorted(categories)]
    if not len({*names}) == len(names) == len(pairs) > 0 or BACKGROUND in names:
        raise DataError(f"{next(iter(parts.values()))[0]}: categories must have names, all different: {names[:5]}")
    label_of = {number: 1 + k for k, number in enumerate(sorted(categories))}
    notes: list[str] = []
    train, test = (_table(*each, label_of, task, notes) for each in files.values())
    return DataSet((BACKGROUND, *names), train, test, tuple(notes), kind=task)


def _read(path: Path) -> Instances:
    """Read an instances file. Raises: DataError for json of another kind."""
    try:
        return msgspec.json.decode(read_bytes(path, LARGEST), type=Instances)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: no instances as COCO describes them: {error}") from None


def _table(
    instances: Instances, path: Path, folder: Path, label_of: dict[int, int], task: Task, notes: list[str]
) -> DenseTable:
    images = {one.id: one for one in instances.images}
    problems = [] if len(images) == len(instances.images) else ["an image's id stands twice"]
    out = [one for one in images.values() if leads_out(one.file_name)]
    problems += [f"image {one.id}: {one.file_name!r} leaves the folder" for one in out]
    by_image: dict[int, list[_Object]] = defaultdict(list)
    flat = 0
    for one in instances.annotations:
        what = f"object {one.id} of image {one.image_id}"
        if one.image_id not in images:
            problems.append(f"{what}: there is no such image")
        elif one.category_id not in label_of:
            problems.append(f"{what}: there is no category {one.category_id}")
        elif len(one.bbox) != 4:
            problems.append(f"{what}: bbox must hold x, y, width and height, got {one.bbox}")
        elif task == "instance_segmentation" and not one.segmentation:
            problems.append(f"{what}: has no segmentation")
        elif one.bbox[2] <= 0 or one.bbox[3] <= 0:
            flat += 1
        else:
            by_image[one.image_id].append(one)
    if problems:
        raise DataError(f"{path}: {len(problems):,} mistakes:\n{listing(problems)}")
    if flat:
        notes.append(f"{path.name}: {flat:,} boxes without area were left out")
    numbers = sorted(images)
    files = [folder / images[number].file_name for number in numbers]
    refuse_missing(folder, files)
    empty = sum(not by_image[number] for number in numbers)
    if empty:
        notes.append(f"{path.name}: {empty:,} of {len(numbers):,} images show no object")
    annotations = [
        {
            "size": [images[number].height, images[number].width],
            "masks": task == "instance_segmentation",
            "objects": [
                [label_of[one.category_id], *one.bbox, one.iscrowd, one.segmentation if task != "detection" else None]
                for one in by_image[number]
            ],
        }
        for number in numbers
    ]
    labels = np.zeros(len(numbers), dtype=np.int64)
    return DenseTable(files, labels, annotations=annotations, read=_annotation)


def _annotation(value: dict[str, Any]) -> Annotation:
    objects, (height, width) = value["objects"], value["size"]
    boxes = np.array([one[1:5] for one in objects], dtype=np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    masks = None
    if value["masks"]:
        masks = np.zeros((len(objects), height, width), dtype=bool)
        for mask, one in zip(masks, objects, strict=True):
            mask[:] = outlined(one[6], height, width)
    return Annotation(
        boxes=boxes,
        labels=np.array([one[0] for one in objects], dtype=np.int64),
        masks=masks,
        crowd=np.array([bool(one[5]) for one in objects], dtype=bool),
    )


def outlined(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Return the mask that polygons or run lengths describe, drawn by COCO's own rules, [H, W] bool.

    Raises: DataError for what is neither.
    """
    from faster_coco_eval.core import mask as coco_mask

    try:
        if isinstance(segmentation, dict) and isinstance(segmentation["counts"], str):
            runs = {"size": [height, width], "counts": segmentation["counts"].encode()}
        else:
            runs = coco_mask.frPyObjects(segmentation, height, width)
            runs = coco_mask.merge(runs) if isinstance(runs, list) else runs
        return coco_mask.decode(runs).astype(bool)
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise DataError(f"a segmentation is neither polygons nor run lengths: {error}") from None
