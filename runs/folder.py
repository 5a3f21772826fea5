"""A run on the disk: its folder, the files in it, and how the folder of a configuration is found."""

from __future__ import annotations

import csv
import functools
import io
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml

from configuration.schema import Configuration
from models import ALIASES, resolve_architecture
from runs.identity import fingerprint, identity, read_settings
from runs.records import read_mapping, write_csv, write_json
from utils.files import DamagedFile, read_text
from utils.own_names import short_name

MLFLOW_COPIES = "mlartifacts"
"""Folder beside the runs where MLflow keeps copies of their files."""
OF_EVERY_SUMMARY = (
    *("test/accuracy", "test/loss", "test/cross_entropy", "test/rejected"),
    *("valid/accuracy", "selected_on", "selected_epoch", "seconds", "images_per_second", "waiting_share"),
)
"""Names that every summary has."""


class TrialRecord(msgspec.Struct, frozen=True):
    """Which trial of which search a run was trained as; no part of what the run is.

    Args: search: its name. number: of the trial. drawn: dotted key -> value that was drawn for it.
    """

    search: str
    number: int
    drawn: dict[str, Any]


class _Within:
    """A path within a run's folder."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: RunFolder, owner: type) -> Path:
        return folder.path / self.name


@dataclass(frozen=True)
class RunFolder:
    """output/<dataset>-<architecture>-<loss>-s<seed>-<fingerprint>/ and the names of what lies in it.

    Attributes:
        previous: the checkpoint before the last, from which a run resumes when that one is damaged.
        evaluation: results of evaluate.py on the test part.
        detections, ground_truth: of objects, both in COCO's json.
        precisions: of objects, by class and size.
        confusions: of texts, the characters that are mistaken at each place.
        trial: there if the run was trained as a trial of a search.
        unreported: there while trackers are open, and after them if they may have missed the end of the run.
        lock: held while a process trains the run.
    """

    path: Path

    config = _Within("config.yml")
    environment = _Within("environment.json")
    classes = _Within("classes.json")
    metrics = _Within("metrics.csv")
    best = _Within("checkpoints/best.ckpt")
    last = _Within("checkpoints/last.ckpt")
    previous = _Within("checkpoints/previous.ckpt")
    summary = _Within("summary.json")
    predictions = _Within("predictions.parquet")
    detections = _Within("predictions.json")
    ground_truth = _Within("ground_truth.json")
    precisions = _Within("average_precision.csv")
    evaluation = _Within("evaluation")
    label_noise = _Within("label_noise.csv")
    confusions = _Within("confusions.csv")
    trial = _Within("trial.json")
    unreported = _Within(".untold")
    lock = _Within(".lock")

    def kept(self, epoch: int) -> Path:
        """Return the path of the weights of one epoch, counted from 0, kept by `keep_epochs`."""
        return self.path / "checkpoints" / f"epoch-{epoch}.ckpt"

    def kept_epochs(self) -> list[int]:
        """Return the epochs whose weights are kept, ascending."""
        names = (path.stem.removeprefix("epoch-") for path in self.path.glob("checkpoints/epoch-*.ckpt"))
        return sorted(int(name) for name in names if name.isdecimal())

    def picture(self, name: str) -> Path:
        return self.path / f"{name}.png"

    @property
    def is_finished(self) -> bool:
        """The summary is written last."""
        return self.summary.is_file()

    @property
    def is_interrupted(self) -> bool:
        return not self.is_finished and (self.last.is_file() or self.previous.is_file())

    def discard_checkpoints(self, keep: str) -> None:
        """Remove the checkpoints that a run no longer needs. Args: keep: "best", "all" or "none"."""
        discarded = {"all": [], "best": [self.last, self.previous], "none": self.best.parent.glob("*.ckpt")}
        for path in discarded[keep]:
            path.unlink(missing_ok=True)

    def read_summary(self) -> dict[str, Any]:
        """Return the final numbers. Raises: DamagedFile; FileNotFoundError if the run is not finished."""
        summary = read_mapping(self.summary)
        if "flops" in summary:  # what older runs called it
            summary.setdefault("multiply_adds", summary.pop("flops"))
        return summary

    def finished_summary(self) -> dict[str, Any] | None:
        """Return the final numbers of a run that is finished, None of one that is not.

        Raises: DamagedFile also if some of them are missing.
        """
        if not self.is_finished:
            return None
        summary = self.read_summary()
        if missing := [name for name in OF_EVERY_SUMMARY if name not in summary]:
            raise DamagedFile(f"{self.summary.name} lacks {', '.join(missing)}")
        return summary

    def read_environment(self) -> dict[str, Any]:
        """Return the record made when the run began, empty if there is none. Raises: DamagedFile."""
        return read_mapping(self.environment) if self.environment.is_file() else {}

    def read_classes(self) -> tuple[str, ...] | None:
        """Return the classes, of texts the characters, in the order of the scores; None if none are recorded.

        Raises: DamagedFile.
        """
        if not self.classes.is_file():
            return None
        try:
            return msgspec.convert(read_mapping(self.classes).get("classes", ()), tuple[str, ...])
        except msgspec.ValidationError:
            raise DamagedFile(f"{self.classes.name} holds no list of names") from None

    def write_classes(self, kind: str, classes: Sequence[str]) -> None:
        """Write the meaning of each score. Args: kind: of the data, "image" or "sequence"."""
        write_json(self.classes, {"kind": kind, "classes": list(classes)})

    def read_trial(self) -> TrialRecord | None:
        """Return which trial of a search the run is, None if none. Raises: DamagedFile."""
        if not self.trial.is_file():
            return None
        try:
            return msgspec.convert(read_mapping(self.trial), TrialRecord)
        except msgspec.ValidationError:
            raise DamagedFile(f"{self.trial.name} is not of a trial") from None

    def write_trial(self, record: TrialRecord) -> None:
        write_json(self.trial, msgspec.to_builtins(record))

    def read_metrics(self) -> list[dict[str, float]]:
        """Return the rows of metrics.csv, an epoch each; empty when there is none. Raises: DamagedFile."""
        if not self.metrics.is_file():
            return []
        name = self.metrics.name
        text = read_text(self.metrics)
        try:
            table = csv.DictReader(io.StringIO(text, newline=""))
            rows = [{key: float(cell) for key, cell in row.items() if cell != ""} for row in table]
        except (csv.Error, ValueError, TypeError):  # TypeError: a line with fewer or more fields than names
            raise DamagedFile(f"{name} is no table of numbers") from None
        if not rows:
            raise DamagedFile(f"{name} has no rows")
        if not all(math.isfinite(row.get("epoch", math.nan)) for row in rows):
            raise DamagedFile(f"{name} has rows without an epoch")
        return rows

    def write_metrics(self, rows: list[dict[str, float]]) -> None:
        write_csv(self.metrics, [{**row, "epoch": int(row["epoch"])} for row in rows])


def run_folder(config: Configuration, data_fingerprint: str, fresh: bool = False) -> RunFolder:
    """Return the folder of a configuration's run, the last of several; with `fresh`, a new one.

    A folder of another name, renamed or named by an earlier version, is identified by its records.
    """
    mine = fingerprint(config, data_fingerprint)
    path = Path(config.output_path) / f"{run_prefix(config)}-s{config.seed}-{mine}"
    if not path.exists() and (others := _folders_of(config, mine)):
        if not fresh:
            return others[-1]
        names = [FolderName.parse(other.path.name) for other in others]
        path = next((path.with_name(f"{name.beginning}-{name.fingerprint}") for name in names if name), path)
    name = path.name
    number = 1
    while (following := path.with_name(f"{name}-{number + 1}")).exists():
        number, path = number + 1, following
    if fresh and path.exists():
        path = path.with_name(f"{name}-{number + 1}")
    return RunFolder(path)


def _folders_of(config: Configuration, mine: str) -> list[RunFolder]:
    """Return the folders of a run whatever their names, the first first."""

    def order(folder: RunFolder) -> tuple[int, str]:
        name = FolderName.parse(folder.path.name)
        return name.number if name else 1, folder.path.name

    return sorted((folder for folder in possible_folders(config) if _identity_of(folder) == mine), key=order)


def possible_folders(config: Configuration) -> Iterator[RunFolder]:
    """Yield the folders that may hold a configuration's run: those named so, and those that are named otherwise."""
    beginnings = {f"{prefix}-s{config.seed}" for prefix in run_prefixes(config)}
    try:
        with os.scandir(config.output_path) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return
    for name in names:
        parsed = FolderName.parse(name)
        folder = RunFolder(Path(config.output_path) / name)
        if parsed.beginning in beginnings if parsed else folder.environment.is_file() and folder.config.is_file():
            yield folder


def _identity_of(folder: RunFolder) -> str | None:
    """Return the identity of a folder's run from its records; None where they cannot be read."""
    return _recorded_identity(folder, _state_of(folder.config), _state_of(folder.environment))


@functools.lru_cache(maxsize=10_000)
def _recorded_identity(folder: RunFolder, *states: tuple[int, int]) -> str | None:
    try:
        facts = folder.read_environment()
        return identity(read_settings(folder.config, facts), str(facts.get("data_fingerprint")))
    except (DamagedFile, OSError, ValueError, yaml.YAMLError):
        return None


def _state_of(path: Path) -> tuple[int, int]:
    """Return values that change when a file is written, zeros where there is none."""
    try:
        facts = path.stat()
    except OSError:
        return 0, 0
    return facts.st_mtime_ns, facts.st_size


class FolderName(NamedTuple):
    """The parts of the name of a run's folder.

    Args:
        beginning: data set, architecture, loss and seed. fingerprint: ten digits.
        number: 1, or more for a run that was retrained.
    """

    beginning: str
    fingerprint: str
    number: int

    @classmethod
    def parse(cls, name: str) -> FolderName | None:
        """Return the parts of a name, None if it is no run's."""
        match = re.fullmatch(r"(.+)-([0-9a-f]{10})(?:-([0-9]{1,9}))?", name)
        return match and cls(match[1], match[2], int(match[3] or 1))


def run_prefix(config: Configuration) -> str:
    """Return what the folders of a data set, an architecture and a loss begin with."""
    return run_prefixes(config)[0]


def run_prefixes(config: Configuration) -> list[str]:
    """Return `run_prefix`, and what it was with each other name of the architecture."""
    name = resolve_architecture(config.architecture)
    names = [name, *(other for other, target in ALIASES.items() if target == name)]
    parts = [(short_name(config.dataset), short_name(name), short_name(config.loss_function)) for name in names]
    return ["-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", part) for part in each) for each in parts]
