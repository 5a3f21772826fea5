"""Wrong labels: drawn on purpose, or given by people in a file in the manner of CIFAR-10N."""

from __future__ import annotations

import io
import tokenize
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from configuration.schema import Configuration
from datasets.base import DataSet
from datasets.readers.files import MAX_TABLE_BYTES, read_bytes
from datasets.readers.tables import read_csv
from utils.lookup import did_you_mean
from utils.seeding import derive_seed
from utils.types import DAMAGED_TENSORS, ConfigError, DataError, first_line

ENDINGS = (".pt", ".npz", ".npy", ".csv")
CLEAN = "clean_label"
"""CIFAR-10N's name of the true labels, which it gives beside the others."""


def training_labels(config: Configuration, data: DataSet, rows: np.ndarray) -> np.ndarray:
    """Return the labels of the training part, those of the rows trained on as `label_noise` or `noisy_labels` has them.

    Raises: ConfigError for label noise with a single class or noisy labels that do not fit.
    """
    labels, num_classes = data.train.labels, len(data.classes)
    if config.label_noise > 0:
        return symmetric_noise(labels, rows, config.label_noise, num_classes, config.seed)
    if config.noisy_labels is None:
        return labels
    noisy = read_noisy_labels(config.noisy_labels, config.noisy_labels_name, labels, num_classes)
    labels = labels.copy()
    labels[rows] = noisy[rows]
    return labels


def symmetric_noise(labels: np.ndarray, rows: np.ndarray, share: float, num_classes: int, seed: int) -> np.ndarray:
    """Replace the labels of some rows, each by a different class, uniformly.

    Exactly round(share * M) of the M rows are chosen, once for the run; all of them end up wrong. (Drawing from all K
    classes instead would leave a K-th of them right.)

    Shapes: labels of the whole part [N] int64, rows that may be changed [M] -> a changed copy.
    Raises: ConfigError if there is no other class.
    Source: Zhang et al. 2020, "Delving Deep into Label Smoothing", arXiv:2011.12562, experiments with noisy labels.
    Deviations: the paper corrupts all training images and selects the epoch on the clean test part. Here the rows that
        are trained on are corrupted; with `select_on: test` these are all, and the protocol is the paper's.
    """
    if num_classes < 2:
        raise ConfigError(f"label_noise: needs another class to replace labels by, there is {num_classes}")
    random = np.random.default_rng(derive_seed(seed, "label noise"))
    chosen = random.permutation(rows)[: round(share * len(rows))]
    labels = labels.copy()
    labels[chosen] = (labels[chosen] + random.integers(1, num_classes, len(chosen))) % num_classes
    return labels


def read_noisy_labels(path: str, name: str | None, clean: np.ndarray, num_classes: int) -> np.ndarray:
    """Read a label for each image of the training part, in its order.

    The file holds one set of labels or several by their names, such as worse_label and aggre_label: a .pt file of
    tensors or arrays (read as weights are, so that nothing in it can run), .npz, .npy, or .csv with a column a set.
    Where it also holds a set clean_label, as CIFAR-10N does, that must be the true labels: else its order is another.

    Args:
        path: the file. name: the set; None where there is one.
        clean: the true labels of the training part, [N]. num_classes: K.

    Returns: [N] int64, 0 to K - 1.
    Raises: ConfigError naming what is wrong with the file or the name.
    Source: Wei et al. 2022, "Learning with Noisy Labels Revisited", arXiv:2110.12088, for the form of the file.
    """
    sets = _read(Path(path).expanduser())
    chosen = _choose(path, name, sets)
    labels = _as_labels(path, chosen, sets[chosen], len(clean))
    if outside := np.unique(labels[(labels < 0) | (labels >= num_classes)]).tolist():
        shown = ", ".join(map(str, outside[:5])) + (", ..." if len(outside) > 5 else "")
        raise ConfigError(f"noisy_labels: {path}: labels outside 0 to {num_classes - 1}: {shown}")
    if CLEAN in sets and (wrong := int((_as_labels(path, CLEAN, sets[CLEAN], len(clean)) != clean).sum())):
        raise ConfigError(
            f"noisy_labels: {path}: its {CLEAN} differs from the true labels in {wrong:,} of {len(clean):,} rows: "
            "it is in another order, or of other images"
        )
    return labels


def _choose(path: str, name: str | None, sets: Mapping[str, Any]) -> str:
    names = [other for other in sets if other != CLEAN] or list(sets)
    if name is None:
        if len(names) > 1:
            raise ConfigError(f"noisy_labels_name: missing; {path} holds {', '.join(names)}")
        return names[0]
    chosen = name.lower() if path.lower().endswith(".csv") else name
    if chosen not in sets:
        near, held = did_you_mean(chosen, sets), ", ".join(filter(None, names)) or "one set without a name"
        raise ConfigError(f"noisy_labels_name: {path} holds no set {name!r}{near} (it holds {held})")
    return chosen


def _as_labels(path: str, name: str, values: Any, length: int) -> np.ndarray:
    labels = np.asarray(values)
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        what = f"{name or 'it'} is no row of whole numbers, but {labels.dtype} of shape {labels.shape}"
        raise ConfigError(f"noisy_labels: {path}: {what}")
    if len(labels) != length:
        raise ConfigError(f"noisy_labels: {path}: {len(labels):,} labels, but the training part has {length:,} images")
    return labels.astype(np.int64)


def _read(path: Path) -> dict[str, Any]:
    """Return name -> labels; one set without a name is called ""."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ConfigError(f"noisy_labels: {path}: must end in {', '.join(ENDINGS)}")
    try:
        if ending == ".csv":
            return _read_table(path)
        file = io.BytesIO(read_bytes(path))
        if zipfile.is_zipfile(file):  # as .npz and .pt are
            size = sum(item.file_size for item in zipfile.ZipFile(file).infolist())
            if size > MAX_TABLE_BYTES:
                raise DataError(f"{path}: unpacks to {size:,} bytes, more than the {MAX_TABLE_BYTES:,} allowed")
        file.seek(0)
        content = _read_tensors(file) if ending == ".pt" else np.load(file, allow_pickle=False)
        is_mapping = isinstance(content, (Mapping, np.lib.npyio.NpzFile))
        sets = {str(name): content[name] for name in content} if is_mapping else {"": content}
    except DataError as error:
        raise ConfigError(f"noisy_labels: {error}") from None
    except (*DAMAGED_TENSORS, tokenize.TokenError) as error:
        reason = f"holds more than arrays of numbers, or is damaged: {first_line(error)}"
        raise ConfigError(f"noisy_labels: {path}: {reason}") from None
    if not sets:
        raise ConfigError(f"noisy_labels: {path}: holds nothing")
    return sets


def _read_tensors(file: IO[bytes]) -> Any:
    """Read a file of torch.save, in which NumPy's arrays may stand, as in CIFAR-10N's."""
    import torch

    rebuild: Any = np.zeros(0).__reduce__()[0]
    numbers = {type(np.dtype(kind)) for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")}
    modules = ("numpy.core.multiarray", "numpy._core.multiarray")  # before NumPy 2 and since
    allowed = [np.ndarray, np.dtype, *numbers, *((rebuild, f"{module}._reconstruct") for module in modules)]
    with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected pickle protocol")
        return torch.load(file, map_location="cpu", weights_only=True)


def _read_table(path: Path) -> dict[str, Any]:
    columns, rows, problems = read_csv(path, delimiters=",;\t")
    if problems:
        raise DataError(f"{path}: {problems[0]}")
    sets = {}
    for name in columns:
        values = [row[name] for _, row in rows]
        whole = all(value.removeprefix("-").isdecimal() and len(value) < 10 for value in values)
        sets[name] = np.array(values, dtype=np.int64 if whole else None)
    return sets
