"""What a tracker is, and the guard that keeps its failures away from the run."""

from __future__ import annotations

import logging
import re
import uuid
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from runs.folder import DamagedFile
from runs.records import read_mapping, write_json
from tracking.family import Family, Results
from utils.lookup import Entry, load_entry
from utils.secrets import redact, without_secrets

IDS_FILE = "trackers.json"
NOT_COPIED = ("checkpoints", "tensorboard", "wandb", "neptune")

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker shows of a run besides its metrics.

    Args:
        folder: the run folder; exists.
        name: what the run is called in tables.
        params: the configuration, flat.
        tags: facts about the run, name -> value.
        labels: the user's own tags.
        description: the user's notes.
        family: the sweep that it is a run of, whose tags are among `tags`; None for a run by itself.
    """

    folder: Path
    name: str
    params: dict[str, Scalar]
    tags: dict[str, str]
    labels: tuple[str, ...] = ()
    description: str = ""
    family: Family | None = None


class Tracker(Logger):
    """One place where a run is shown. May raise whatever its service raises: `GuardedTracker` stands before it.

    All may be called again after `finalize`, as Lightning does between fitting and testing: that re-opens the run.
    """

    package = ""
    """What `pip install` needs."""
    remedy = ""
    """What the user can do when it fails."""

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
    def missed_something(self) -> bool:
        """Whether another try, of telling the whole run again, could tell more than was told."""
        return False

    @property
    def save_dir(self) -> str:
        return str(self.run.folder)

    @abstractmethod
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None: ...

    @abstractmethod
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None: ...

    @abstractmethod
    def log_files(self, folder: Path) -> None:
        """Copy a folder's files, checkpoints excepted, to where the tracker keeps files."""

    @abstractmethod
    def finalize(self, status: str) -> None:
        """Close the run as "success", "failed" or "interrupted"."""

    @classmethod
    def open_family(cls, family: Family, config: Any) -> str | None:
        """Show a sweep, before any of its runs in any process; return where, if there is something to see."""

    @classmethod
    def close_family(cls, family: Family, config: Any, results: Results) -> None:
        """Show what became of a sweep, after the runs of one process; others may still be at work."""


class GuardedTracker(Tracker):
    """A tracker whose first failure, opening included, costs one warning and then silence.

    Silent from the start on every rank but zero. Secrets are cut out of all that passes, warnings included.
    """

    def __init__(self, tracker: str, entry: Entry, run: TrackedRun, config: Any) -> None:
        run = replace(
            run,
            name=redact(run.name),
            params=without_secrets(run.params),
            tags=without_secrets(run.tags),
            labels=tuple(map(redact, run.labels)),
            description=redact(run.description),
            family=run.family and run.family.without_secrets(),
        )
        super().__init__(run, config)
        self._label = tracker
        self._type: type[Tracker] = load_entry(entry)
        self._tracker: Tracker | None = None
        self._missed_something = False
        if rank_zero_only.rank == 0:
            self._attempt(self._open)

    @property
    def active(self) -> bool:
        """Whether anything is still tracked."""
        return self._tracker is not None

    @property
    def version(self) -> str | None:
        return self._tracker.version if self._tracker else None

    @property
    def missed_something(self) -> bool:
        """Not where its client is not installed."""
        return self._missed_something

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if tracker := self._tracker:
            self._attempt(lambda: tracker.log_metrics({name: float(value) for name, value in metrics.items()}, step))

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        if tracker := self._tracker:
            flat = {str(name): as_scalar(value) for name, value in dict(params).items()}
            self._attempt(lambda: tracker.log_hyperparams(without_secrets(flat)))

    @rank_zero_only
    def log_files(self, folder: Path) -> None:
        if tracker := self._tracker:
            self._attempt(lambda: tracker.log_files(folder))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if tracker := self._tracker:
            self._attempt(lambda: tracker.finalize(status))

    def _open(self) -> None:
        self._tracker = self._type(self.run, self.config)

    def _attempt(self, action: Callable[[], None]) -> None:
        """Do `action`; on failure give up this tracker for good."""
        failure = attempt(self._label, self._type, action)
        if failure is not None:
            self._tracker = None
            self._missed_something = not isinstance(failure, ModuleNotFoundError)


def attempt(label: str, tracker: type[Tracker], action: Callable[[], None]) -> Exception | None:
    """Do what a tracker may fail in; tell a failure in one warning, and return it."""
    try:
        # a client that logs its own traceback would say at length what the warning says in a line
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
    missing = isinstance(error, ModuleNotFoundError)
    again = "once the run is finished, the same command tells it again"
    remedy = f"pip install {tracker.package}" if missing else f"{tracker.remedy}; {again}"
    return f"{label}: {reason}; the run goes on without it. Remedy: {remedy}"


def shorten(text: str, limit: int) -> str:
    """Cut to at most `limit` characters, the last three of them "..." when something was cut."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def as_scalar(value: Any) -> Scalar:
    """Return a value as trackers take it: as it is if flat, else its text."""
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def given(text: str | None) -> str | None:
    """Return a setting, or None if it is absent, empty or still a `<placeholder>`."""
    return text if text and not re.fullmatch(r"<.*>", text.strip()) else None


def files_to_copy(folder: Path) -> Iterator[Path]:
    """Yield a run folder's files for a tracker to copy.

    No hidden ones, such as its lock, no checkpoints, and nothing that trackers keep there themselves.
    """
    for path in sorted(folder.rglob("[!.]*")):
        inside = path.relative_to(folder)
        if path.is_file() and not path.is_symlink() and path.suffix != ".ckpt" and inside.parts[0] not in NOT_COPIED:
            yield path


def saved_id(folder: Path, tracker: str) -> str | None:
    """Return the id under which the tracker knows the run of this folder, None if it never saw it."""
    return _saved_ids(folder).get(tracker)


def save_id(folder: Path, tracker: str, value: str) -> None:
    """Remember the id under which the tracker knows the run of this folder."""
    write_json(folder / IDS_FILE, {**_saved_ids(folder), tracker: value})


def _saved_ids(folder: Path) -> dict[str, str]:
    """Return what each tracker calls the run; nothing, with a warning, where that is not known any more."""
    file = folder / IDS_FILE
    if not file.is_file():
        return {}
    try:
        ids = read_mapping(file)
    except DamagedFile:
        ids = {"": None}
    known = {tracker: value for tracker, value in ids.items() if isinstance(value, str)}
    if len(known) < len(ids):
        warnings.warn(f"{file} is damaged: trackers show this run as a new one", stacklevel=2)
    return known


def lasting_id(folder: Path, tracker: str) -> str:
    """Return the id of this folder's run for a tracker that lets the client choose it; made up on first use."""
    value = saved_id(folder, tracker)
    if value is None:
        value = uuid.uuid4().hex
        save_id(folder, tracker, value)
    return value


@contextmanager
def quiet(*loggers: str, level: int = logging.WARNING) -> Iterator[None]:
    """Let the named loggers, and through them their children, speak only of warnings and worse, or of less."""
    levels = {name: logging.getLogger(name).level for name in loggers}
    for name in loggers:
        logging.getLogger(name).setLevel(max(level, logging.getLogger(name).getEffectiveLevel()))
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
