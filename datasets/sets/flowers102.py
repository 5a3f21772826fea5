"""Oxford 102 Flowers from the official files, as torchvision keeps them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.base import DataSet, ImageTable
from datasets.readers.downloads import download as download_file
from datasets.readers.downloads import download_archive, find_folder, refuse_altered
from datasets.readers.files import list_folder, listing
from datasets.readers.matlab import read_matlab
from utils.lookup import did_you_mean
from utils.types import ConfigError, DataError

FACTS = {
    "flowers102": {"num_classes": 102, "images": (2_040, 6_149), "flowers_train=train": {"images": (1_020, 6_149)}},
}
TRAIN_PARTS = {"trainval": ("trnid", "valid"), "train": ("trnid",)}


def flowers102(
    *,
    data_path: str | None = None,
    download: bool = False,
    verify_checksums: bool = True,
    flowers_train: str = "trainval",
) -> DataSet:
    """Read 8,189 photographs in 102 classes; the test part is the official one of 6,149.

    Args:
        data_path: folder flowers-102 (jpg/, imagelabels.mat, setid.mat) or the one around it; by default
            input/flowers102.
        download: fetch missing files.
        verify_checksums: refuse .mat files other than the official ones; else a note lists them.
        flowers_train: "trainval" trains on the official training and validation images, 2,040, as the papers do;
            "train" on the 1,020 training images alone.

    Raises: DataError naming the files that are missing, altered or inconsistent; ConfigError for another flowers_train.
    Source: Nilsback and Zisserman 2008, "Automated Flower Classification over a Large Number of Classes".
    """
    if flowers_train not in TRAIN_PARTS:
        near = did_you_mean(str(flowers_train), TRAIN_PARTS)
        raise ConfigError(f"flowers_train: must be one of {', '.join(TRAIN_PARTS)}, got {flowers_train!r}{near}")
    from torchvision.datasets import Flowers102

    md5s = {name: md5 for name, md5 in Flowers102._file_dict.values() if name.endswith(".mat")}
    _, folder = find_folder(data_path, "input/flowers102", "flowers-102", "setid.mat")
    if download:
        address, (images, md5) = Flowers102._download_url_prefix, Flowers102._file_dict["image"]
        if not (folder / "jpg").is_dir():
            download_archive(address + images, md5, folder)
        for name in (name for name in md5s if not (folder / name).is_file()):
            download_file(address + name, md5s[name], folder)
    if missing := [name for name in (*md5s, "jpg") if not (folder / name).exists()]:
        raise DataError(f"{folder}: missing:\n{listing(missing)}\n`download: true` fetches them.")
    notes = refuse_altered(folder, md5s, verify_checksums)

    labels = read_matlab(folder / "imagelabels.mat", "labels")["labels"].ravel().astype(np.int64)  # [N], 1-based
    parts = read_matlab(folder / "setid.mat", "trnid", "valid", "tstid")
    train_ids = np.concatenate([parts[name].ravel() for name in TRAIN_PARTS[flowers_train]]).astype(np.int64)
    test_ids = parts["tstid"].ravel().astype(np.int64)
    _check(folder, labels, np.concatenate([parts[name].ravel() for name in ("trnid", "valid", "tstid")]))

    classes = getattr(Flowers102, "classes", None) or [f"flower {k}" for k in range(1, 103)]
    return DataSet(
        classes=tuple(classes),
        train=_table(folder, train_ids, labels),
        test=_table(folder, test_ids, labels),
        notes=notes,
    )


def _image_name(number: int) -> str:
    return f"image_{number:05d}.jpg"


def _table(folder: Path, ids: np.ndarray, labels: np.ndarray) -> ImageTable:
    return ImageTable([folder / "jpg" / _image_name(number) for number in ids], labels[ids - 1] - 1)


def _check(folder: Path, labels: np.ndarray, ids: np.ndarray) -> None:
    """Refuse labels, splits and images that do not fit one another."""
    if wrong := sorted({int(label) for label in labels if not 1 <= label <= 102}):
        raise DataError(f"{folder / 'imagelabels.mat'}: labels outside 1..102: {', '.join(map(str, wrong[:20]))}")
    if not np.array_equal(np.sort(ids), np.arange(1, len(labels) + 1)):
        raise DataError(
            f"{folder / 'setid.mat'}: its three parts must name each of the {len(labels):,} labelled images once"
        )
    present = {path.name for path in list_folder(folder / "jpg")}
    missing = [name for number in range(1, len(labels) + 1) if (name := _image_name(number)) not in present]
    if missing:
        raise DataError(
            f"{folder / 'jpg'}: {len(missing):,} of {len(labels):,} images are missing:\n{listing(missing)}\n"
            "Remove the folder jpg and set `download: true`, or unpack 102flowers.tgz again."
        )
