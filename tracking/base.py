"""The interface of trackers, and the guard that keeps their failures away from the run."""

from __future__ import annotations

import logging
import re
import uuid
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from runs.folder import DamagedFile, RunFolder
from runs.records import read_mapping, write_json
from tracking import TRACKERS
from tracking.family import Family, Results
from utils.lookup import Entry, load_entry
from utils.secrets import redact, without_secrets
from utils.types import shorten

IDS_FILE = "trackers.json"
NOT_COPIED = {"checkpoints", *TRACKERS}
"""Folders of a run that trackers do not copy; each tracker keeps its own files in a folder of its name."""

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class TrackedRun:
    """A run as trackers show it, without its metrics.

    Args:
        folder: the run folder; exists.
        name: shown in tables.
        params: the configuration, flat.
        tags: facts about the run, name -> value.
        labels: the user's own tags.
        description: the user's notes.
        family: the sweep that it belongs to, whose tags are among `tags`; None for a single run.
    """

    folder: Path
    name: str
    params: dict[str, Scalar]
    tags: dict[str, str]
    labels: tuple[str, ...] = ()
    description: str = ""
    family: Family | None = None

    def without_secrets(self) -> TrackedRun:
        """Return it as it may be stored."""
        return replace(
            self,
            name=redact(self.name),
            params=without_secrets(self.params),
            tags=without_secrets(self.tags),
            labels=tuple(map(redact, self.labels)),
            description=redact(self.description),
            family=self.family and self.family.without_secrets(),
        )


class Tracker(Logger):
    """A place where a run is shown. May raise any error of its service: `GuardedTracker` catches them.

    All methods may be called again after `finalize`, as Lightning does between fitting and testing: that reopens the
    run.
    """

    package = ""
    """Name for `pip install`."""
    remedy = ""
    """Advice to the user when it fails."""
    keys = ()
    """Keys of the configuration that it alone reads."""
    missed_something = False
    """Whether the run must be sent again for the tracker to have all of it."""

    def __init__(self, run: TrackedRun, config: Any) -> None:
        super().__init__()
        self.run = run
        self.config = config

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def version(self) -> str | None:
        return None

    @property
    def save_dir(self) -> str:
        return str(self.run.folder)

    @abstractmethod
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None: ...

    @abstractmethod
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None: ...

    @abstractmethod
    def log_files(self, folder: Path) -> None:
        """Copy a folder's files, except checkpoints, to where the tracker keeps files."""

    @abstractmethod
    def finalize(self, status: str) -> None:
        """Close the run as "success", "failed" or "interrupted"."""

    @classmethod
    def open_family(cls, family: Family, config: Any) -> str | None:
        """Show a sweep, before any of its runs in any process; return where, if there is something to see."""

    @classmethod
    def close_family(cls, family: Family, config: Any, results: Results) -> None:
        """Show the results of a sweep after the runs of one process; others may still be running."""


class GuardedTracker(Tracker):
    """A tracker whose first failure, opening included, costs one warning and then silence.

    Silent from the start on every rank but zero. Secrets are covered in everything that passes, warnings included.
    """

    def __init__(self, tracker: str, entry: Entry, run: TrackedRun, config: Any) -> None:
        super().__init__(run.without_secrets(), config)
        self._label = tracker
        self._type: type[Tracker] = load_entry(entry)
        self._tracker: Tracker | None = None
        if rank_zero_only.rank == 0:
            self._attempt(self._open)

    @property
    def active(self) -> bool:
        """Whether anything is still tracked."""
        return self._tracker is not None

    @property
    def version(self) -> str | None:
        return self._tracker.version if self._tracker else None

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers; of a search's trial none of the test images, by which nobody may choose."""
        is_trial = RunFolder(self.run.folder).trial.is_file()
        shown = {name: float(value) for name, value in metrics.items() if not (is_trial and name.startswith("test/"))}
        if shown:
            self._call("log_metrics", shown, step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        flat = {str(name): as_scalar(value) for name, value in dict(params).items()}
        self._call("log_hyperparams", without_secrets(flat))

    def log_files(self, folder: Path) -> None:
        self._call("log_files", folder)

    def finalize(self, status: str) -> None:
        self._call("finalize", status)

    def _call(self, method: str, *arguments: Any) -> None:
        if self._tracker is not None:
            self._attempt(partial(getattr(self._tracker, method), *arguments))

    def _open(self) -> None:
        self._tracker = self._type(self.run, self.config)

    def _attempt(self, action: Callable[[], None]) -> None:
        """Call `action`; after a failure give up this tracker for good."""
        failure = attempt(self._label, self._type, action)
        if failure is not None:
            self._tracker = None
            self.missed_something = not isinstance(failure, ModuleNotFoundError)


def attempt(label: str, tracker: type[Tracker], action: Callable[[], None]) -> Exception | None:
    """Call what may fail in a tracker; report a failure in one warning, and return it."""
    try:
        # a client that logs its own traceback would repeat the warning at length
        with warnings.catch_warnings(), quiet(tracker.package or __name__, level=logging.CRITICAL):
            for category in (DeprecationWarning, FutureWarning):  # of the clients, which the user cannot mend
                warnings.simplefilter("ignore", category)
            action()
    except Exception as error:  # noqa: BLE001  a tracker of any kind, failing in any way, must not end a run
        warnings.warn(_complaint(label, tracker, error), stacklevel=5)
        return error
    return None


def _complaint(label: str, tracker: type[Tracker], error: Exception) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m|-{3,}", " ", redact(str(error)))
    reason = f"{type(error).__name__}: {shorten(' '.join(text.split()), 300)}"
    if isinstance(error, ModuleNotFoundError):
        remedy = f"pip install {tracker.package}"
    else:
        remedy = f"{tracker.remedy}; after the run, the same command sends it again"
    return f"{label}: {reason}; the run continues without it. Remedy: {remedy}"


def as_scalar(value: Any) -> Scalar:
    """Return a flat value as it is, any other as text."""
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def filled_in(text: str | None) -> str | None:
    """Return a setting, or None if it is absent, empty or still a `<placeholder>`."""
    return text if text and not re.fullmatch(r"<.*>", text.strip()) else None


def files_to_copy(folder: Path) -> Iterator[Path]:
    """Yield a run folder's files for a tracker to copy.

    No hidden ones, such as its lock, no checkpoints, and no files of trackers.
    """
    for path in sorted(folder.rglob("[!.]*")):
        top = path.relative_to(folder).parts[0]
        if path.is_file() and not path.is_symlink() and path.suffix != ".ckpt" and top not in NOT_COPIED:
            yield path


def saved_id(folder: Path, tracker: str) -> str | None:
    """Return a tracker's id of the run in this folder, None if it never saw it."""
    return _saved_ids(folder).get(tracker)


def save_id(folder: Path, tracker: str, value: str) -> None:
    """Save a tracker's id of the run in this folder."""
    write_json(folder / IDS_FILE, {**_saved_ids(folder), tracker: value})


def _saved_ids(folder: Path) -> dict[str, str]:
    """Return tracker -> id of the run; empty, with a warning, if the file is damaged."""
    file = folder / IDS_FILE
    if not file.is_file():
        return {}
    try:
        ids = read_mapping(file)
    except DamagedFile:
        ids = {"": None}
    valid = {tracker: value for tracker, value in ids.items() if isinstance(value, str)}
    if len(valid) < len(ids):
        warnings.warn(f"{file} is damaged: trackers show this run as a new one", stacklevel=2)
    return valid


def lasting_id(folder: Path, tracker: str) -> str:
    """Return a tracker's id of the run in this folder, for clients that choose it; created on first use."""
    value = saved_id(folder, tracker)
    if value is None:
        value = uuid.uuid4().hex
        save_id(folder, tracker, value)
    return value


@contextmanager
def quiet(*loggers: str, level: int = logging.WARNING) -> Iterator[None]:
    """Raise the level of loggers, and so of their children, if it is lower."""
    below = tuple(f"{name}." for name in loggers)  # a logger with a level of its own does not ask the one above it
    names = {*loggers, *(name for name in [*logging.root.manager.loggerDict] if name.startswith(below))}
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(max(level, logging.getLogger(name).getEffectiveLevel()))
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
