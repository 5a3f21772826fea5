"""CIFAR-10 and CIFAR-100 from the official "python version" files, as torchvision keeps them."""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datasets.base import DataSet, ImageTable, join_tables, keep_classes, sample_note
from datasets.readers.downloads import find_folder, official_archive, refuse_altered
from datasets.readers.files import read_bytes
from utils.types import ConfigError, DataError

FACTS = {
    "cifar10": {"num_classes": 10, "images": (50_000, 10_000)},
    "cifar10_pair": {"num_classes": 2, "images": (10_000, 2_000)},
    "cifar100": {"num_classes": 100, "images": (50_000, 10_000)},
}
LARGEST = 1 << 30
"""Bytes of a file; CIFAR-100's training part has 155 MB."""
PAPER_PAIR = ("airplane", "truck")


def cifar10(*, data_path: str | None = None, download: bool = False, verify_checksums: bool = True) -> DataSet:
    """Read CIFAR-10: 50,000 + 10,000 images of 32x32 in 10 classes.

    Args:
        data_path: folder cifar-10-batches-py or the one around it; by default input/cifar10.
        download: fetch missing files.
        verify_checksums: refuse files other than the official ones; else a note lists them.

    Raises: DataError naming the files that are missing, altered or inconsistent.
    Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images".
    """
    from torchvision.datasets import CIFAR10

    return _cifar(CIFAR10, "labels", data_path or "input/cifar10", download, verify_checksums)


def cifar10_pair(
    *,
    data_path: str | None = None,
    download: bool = False,
    verify_checksums: bool = True,
    classes: Sequence[str | int] | None = None,
) -> DataSet:
    """Read two classes of CIFAR-10 for the losses of one score: 10,000 + 2,000 images.

    Args:
        data_path, download, verify_checksums: as of `cifar10`.
        classes: exactly two names; by default airplane and truck, the pair of the One-Sided Margin paper.

    Raises: ConfigError for other classes; DataError as `cifar10`.
    """
    names = [str(name) for name in (PAPER_PAIR if classes is None else classes)]
    if len(names) != 2:
        raise ConfigError(f"classes: cifar10_pair takes exactly two, got {len(names)}: {', '.join(names)}")
    return keep_classes(cifar10(data_path=data_path, download=download, verify_checksums=verify_checksums), names)


def cifar100(*, data_path: str | None = None, download: bool = False, verify_checksums: bool = True) -> DataSet:
    """Read CIFAR-100 with its 100 fine classes: 50,000 + 10,000 images of 32x32.

    Args:
        data_path: folder cifar-100-python or the one around it; by default input/cifar100.
        download, verify_checksums: as of `cifar10`.

    Raises: DataError as `cifar10`.
    """
    from torchvision.datasets import CIFAR100

    return _cifar(CIFAR100, "fine_labels", data_path or "input/cifar100", download, verify_checksums)


def _cifar(official: Any, label_key: str, data_path: str, download: bool, verify_checksums: bool) -> DataSet:
    """Read a set that torchvision's class `official` describes: file names, md5s, address."""
    train_md5s, test_md5s = dict(official.train_list), dict(official.test_list)
    meta = official.meta["filename"]
    md5s = {**train_md5s, **test_md5s, meta: official.meta["md5"]}
    outer, folder = find_folder(data_path, data_path, official.base_folder, meta)
    official_archive(outer, folder, official.base_folder, md5s, official.url, official.tgz_md5, download)
    notes = refuse_altered(folder, md5s, verify_checksums)

    classes = _unpickle(folder / meta).get(official.meta["key"])
    if not isinstance(classes, list) or not classes or not all(isinstance(name, str) for name in classes):
        raise DataError(f"{folder / meta}: holds no list of class names {official.meta['key']!r}")
    train = join_tables([_read_batch(folder / name, label_key, len(classes)) for name in train_md5s])
    test = join_tables([_read_batch(folder / name, label_key, len(classes)) for name in test_md5s])
    notes += sample_note([len(train), len(test)], FACTS["cifar10"]["images"])
    return DataSet(tuple(classes), train, test, notes)


def _read_batch(path: Path, label_key: str, num_classes: int) -> ImageTable:
    content = _unpickle(path)
    data, labels = content.get("data"), content.get(label_key)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3072:
        raise DataError(f"{path}: 'data' is no uint8 array of N rows of 3,072")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise DataError(f"{path}: {label_key!r} is no list of integers")
    if len(labels) != len(data):
        raise DataError(f"{path}: {len(data):,} images but {len(labels):,} labels")
    if wrong := sorted({label for label in labels if not 0 <= label < num_classes}):
        raise DataError(f"{path}: labels outside 0..{num_classes - 1}: {', '.join(map(str, wrong[:20]))}")
    return ImageTable(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), np.array(labels, dtype=np.int64))


class _ArrayUnpickler(pickle.Unpickler):
    """Reads lists, dictionaries, text, numbers and byte arrays; a pickle that names anything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case "numpy", "ndarray":
                return np.ndarray
            case "numpy", "dtype":
                return self._dtype
            case "_codecs", "encode":
                return self._encode
            case (("numpy.core.multiarray" | "numpy._core.multiarray"), "_reconstruct"):  # of Python 2 and of today
                return np.zeros(0).__reduce__()[0]  # taken from an array so as to import neither
        raise pickle.UnpicklingError(f"refused: it would run {module}.{name}")

    @staticmethod
    def _dtype(name: Any, align: Any = False, copy: Any = False) -> np.dtype:
        if name != "u1":
            raise pickle.UnpicklingError(f"holds numbers of type {name!r} where bytes are expected")
        return np.dtype(np.uint8)

    @staticmethod
    def _encode(text: Any, encoding: Any) -> bytes:
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"holds text in the encoding {encoding!r}")
        return text.encode("latin1")


def _unpickle(path: Path) -> dict[str, Any]:
    stored = read_bytes(path, LARGEST)
    try:
        for opcode, argument, _ in pickletools.genops(stored):
            # the unpickler makes room up to any place, which no file of this length needs
            if isinstance(argument, int) and "PUT" in opcode.name and argument > len(stored):
                raise pickle.UnpicklingError(f"refused: it stores at {argument}")
        content = _ArrayUnpickler(io.BytesIO(stored), encoding="latin1").load()
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        OverflowError,
        MemoryError,
    ) as error:
        raise DataError(f"{path}: damaged or no CIFAR file: {error}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: damaged or no CIFAR file: holds no dictionary")
    return content
