"""Adience: faces in eight ordered age classes, in the benchmark's five folds."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from datasets.base import DataSet, ImageTable
from datasets.readers.files import leads_out, listing, read_list, refuse_lines, refuse_missing
from utils.types import DataError

FACTS = {"adience": {"num_classes": 8, "ordered": True}}
AGES = ((0, 2), (4, 6), (8, 12), (15, 20), (25, 32), (38, 43), (48, 53), (60, 100))
MISSPELT = {(25, 23): (25, 32)}
"""Of older copies of the fold files, where newer ones have the right one."""
FOLDS = range(5)
PREFIXES = {"aligned": "landmark_aligned_face", "faces": "coarse_tilt_aligned_face"}
COLUMNS = 12


class Face(NamedTuple):
    """A line of a fold file: the person, the image below its folder, the age as it is written there."""

    person: tuple[str, str]
    image: str
    age: str


def adience(
    *,
    data_path: str | None = None,
    fold: Literal[0, 1, 2, 3, 4] = 0,
    images: Literal["aligned", "faces"] = "aligned",
    other_ages: Literal["drop", "nearest"] = "drop",
) -> DataSet:
    """Read faces of eight age classes: one fold is the test part, the other four train.

    The folds share no person. The benchmark's number is the mean over five runs, a fold each. Classes are ordered, so
    one-off accuracy is counted too.

    Args:
        data_path: folder with fold_0_data.txt to fold_4_data.txt and aligned/ or faces/; by default input/adience. It
            has no public address: its authors give it out on registration.
        fold: which is tested.
        images: "aligned" by landmarks in the plane, as in most papers, or "faces", only turned upright.
        other_ages: what becomes of a face whose age is none of the eight ranges, but a number (35) or another range
            ((38, 48)). "drop" leaves it out, as the authors' own evaluation does; "nearest" gives it the class nearest
            to the middle of its age, the younger of two. Faces without an age are left out in any case.

    Raises: DataError naming the files, lines and images that are missing or cannot be understood.
    Source: Eidinger et al. 2014, "Age and Gender Estimation of Unfiltered Faces", IEEE TIFS; the classes and what is
        left out as in Levi and Hassner 2015, "Age and Gender Classification using Convolutional Neural Networks".
    Deviations: their code loses the faces whose range older fold files misspell as (25, 23); here they are (25, 32).
    """
    folder = Path(data_path or "input/adience").expanduser()
    lists = [folder / f"fold_{k}_data.txt" for k in FOLDS]
    if missing := [path.name for path in (*lists, folder / images) if not path.exists()]:
        raise DataError(
            f"{folder}: missing files:\n{listing(missing)}\nAdience's authors give them out on registration."
        )
    parts = {"train": [path for path in lists if path != lists[fold]], "test": [lists[fold]]}
    faces = {part: [face for path in paths for face in _read_fold(path, images)] for part, paths in parts.items()}

    tables, left_out = {}, Counter()
    for part, part_faces in faces.items():
        labels = [_label(face.age, other_ages) for face in part_faces]
        left_out.update(face.age for face, label in zip(part_faces, labels, strict=True) if label is None)
        kept = [(face, label) for face, label in zip(part_faces, labels, strict=True) if label is not None]
        paths = [folder / images / face.image for face, _ in kept]
        tables[part] = ImageTable(paths, np.array([label for _, label in kept], dtype=np.int64))
    refuse_missing(folder, [Path(image) for table in tables.values() for image in table.images])

    notes = (f"fold {fold} is the test part; validation images show the same people as training images",)
    if left_out:
        ages = ", ".join(f"{age or 'nothing'} {count:,}" for age, count in left_out.most_common())
        notes += (f"{left_out.total():,} faces left out whose age is none of the eight ranges: {ages}",)
    if shared := {face.person for face in faces["train"]} & {face.person for face in faces["test"]}:
        notes += (f"{len(shared):,} people appear in training and test images",)
    classes = tuple(f"{youngest}-{oldest}" for youngest, oldest in AGES)
    return DataSet(classes, tables["train"], tables["test"], notes, ordered=True)


def _read_fold(path: Path, images: str) -> list[Face]:
    """Read a fold file: a head, then user, original image, face number, age, gender and seven more in each line."""
    head, *lines = read_list(path, COLUMNS, "\t")
    if head.fields[:4] != ["user_id", "original_image", "face_id", "age"]:
        raise DataError(f"{path}: must begin with the columns user_id, original_image, face_id, age")
    faces, problems = [], []
    for number, (user, original, face, age, *_) in lines:
        image = f"{user}/{PREFIXES[images]}.{face}.{original}"
        if leads_out(image):
            problems.append(f"line {number}: {image!r} is no image name")
        elif age not in ("", "None") and _range(age) is None:
            problems.append(f"line {number}: {age!r} is no age, such as 35 or (25, 32)")
        faces.append(Face((user, face), image, age))
    refuse_lines(path, problems)
    return faces


def _range(age: str) -> tuple[int, int] | None:
    """Return the youngest and oldest year of an age, such as "35" or "(25, 32)"; None if it is neither."""
    match = re.fullmatch(r"(\d+)|\((\d+),? +(\d+)\)", age)
    if match is None:
        return None
    written = (int(match[1]), int(match[1])) if match[1] else (int(match[2]), int(match[3]))
    return MISSPELT.get(written, written)


def _label(age: str, other_ages: str) -> int | None:
    years = _range(age)
    if years in AGES:
        return AGES.index(years)
    if years is None or other_ages == "drop":
        return None
    middle = sum(years) / 2
    return min(range(len(AGES)), key=lambda k: max(AGES[k][0] - middle, middle - AGES[k][1], 0))
