"""Penn-Fudan: 345 pedestrians and more in 170 photographs, each with a box and a mask."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from datasets.base import DataSet
from datasets.dense import BACKGROUND, Annotation, DenseTable, read_mask
from datasets.readers.downloads import find_folder
from datasets.readers.files import list_folder, listing
from datasets.readers.images import is_image_name
from utils.types import ConfigError, DataError

FACTS = {
    "penn_fudan": {"num_classes": 2, "images": (120, 50), "tasks": ("detection", "instance_segmentation")},
}
ADDRESS = "https://www.cis.upenn.edu/~jshi/ped_html/PennFudanPed.zip"
SEED = 0
"""Of the test part, never the run's."""


def penn_fudan(
    *,
    data_path: str | None = None,
    task: Literal["detection", "instance_segmentation"] = "instance_segmentation",
    num_test: int = 50,
) -> DataSet:
    """Read 170 street scenes with their pedestrians; the boxes are those of the masks.

    There is no official split, nor a checksum to download by: unpack the archive into data_path.

    Args:
        data_path: folder PennFudanPed (PNGImages/, PedMasks/) or the one around it; by default input/penn_fudan.
        num_test: images that are held out as the test part, always the same; 50 are usual.

    Raises: DataError naming masks and images that have no partner.
    Source: Wang et al. 2007, "Object Detection Combining Recognition and Segmentation".
    """
    _, folder = find_folder(data_path, "input/penn_fudan", "PennFudanPed", "PedMasks/FudanPed00001_mask.png")
    if missing := [name for name in ("PNGImages", "PedMasks") if not (folder / name).is_dir()]:
        raise DataError(f"{folder}: missing:\n{listing(missing)}\nUnpack {ADDRESS} there.")
    images = {path.stem: path for path in list_folder(folder / "PNGImages") if is_image_name(path)}
    masks = {path.stem.removesuffix("_mask"): path for path in list_folder(folder / "PedMasks")}
    if alone := sorted(images.keys() ^ masks.keys()):
        raise DataError(f"{folder}: an image without masks, or masks without an image:\n{listing(alone)}")
    if not 0 < num_test < len(images) - 1:
        raise ConfigError(f"data_params.num_test: must be 1 to {len(images) - 2}, got {num_test}")
    names = sorted(images)
    shuffled = np.random.RandomState(SEED).permutation(len(names))  # frozen by NumPy's policy
    read = _read_with_masks if task == "instance_segmentation" else _read_boxes
    tables = []
    for rows in (shuffled[:-num_test], shuffled[-num_test:]):
        chosen = [names[row] for row in sorted(rows)]
        labels = np.zeros(len(chosen), dtype=np.int64)
        files = [masks[name] for name in chosen]
        tables.append(DenseTable([images[name] for name in chosen], labels, annotations=files, read=read))
    notes = (f"no official split: {num_test} of {len(names)} images are the test part",)
    return DataSet((BACKGROUND, "pedestrian"), tables[0], tables[1], notes, kind=task)


def _read_with_masks(path: Path) -> Annotation:
    """Read a picture of numbers, one a pedestrian. Raises: DataError if a number has no pixels."""
    numbers = read_mask(path)
    present = [k for k in np.unique(numbers).tolist() if k]
    if absent := sorted({*range(1, max(present, default=0) + 1)} - {*present}):
        raise DataError(f"{path}: no pixels of pedestrian {absent[0]} of {max(present)}")
    masks = np.stack([numbers == k for k in present]) if present else np.zeros((0, *numbers.shape), dtype=bool)
    return Annotation(boxes=boxes_of(masks), labels=np.ones(len(masks), dtype=np.int64), masks=masks)


def _read_boxes(path: Path) -> Annotation:
    whole = _read_with_masks(path)
    return Annotation(boxes=whole.boxes, labels=whole.labels)


def boxes_of(masks: np.ndarray) -> np.ndarray:
    """Return the boxes of masks, none of them empty. Shapes: [M, H, W] bool -> [M, 4] float32."""
    sides = []
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        sides.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    return np.array(sides, dtype=np.float32).reshape(-1, 4)
