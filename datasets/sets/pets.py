"""Oxford-IIIT Pet: cats and dogs with trimaps, some with a box around the head, from the official files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np

from datasets.base import DataSet, sample_note
from datasets.dense import BACKGROUND, IGNORED, Annotation, DenseTable, read_mask
from datasets.readers.downloads import download_archive, find_folder
from datasets.readers.files import listing, read_list, refuse_lines, refuse_missing
from datasets.readers.voc_boxes import as_annotation, read_objects
from utils.types import DataError

FACTS = {"pets_segmentation": {"images": (3_680, 3_669), "tasks": ("segmentation", "detection")}}
URL = "https://www.robots.ox.ac.uk/~vgg/data/pets/data/"
ARCHIVES = {
    "images": ("images.tar.gz", "5c4f3ee8e5d25df40f4fd59a7f44e54c"),
    "annotations": ("annotations.tar.gz", "95a8c909bbe2e81eed6a22bccdf3f68f"),
}
ANIMAL, AROUND = 1, 2
"""Of a trimap; 3 is the border between them."""


def pets_segmentation(
    *,
    data_path: str | None = None,
    download: bool = False,
    task: Literal["segmentation", "detection"] = "segmentation",
) -> DataSet:
    """Read photographs of 37 breeds: for segmentation each pixel is background, a breed, or ignored at the border.

    For detection the heads are boxed, of the images that have a box; the official test part has no boxes, so every
    fifth boxed image of the training part, by name, is the test part then, and a note says so.

    Args:
        data_path: folder that holds images/ and annotations/; by default input/oxford-iiit-pet.
        download: fetch missing files.

    Raises: DataError naming what is missing or wrong.
    Source: Parkhi et al. 2012, "Cats and Dogs"; the split is annotations/{trainval,test}.txt.
    """
    _, folder = find_folder(data_path, "input", "oxford-iiit-pet", "annotations/trainval.txt")
    if download:
        for name, (archive, md5) in ARCHIVES.items():
            if not (folder / name).is_dir():
                download_archive(URL + archive, md5, folder)
    if missing := [name for name in ARCHIVES if not (folder / name).is_dir()]:
        raise DataError(f"{folder}: missing:\n{listing(missing)}\n`download: true` fetches them.")
    parts = {part: _read_part(folder, part) for part in ("trainval", "test")}
    breeds = sorted({breed for names in parts.values() for breed in names.values()}, key=str.lower)
    notes = sample_note([len(names) for names in parts.values()], FACTS["pets_segmentation"]["images"])
    tables = _with_boxes(folder, parts, breeds) if task == "detection" else _with_trimaps(folder, parts, breeds)
    if task == "detection":
        notes += (f"{sum(map(len, tables))} images have a box; every fifth is a test image, as no official one has",)
    classes = (BACKGROUND, *(f"head of {breed}" if task == "detection" else breed for breed in breeds))
    return DataSet(classes, tables[0], tables[1], notes, kind=task)


def _read_part(folder: Path, part: str) -> dict[str, str]:
    """Return image -> breed, in the list's order."""
    path = folder / "annotations" / f"{part}.txt"
    lines = [line for line in read_list(path, 4) if not line.fields[0].startswith("#")]
    wrong = [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_]+_\d+", line.fields[0])]
    refuse_lines(path, [f"line {line.number}: {line.fields[0]!r} is no <breed>_<number>" for line in wrong])
    return {line.fields[0]: line.fields[0].rpartition("_")[0] for line in lines}


def _table(folder: Path, names: dict[str, str], breeds: list[str], annotations: list[Path], read: type) -> DenseTable:
    images = [folder / "images" / f"{name}.jpg" for name in names]
    refuse_missing(folder, images)
    refuse_missing(folder, annotations)
    labels = np.array([breeds.index(breed) for breed in names.values()], dtype=np.int64)
    return DenseTable(images, labels, annotations=annotations, read=read(breeds))


def _with_trimaps(folder: Path, parts: dict[str, dict[str, str]], breeds: list[str]) -> list[DenseTable]:
    trimaps = folder / "annotations" / "trimaps"
    return [
        _table(folder, names, breeds, [trimaps / f"{name}.png" for name in names], _Trimap) for names in parts.values()
    ]


def _with_boxes(folder: Path, parts: dict[str, dict[str, str]], breeds: list[str]) -> list[DenseTable]:
    boxes, names = folder / "annotations" / "xmls", parts["trainval"]
    boxed = [name for name in names if (boxes / f"{name}.xml").is_file()]
    chosen = [name for k, name in enumerate(boxed) if k % 5 != 4], boxed[4::5]
    return [
        _table(folder, {name: names[name] for name in part}, breeds, [boxes / f"{name}.xml" for name in part], _Head)
        for part in chosen
    ]


class _OfBreeds:
    """Args: breeds: class k is that of number k - 1."""

    def __init__(self, breeds: list[str]) -> None:
        self.breeds = breeds

    def label(self, path: Path) -> int:
        return 1 + self.breeds.index(path.stem.rpartition("_")[0])


class _Trimap(_OfBreeds):
    """Read a trimap: the animal is its breed, the border is ignored."""

    def __call__(self, path: Path) -> Annotation:
        trimap = read_mask(path)
        if len(wrong := np.setdiff1d(trimap, (ANIMAL, AROUND, 3))):
            raise DataError(f"{path}: a trimap holds 1, 2 and 3, got {wrong[0]}")
        pixels = np.full(trimap.shape, IGNORED, dtype=np.uint8)
        pixels[trimap == AROUND], pixels[trimap == ANIMAL] = 0, self.label(path)
        return Annotation(pixels=pixels)


class _Head(_OfBreeds):
    """Read the boxes of an image's XML file, which are all of its animal's breed."""

    def __call__(self, path: Path) -> Annotation:
        objects = read_objects(path)
        return as_annotation(objects, [self.label(path)] * len(objects))
