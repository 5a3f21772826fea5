"""Runs of a sweep that are there already: which are finished, and which were trained by other code than is here now.

Both are read from the runs' folders, without building any network.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml

from configuration.reading import read_configuration
from configuration.schema import Configuration
from datasets import load_data_set, reading
from runs.code import Changes, OnChange, accept, changed_parameters, code_changes, in_words
from runs.folder import DamagedFile, FolderName, RunFolder, possible_folders, run_folder, run_prefixes
from runs.identity import read_settings, settings_of
from sweeps.cells import Cell, Sweep, expand
from sweeps.checks import NAMED
from sweeps.jobs import Outcome, Shard
from tracking import know_the_end
from utils.types import ConfigError, UserError, first_few

NOISE = ("label_noise", "noisy_labels", "noisy_labels_name", "seed", "select_on", "valid_fraction")
"""Keys that decide which labels are wrong, where some are."""
WHEREABOUTS = ("data_path", "stanford_data_path", "noisy_labels", "noisy_labels_name")
"""Where data lies; no part of what a run is, as its content is."""
OTHERWISE = ""
"""Stands among the beginnings for folders of runs that were renamed."""


class FinishedRuns:
    """Finds finished runs. Folders are listed and each data set is read once, and only where a run may be finished."""

    def __init__(self) -> None:
        self._beginnings, self._recorded = functools.cache(_beginnings), functools.cache(_recorded)
        self._fingerprints: dict[str, str | None] = {}

    def find(self, cell: Cell) -> Outcome | None:
        """Return the outcome of a run that is finished, None for one that is to be done or looked into."""
        folder, summary = self.folder(cell), None
        with contextlib.suppress(DamagedFile, OSError):  # numbers to be made again
            summary = None if folder is None else folder.finished_summary()
        if folder is None or summary is None:
            return None
        if self._data_fingerprint(cell.config) is not None and not know_the_end(cell.config, folder):
            return None  # a run that catches up needs the data
        return Outcome(cell.name, "skipped", folder.path, summary)

    def folder(self, cell: Cell) -> RunFolder | None:
        """Return the folder of a run that was begun, None where there is none or its data is not here."""
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
        """Return the data's fingerprint, None where it is not here."""
        identity = reading(config, NOISE if config.label_noise or config.noisy_labels else ())
        if identity not in self._fingerprints:
            from datasets.data_module import DataModule  # with Lightning, which takes seconds

            here = msgspec.structs.replace(config, download=False)
            self._fingerprints[identity] = None
            with contextlib.suppress(UserError):
                self._fingerprints[identity] = DataModule(here, load_data_set(here), (1, 1)).fingerprint
        return self._fingerprints[identity]

    def _without_data(self, config: Configuration) -> RunFolder | None:
        """Return the folder of the one run with these settings whose data lay where this one's should, if any."""

        def whereabouts(config: Configuration) -> list[Any]:
            return [getattr(config, key) for key in WHEREABOUTS]

        recorded = self._recorded(tuple(folder.path for folder in possible_folders(config)))
        folders = [folder for each in recorded if (folder := run_folder(config, each)).is_finished]
        theirs = ((folder, read_configuration(str(folder.config), of_a_run=True)) for folder in folders)
        same = [folder for folder, other in theirs if whereabouts(other) == whereabouts(config)]
        return same[0] if len(same) == 1 else None


def _beginnings(output_path: str) -> frozenset[str]:
    """Return the beginnings of the names of run folders, before their fingerprints."""
    paths = Path(output_path).glob("*/")
    names = [(path, FolderName.parse(path.name)) for path in paths]
    renamed = any(name is None and RunFolder(path).config.is_file() for path, name in names)
    return frozenset(name.beginning for _, name in names if name) | ({OTHERWISE} if renamed else set())


def _recorded(paths: tuple[Path, ...]) -> frozenset[str]:
    """Return the data's fingerprints that runs recorded. Damaged records are passed over."""
    fingerprints = set()
    for path in paths:
        with contextlib.suppress(DamagedFile, OSError):
            fingerprints.add(str(RunFolder(path).read_environment().get("data_fingerprint")))
    return frozenset(fingerprints)


class Begun(NamedTuple):
    """A run that was begun by other code."""

    cell: Cell
    folder: RunFolder
    changes: Changes
    parameters: list[str]


def settle_changed_code(sweep: Sweep, shard: Shard, on_change: OnChange, check: bool = False) -> None:
    """Refuse, keep or retrain the runs that were trained by other code than is here now, all of them together.

    Args:
        on_change: as train.py takes it.
        check: print what would be refused instead.

    Raises: ConfigError naming the files that changed, with the runs that they concern.
    """
    searches = sweep.block.search is not None
    total, unrecorded, changed = 0, 0, list[Begun]()
    for run, folder in _of_search(sweep) if searches else _of_grid(sweep, shard):
        if not (folder.is_finished or folder.is_interrupted):
            continue
        with contextlib.suppress(DamagedFile):  # which a resume reports
            facts = folder.read_environment()
            changes = code_changes(facts, run.config)
            total, unrecorded = total + 1, unrecorded + (changes is None)
            if changes:
                changed.append(Begun(run, folder, changes, changed_parameters(facts, run.config)))
    if unrecorded:
        print(f"{unrecorded:,} existing runs do not record their code: whether it has changed is unknown")
    if not changed:
        return
    if check or on_change is None or (on_change == "retrain" and searches):
        keep = "  --changed-code keep keeps what is finished, and resumes what is not; environment.json records that"
        retrain = "  --changed-code retrain retrains these runs, each in a folder beside it; --fresh all of them"
        # trials are compared with one another: none of them can be retrained alone
        remedies = [keep, "  another output_path searches again"] if searches else [retrain, keep]
        text = "\n".join([*_changes_in_words(sweep, changed, total), *remedies])
        if not check:
            raise ConfigError(text)
        print(text)
        return
    for run in changed:
        if on_change == "keep":
            accept(run.folder, run.changes)
        else:  # the newest folder of a run is the one that counts
            data = str(run.folder.read_environment().get("data_fingerprint"))
            run_folder(run.cell.config, data, fresh=True).path.mkdir(parents=True)


def _changes_in_words(sweep: Sweep, changed: Sequence[Begun], total: int) -> Iterator[str]:
    by_change: dict[str, list[str]] = {}
    for run in changed:
        by_change.setdefault(in_words(run.changes, run.parameters), []).append(run.cell.name)
    place = sweep.base.place(("sweep",))
    yield f"{place}: sweep: {len(changed):,} of {total:,} existing runs were trained by other code than is here now"
    yield from (f"  {words}: {first_few(names, NAMED, '; ')}" for words, names in by_change.items())


def _of_grid(sweep: Sweep, shard: Shard) -> Iterator[tuple[Cell, RunFolder]]:
    finished = FinishedRuns()
    for run in shard.of(expand(sweep)):
        if (folder := finished.folder(run)) is not None:
            yield run, folder


def _of_search(sweep: Sweep) -> Iterator[tuple[Cell, RunFolder]]:
    """Yield the runs whose settings are those of a combination except what is searched, trials and results alike."""
    assert sweep.block.search is not None
    ignored = (*sweep.block.search.ranges, "precision")  # which the machine may decide

    def identity(settings: dict[str, object]) -> frozenset[tuple[str, object]]:
        return frozenset((key, value) for key, value in settings.items() if key not in ignored)

    cells = {identity(settings_of(run.config)): run for run in expand(sweep)}
    for path in sorted(Path(sweep.base.output_path).glob("*/")):
        folder = RunFolder(path)
        with contextlib.suppress(DamagedFile, OSError, ValueError, yaml.YAMLError):
            run = cells.get(identity(read_settings(folder.config, folder.read_environment())))
            if run is not None:
                yield run, folder
