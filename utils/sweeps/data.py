"""The data of a sweep's runs, read to be checked: what is wrong with it, and how many images it has to train on."""

from __future__ import annotations

from datasets import DATASETS
from datasets.noisy_labels import read_noisy_labels
from losses import loss_kind
from models import architecture_kind
from utils.data_sets import READ_BY, load_data_set, other_kind, other_network, reading
from utils.lookup import keywords, load_entry
from utils.schema import Configuration
from utils.types import UserError

MOST = 20
"""How many data sets are read; what is wrong with further ones is told by their runs."""


class SweepData:
    """Reads data sets, and keeps their sizes alone."""

    KEYS = (*READ_BY, "noisy_labels", "noisy_labels_name", "smoke")
    """What is looked at."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._kinds: dict[str, str] = {}
        self._left = MOST

    def problems(self, config: Configuration) -> list[str]:
        """Return what is wrong with the data of a run, in the words of that run."""
        if self._left == 0 or _cannot_fail(config):
            return []
        self._left -= 1
        try:
            data = load_data_set(config)
            self._sizes[reading(config)], self._kinds[reading(config)] = len(data.train), data.kind
            if config.noisy_labels is not None and data.kind == "image":
                path, name = config.noisy_labels, config.noisy_labels_name
                read_noisy_labels(path, name, data.train.labels, len(data.classes))
        except UserError as error:
            return str(error).splitlines()
        return []

    def loss_problems(self, config: Configuration) -> list[str]:
        """Return whether the loss judges something else than what the data holds."""
        judged = loss_kind(config.loss_function)
        held = self._kind(config, judged)
        return [] if held == judged else [f"loss_function: {other_kind(config, judged, held)}"]

    def network_problems(self, config: Configuration) -> list[str]:
        """Return whether the network reads something else than what the data holds."""
        read = architecture_kind(config.architecture)
        held = self._kind(config, read)
        return [] if held == read else [f"architecture: {other_network(config, read, held)}"]

    def _kind(self, config: Configuration, expected: str) -> str:
        """Return what the data holds, as expected where it was not read; data of a package is read for texts alone."""
        if expected != "image" and _cannot_fail(config):
            self._kinds.setdefault(reading(config), load_data_set(config).kind)
        return self._kinds.get(reading(config), expected)

    def size(self, config: Configuration) -> int | None:
        """Return how many images the training part has, some of them perhaps held out; None if it was not read."""
        return self._sizes.get(reading(config))


def _cannot_fail(config: Configuration) -> bool:
    """Tell whether the data comes with a package and is wanted as it is: scikit-learn's takes seconds to import."""
    asked = keywords(load_entry(DATASETS[config.dataset]))
    return not asked and all(getattr(config, key) is None for key in ("classes", "noisy_labels"))
