"""A configuration -> its data set, without what trains on it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from configuration.schema import Configuration
from datasets import DATASETS, build_dataset
from datasets.base import DataSet, keep_classes
from datasets.sets.made_up import made_up, made_up_classes
from utils.lookup import keywords, load_entry, parameter_problems

DATA_KEYS = ("data_path", "stanford_data_path", "download", "verify_checksums", "flowers_train", "classes")
"""Keys that a data set's function may take; the function's signature says which it does, and what else it takes stands
in data_params."""
READ_BY = ("dataset", "data_params", *DATA_KEYS)
"""All that decides which data is read."""

NUM_CLASSES = {
    "digits": 10,
    "cifar10": 10,
    "cifar10_pair": 2,
    "cifar100": 100,
    "svhn": 10,
    "fashion_mnist": 10,
    "flowers102": 102,
    "cub200": 200,
    "fgvc_aircraft": 100,
    "adience": 8,
    "imagenet": 1_000,
    "stanford_cars": 196,
}
"""Of the data sets whose classes are fixed, as their authors give them."""


def known_num_classes(config: Configuration) -> int | None:
    """Return how many classes the data has, None where that is not known without reading them."""
    if config.classes is not None:
        return len(config.classes)
    if config.dataset == "made_up":
        problems = parameter_problems(made_up, config.data_params)
        return None if problems else made_up_classes(**config.data_params)
    return None if config.data_params else NUM_CLASSES.get(config.dataset)


def reading(config: Configuration, further: Sequence[str] = ()) -> str:
    """Return a text that configurations share whose data is read in the same way, and for which further keys agree."""
    return json.dumps([getattr(config, key) for key in (*READ_BY, *further)], default=str)


def other_kind(config: Configuration, judged: str, held: str) -> str:
    """Say that a loss judges something else than what the data holds."""
    return f"{config.loss_function} judges {judged}s, {config.dataset} holds {held}s"


def other_network(config: Configuration, read: str, held: str) -> str:
    """Say that a network reads something else than what the data holds."""
    return f"{config.architecture} reads {read}s, {config.dataset} holds {held}s"


def load_data_set(config: Configuration) -> DataSet:
    """Read the data set, those of its classes that are kept.

    Raises: ConfigError or DataError, as `build_dataset` and `keep_classes`.
    """
    taken = keywords(load_entry(DATASETS[config.dataset]))
    arguments = {key: getattr(config, key) for key in DATA_KEYS if key in taken}
    data_set = build_dataset(config.dataset, **arguments, **config.data_params)
    if config.classes is None or "classes" in taken:
        return data_set
    return keep_classes(data_set, [str(name) for name in config.classes])
