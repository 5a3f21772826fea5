"""Which runs of a sweep are finished already: told from their folders, without building any network."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import msgspec

from utils.data_sets import DATA_KEYS, load_data_set
from utils.runs import DamagedFile, run_folder, run_prefix
from utils.schema import Configuration
from utils.sweeps.cells import Cell
from utils.sweeps.running import Outcome
from utils.types import UserError

NOISE = ("label_noise", "noisy_labels", "noisy_labels_name", "seed", "select_on", "valid_fraction")
"""What decides which labels are wrong, where some are."""


class FinishedRuns:
    """Finds finished runs. Folders are listed and each data set is read once, and only where a run may be finished."""

    def __init__(self) -> None:
        self._beginnings = functools.cache(_beginnings)
        self._fingerprints: dict[str, str] = {}

    def find(self, cell: Cell) -> Outcome | None:
        """Return what became of a run if it is finished, and None if it is to be done, or looked into, by itself."""
        config = cell.config
        if f"{run_prefix(config)}-s{config.seed}" not in self._beginnings(config.output_path):
            return None
        try:
            folder = run_folder(config, self._data_fingerprint(config))
            summary = folder.finished_summary()
        except (UserError, DamagedFile, OSError):  # data or weights that are not here, numbers to be made again
            return None
        return None if summary is None else Outcome(cell.name, "skipped", folder.path, summary)

    def _data_fingerprint(self, config: Configuration) -> str:
        noise = NOISE if config.label_noise or config.noisy_labels else ()
        keys = ("dataset", "data_params", *DATA_KEYS, *noise)
        identity = json.dumps([getattr(config, key) for key in keys], default=str)
        if identity not in self._fingerprints:
            from datasets.data_module import DataModule  # with Lightning, which takes seconds

            here = msgspec.structs.replace(config, download=False)
            self._fingerprints[identity] = DataModule(here, load_data_set(here), (1, 1)).fingerprint
        return self._fingerprints[identity]


def _beginnings(output_path: str) -> frozenset[str]:
    """Return what the run folders of an output folder begin with, before their fingerprints."""
    names = (path.name for path in Path(output_path).glob("*/"))
    return frozenset(match[1] for name in names if (match := re.fullmatch(r"(.+)-[0-9a-f]{10}(?:-[0-9]+)?", name)))
