"""Which runs of a sweep are finished already: told from their folders, without building any network."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import Any

import msgspec

from configuration.reading import read_configuration
from configuration.schema import Configuration
from datasets import load_data_set, reading
from runs.folder import DamagedFile, FolderName, RunFolder, possible_folders, run_folder, run_prefixes
from sweeps.cells import Cell
from sweeps.running import Outcome
from tracking import know_the_end
from utils.types import UserError

NOISE = ("label_noise", "noisy_labels", "noisy_labels_name", "seed", "select_on", "valid_fraction")
"""What decides which labels are wrong, where some are."""
WHEREABOUTS = ("data_path", "stanford_data_path", "noisy_labels", "noisy_labels_name")
"""Where data lies; no part of what a run is, as its content is."""

OTHERWISE = ""
"""Stands among the beginnings for folders of runs that were renamed."""


class FinishedRuns:
    """Finds finished runs. Folders are listed and each data set is read once, and only where a run may be finished."""

    def __init__(self) -> None:
        self._beginnings = functools.cache(_beginnings)
        self._recorded = functools.cache(_recorded)
        self._fingerprints: dict[str, str | None] = {}

    def find(self, cell: Cell) -> Outcome | None:
        """Return what became of a run if it is finished, and None if it is to be done, or looked into, by itself."""
        config = cell.config
        folder, summary = self.folder(cell), None
        with contextlib.suppress(DamagedFile, OSError):  # numbers to be made again
            summary = None if folder is None else folder.finished_summary()
        if folder is None or summary is None:
            return None
        if self._data_fingerprint(config) is not None and not know_the_end(config, folder):
            return None  # to tell them takes the data
        return Outcome(cell.name, "skipped", folder.path, summary)

    def folder(self, cell: Cell) -> RunFolder | None:
        """Return the folder of a run that was begun, None where there is none or it cannot be told."""
        config = cell.config
        beginnings = {f"{prefix}-s{config.seed}" for prefix in run_prefixes(config)} | {OTHERWISE}
        if not beginnings & self._beginnings(config.output_path):
            return None
        try:
            data_fingerprint = self._data_fingerprint(config)
            folder = self._without_data(config) if data_fingerprint is None else run_folder(config, data_fingerprint)
        except (UserError, DamagedFile, OSError):  # weights that are not here
            return None
        return folder if folder is not None and folder.path.is_dir() else None

    def _data_fingerprint(self, config: Configuration) -> str | None:
        """Return what the data is, None where it is not here."""
        identity = reading(config, NOISE if config.label_noise or config.noisy_labels else ())
        if identity not in self._fingerprints:
            from datasets.data_module import DataModule  # with Lightning, which takes seconds

            here = msgspec.structs.replace(config, download=False)
            try:
                self._fingerprints[identity] = DataModule(here, load_data_set(here), (1, 1)).fingerprint
            except UserError:
                self._fingerprints[identity] = None
        return self._fingerprints[identity]

    def _without_data(self, config: Configuration) -> RunFolder | None:
        """Return the folder of the one run with these settings whose data lay where this one's should, if any."""
        recorded = self._recorded(tuple(folder.path for folder in possible_folders(config)))
        folders = [folder for each in recorded if (folder := run_folder(config, each)).is_finished]
        here = _whereabouts(config)
        theirs = ((folder, read_configuration(str(folder.config), of_a_run=True)) for folder in folders)
        same = [folder for folder, config in theirs if _whereabouts(config) == here]
        return same[0] if len(same) == 1 else None


def _beginnings(output_path: str) -> frozenset[str]:
    """Return what the run folders of an output folder begin with, before their fingerprints."""
    paths = Path(output_path).glob("*/")
    names = [(path, FolderName.parse(path.name)) for path in paths]
    renamed = any(name is None and RunFolder(path).config.is_file() for path, name in names)
    return frozenset(name.beginning for _, name in names if name) | ({OTHERWISE} if renamed else set())


def _whereabouts(config: Configuration) -> list[Any]:
    return [getattr(config, key) for key in WHEREABOUTS]


def _recorded(paths: tuple[Path, ...]) -> frozenset[str]:
    """Return what the data was, as runs recorded it. Damaged records are passed over."""
    found = set()
    for path in paths:
        with contextlib.suppress(DamagedFile, OSError):
            found.add(str(RunFolder(path).read_environment().get("data_fingerprint")))
    return frozenset(found)
