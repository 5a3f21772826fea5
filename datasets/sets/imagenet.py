"""ImageNet (ILSVRC 2012) from folders of the official images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets.base import DataSet, table_by_class
from datasets.readers.files import list_folder, listing, read_list, refuse_lines
from datasets.readers.images import list_images
from datasets.readers.matlab import read_matlab
from utils.types import DataError

FACTS = {"imagenet": {"num_classes": 1_000, "images": (1_281_167, 50_000)}}
DEVKIT = Path("ILSVRC2012_devkit_t12", "data")
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
SYNSET = re.compile(r"n\d{8}")
LAYOUT = (
    "expected train/<synset>/*.JPEG and val/<synset>/*.JPEG, or val/ILSVRC2012_val_00000001.JPEG and so on beside "
    f"{DEVKIT.parent}, all from image-net.org"
)


def imagenet(*, data_path: str | None = None) -> DataSet:
    """Read 1,281,167 training and 50,000 validation photographs of 1,000 classes; the latter are the test part.

    Classes are the synsets that train/ has folders of, sorted, as torchvision, timm and most published weights have
    them: n01440764 is 0. The development kit numbers them in another order, from 1. Where val/ has no class folders,
    the kit says what its images are: their numbers are its lines.

    Args:
        data_path: folder with train/, val/ and, if val/ is flat, ILSVRC2012_devkit_t12/; by default input/imagenet.

    Raises: DataError naming the files, folders and lines that are missing or do not fit one another.
    Source: Russakovsky et al. 2015, "ImageNet Large Scale Visual Recognition Challenge", arXiv:1409.0575.
    """
    folder = Path(data_path or "input/imagenet").expanduser()
    if missing := [name for name in ("train", "val") if not (folder / name).is_dir()]:
        raise DataError(f"{folder}: missing folders:\n{listing(missing)}\nIt is not downloaded: {LAYOUT}.")
    train = _class_folders(folder / "train")
    if len(train) < 2:
        raise DataError(f"{folder / 'train'}: {len(train)} class folders, at least 2 are needed; {LAYOUT}")
    if empty := [synset for synset, images in train.items() if not images]:
        raise DataError(f"{folder / 'train'}: classes without images:\n{listing(empty)}")
    flat, _ = list_images(folder / "val")
    test = _flat_images(flat, folder / DEVKIT) if flat else _class_folders(folder / "val")

    synsets = tuple(sorted(train))
    tables = [table_by_class(part, synsets) for part in (train, test)]
    notes = ()
    if unknown := sorted(synset for synset in test if synset not in train and test[synset]):
        dropped = sum(len(test[synset]) for synset in unknown)
        notes += (f"{dropped:,} validation images left out: train has none of their {len(unknown)} classes",)
    if (len(tables[0]), len(tables[1])) != (1_281_167, 50_000):
        counts = f"{len(synsets):,} of 1,000 classes, {len(tables[0]):,} + {len(tables[1]):,} of 1,281,167 + 50,000"
        notes += (f"a sample: {counts} images",)
    return DataSet(synsets, tables[0], tables[1], notes)


def _class_folders(folder: Path) -> dict[str, Sequence[Path]]:
    """Return synset -> its images, sorted by name."""
    folders = [path for path in list_folder(folder) if path.is_dir()]
    if wrong := [path.name for path in folders if not SYNSET.fullmatch(path.name)]:
        raise DataError(f"{folder}: no synsets, which are called n01440764 and so on:\n{listing(wrong)}")
    return {path.name: list_images(path)[0] for path in folders}


def _flat_images(images: Sequence[Path], devkit: Path) -> dict[str, Sequence[Path]]:
    """Return synset -> its images, each by the line of the development kit that its number names."""
    if missing := [name for name in ("meta.mat", TRUTH) if not (devkit / name).is_file()]:
        raise DataError(
            f"{images[0].parent}: has no class folders, and what its images are is missing from {devkit}:\n"
            f"{listing(missing)}\nUnpack ILSVRC2012_devkit_t12.tar.gz beside it."
        )
    table, columns = read_matlab(devkit / "meta.mat", "synsets")["synsets"], ("ILSVRC2012_ID", "WNID", "num_children")
    if lacking := [name for name in columns if name not in (table.dtype.names or ())]:
        raise DataError(f"{devkit / 'meta.mat'}: synsets lacks {', '.join(lacking)}")
    rows = zip(*(table[name] for name in columns), strict=True)
    synset_of = {str(int(number)): str(synset) for number, synset, children in rows if int(children) == 0}  # no parents
    lines = read_list(devkit / TRUTH, 1)
    truth = {str(number): fields[0].strip() for number, fields in lines}
    refuse_lines(
        devkit / TRUTH,
        [f"line {n}: no number of a class: {value}" for n, value in truth.items() if value not in synset_of],
    )
    by_synset: dict[str, Any] = {}
    wrong = []
    for image in images:
        match = re.fullmatch(r"ILSVRC2012_val_0*(\d+)", image.stem)
        if match is None or match[1] not in truth:
            wrong.append(image.name)
        else:
            by_synset.setdefault(synset_of[truth[match[1]]], []).append(image)
    if wrong:
        raise DataError(f"{images[0].parent}: images that {devkit / TRUTH} has no line for:\n{listing(wrong)}")
    return by_synset
