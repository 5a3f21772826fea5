"""The data of a sweep's runs, read to check it, and whether losses and networks can take it."""

from __future__ import annotations

import json
from typing import NamedTuple

from configuration.schema import Configuration
from datasets import READ_BY, judged_kind, load_data_set, other_kind, other_network, reading
from datasets.base import DataSet
from datasets.label_noise import read_noisy_labels
from models import architecture_kind
from training import networks
from training.losses import loss_kind
from utils.types import DataError, UserError

MOST = 20
"""How many data sets are read, and how many networks are built; further ones are checked by their runs."""


class Facts(NamedTuple):
    """The facts of data that are kept.

    Args:
        training_images: how many, some of them perhaps held out.
        size: height and width of the first one, px; None where it is not known.
    """

    kind: str
    training_images: int
    size: tuple[int, int] | None


class SweepData:
    """Reads data sets, and keeps their facts alone."""

    KEYS = (*READ_BY, "noisy_labels", "noisy_labels_name", "smoke")
    """What is looked at."""

    def __init__(self) -> None:
        self._facts: dict[str, Facts] = {}
        self._seen: dict[str, list[str]] = {}
        self._left = MOST

    def problems(self, config: Configuration) -> list[str]:
        """Return the problems of a run's data, in the words of that run."""
        if self._left == 0 or (reading(config) in self._facts and config.noisy_labels is None):
            return []
        self._left -= 1
        try:
            data = load_data_set(config)
            self._facts[reading(config)] = Facts(data.kind, len(data.train), _size_of_first(data))
            if config.noisy_labels is not None and data.kind == "image":
                path, name = config.noisy_labels, config.noisy_labels_name
                read_noisy_labels(path, name, data.train.labels, len(data.classes))
        except UserError as error:
            return str(error).splitlines()
        return []

    def loss_problems(self, config: Configuration) -> list[str]:
        """Return a problem if the loss judges another kind of labels than the data holds."""
        judged, facts = loss_kind(config.loss_function), self._facts.get(reading(config))
        if facts is None or judged_kind(facts.kind) == judged:
            return []
        return [f"loss_function: {other_kind(config, judged, facts.kind)}"]

    def network_problems(self, config: Configuration) -> list[str]:
        """Return the problems if the network reads another kind than the data holds, or cannot take the images."""
        read, facts = architecture_kind(config.architecture), self._facts.get(reading(config))
        if facts is not None and facts.kind != read:
            return [f"architecture: {other_network(config, read, facts.kind)}"]
        size = config.size or (facts and facts.size)
        if size is None:
            return []
        identity = json.dumps([getattr(config, key) for key in networks.SHAPED_BY] + [size], default=str)
        if identity not in self._seen:
            room = len(self._seen) < MOST
            self._seen[identity] = networks.network_problems(config, size) if room else []
        return self._seen[identity]

    def size(self, config: Configuration) -> int | None:
        """Return how many images the training part has, some of them perhaps held out; None if it was not read."""
        facts = self._facts.get(reading(config))
        return facts and facts.training_images


def _size_of_first(data: DataSet) -> tuple[int, int] | None:
    try:
        return data.train.size(0) if len(data.train) else None
    except DataError:  # reported with all others by the run
        return None
