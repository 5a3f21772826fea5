"""Fashion-MNIST from the official gzipped idx files."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from datasets.base import DataSet, ImageTable, sample_note
from datasets.readers.downloads import official_files
from utils.files import open_regular
from utils.types import DataError

FACTS = {"fashion_mnist": {"num_classes": 10, "images": (60_000, 10_000)}}
LARGEST = 1 << 30
"""Bytes that a file may unpack to; the largest has 47 MB."""


def fashion_mnist(*, data_path: str | None = None, download: bool = False, verify_checksums: bool = True) -> DataSet:
    """Read 60,000 + 10,000 gray images of 28x28 of ten kinds of clothing.

    Args:
        data_path: folder with the four files train-images-idx3-ubyte.gz and so on, or the folder that torchvision keeps
            them below (FashionMNIST/raw); by default input/fashion_mnist.
        download: fetch missing files.
        verify_checksums: refuse files other than the official ones; else a note lists them.

    Raises: DataError naming the files that are missing, altered or inconsistent.
    Source: Xiao et al. 2017, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
        arXiv:1708.07747.
    """
    from torchvision.datasets import FashionMNIST

    folder = Path(data_path or "input/fashion_mnist").expanduser()
    if (folder / "FashionMNIST" / "raw").is_dir():
        folder = folder / "FashionMNIST" / "raw"
    files = {name: (FashionMNIST.mirrors[0] + name, md5) for name, md5 in FashionMNIST.resources}
    notes = official_files(folder, files, download, verify_checksums)

    classes = tuple(FashionMNIST.classes)
    train, test = (_read_part(folder, part, len(classes)) for part in ("train", "t10k"))
    notes += sample_note([len(train), len(test)], FACTS["fashion_mnist"]["images"])
    return DataSet(classes, train, test, notes)


def _read_part(folder: Path, part: str, num_classes: int) -> ImageTable:
    images_path, labels_path = (folder / f"{part}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise DataError(f"{images_path}: {len(images):,} images but {len(labels):,} labels in {labels_path.name}")
    if wrong := sorted({int(label) for label in labels if label >= num_classes}):
        raise DataError(f"{labels_path}: labels outside 0..{num_classes - 1}: {', '.join(map(str, wrong[:20]))}")
    return ImageTable(images, labels.astype(np.int64))


def read_idx(path: Path, ndim: int) -> np.ndarray:
    """Read a gzipped idx file of bytes: 0, 0, 8, the number of dimensions, each of them in 4 bytes, the values.

    Raises: DataError if the file is damaged or holds another type or number of dimensions.
    """
    try:
        with open_regular(path) as packed, gzip.open(packed) as file:
            magic = file.read(4)
            if magic != bytes((0, 0, 8, ndim)):
                raise DataError(f"{path}: no idx file of bytes in {ndim} dimensions: it begins with {magic.hex(' ')}")
            shape = struct.unpack(f">{ndim}I", file.read(4 * ndim))
            size = math.prod(shape)
            if size > LARGEST:
                raise DataError(f"{path}: its head promises {size:,} bytes, more than the {LARGEST:,} allowed")
            values = file.read(size + 1)
    except (OSError, EOFError, zlib.error, struct.error, OverflowError, MemoryError) as error:
        raise DataError(f"{path}: damaged or no gzipped idx file: {error}") from None
    if len(values) != size:
        rest = "more" if len(values) > size else f"{len(values):,}"
        raise DataError(f"{path}: damaged: its head promises {size:,} bytes, {rest} follow")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)
