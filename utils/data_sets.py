"""A configuration -> its data set, without what trains on it."""

from __future__ import annotations

from datasets import DATASETS, build_dataset
from datasets.base import DataSet, keep_classes
from utils.lookup import keywords, load_entry
from utils.schema import Configuration

DATA_KEYS = ("data_path", "stanford_data_path", "download", "verify_checksums", "flowers_train", "classes")
"""Keys that a data set's function may take; the function's signature says which it does, and what else it takes stands
in data_params."""


def load_data_set(config: Configuration) -> DataSet:
    """Read the data set, those of its classes that are kept.

    Raises: ConfigError or DataError, as `build_dataset` and `keep_classes`.
    """
    taken = keywords(load_entry(DATASETS[config.dataset]))
    given = {key: getattr(config, key) for key in DATA_KEYS if key in taken}
    data_set = build_dataset(config.dataset, **given, **config.data_params)
    if config.classes is None or "classes" in taken:
        return data_set
    return keep_classes(data_set, [str(name) for name in config.classes])
