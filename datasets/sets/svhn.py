"""Street View House Numbers, cropped to single digits (format 2), from the official files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.base import DataSet, ImageTable, join_tables, sample_note
from datasets.readers.downloads import official_files
from datasets.readers.matlab import read_matlab
from utils.types import DataError

FACTS = {
    "svhn": {"num_classes": 10, "images": (73_257, 26_032), "extra=True": {"images": (604_388, 26_032)}},
}
OFFICIAL_COUNTS = {"train": 73_257, "test": 26_032, "extra": 531_131}


def svhn(
    *, data_path: str | None = None, download: bool = False, verify_checksums: bool = True, extra: bool = False
) -> DataSet:
    """Read 73,257 + 26,032 digits of 32x32 cut out of house numbers; class k is the digit k.

    The files call the digit 0 class 10; a file with a label 0 is no official one and is refused.

    Args:
        data_path: folder with train_32x32.mat and test_32x32.mat; by default input/svhn.
        download: fetch missing files.
        verify_checksums: refuse files other than the official ones; else a note lists them.
        extra: train on the 531,131 easier digits of extra_32x32.mat too; 1.8 GB of memory.

    Raises: DataError naming the files that are missing, altered or inconsistent.
    Source: Netzer et al. 2011, "Reading Digits in Natural Images with Unsupervised Feature Learning".
    """
    from torchvision.datasets import SVHN

    folder = Path(data_path or "input/svhn").expanduser()
    parts = ("train", "extra", "test") if extra else ("train", "test")
    files = {name: (url, md5) for url, name, md5 in (SVHN.split_list[part] for part in parts)}
    notes = official_files(folder, files, download, verify_checksums)

    tables = [_read(folder / name) for name in files]
    notes += sample_note([len(table) for table in tables], [OFFICIAL_COUNTS[part] for part in parts])
    return DataSet(tuple(str(digit) for digit in range(10)), join_tables(tables[:-1]), tables[-1], notes)


def _read(path: Path) -> ImageTable:
    content = read_matlab(path, "X", "y")
    images, labels = content["X"], content["y"]  # [32, 32, 3, N], [N]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[:3] != (32, 32, 3):
        raise DataError(f"{path}: 'X' is no array of bytes of 32 x 32 x 3 x N, but {images.dtype} {images.shape}")
    if labels.shape != images.shape[3:]:
        raise DataError(f"{path}: {images.shape[3]:,} images but {labels.size:,} labels")
    if wrong := sorted(set(labels.tolist()) - set(range(1, 11))):
        raise DataError(f"{path}: labels outside 1..10, where 10 is the digit 0: {', '.join(map(str, wrong[:20]))}")
    return ImageTable(np.ascontiguousarray(images.transpose(3, 0, 1, 2)), labels.astype(np.int64) % 10)
