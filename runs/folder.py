"""A run on the disk: its folder, what identifies it, what it leaves."""

from __future__ import annotations

import csv
import functools
import io
import json
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml

from configuration.schema import Configuration
from runs.identity import fingerprint, identity, read_settings
from runs.names import canonical_name, names_of
from utils.files import DamagedFile, read_text, write_atomically

MLFLOW_COPIES = "mlartifacts"
"""Folder beside the runs where MLflow keeps copies of their files."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a cell begins with that spreadsheets take for more than a text."""
MOST_DIGITS = 30
"""Of a whole number that is read: those of more fit in no float, or take long."""
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "timm", "numpy", "pillow", "scikit-learn")


OF_EVERY_SUMMARY = (
    *("test/accuracy", "test/top5_accuracy", "test/f1", "test/loss", "test/cross_entropy", "test/rejected"),
    *("valid/accuracy", "selected_on", "selected_epoch", "seconds", "images_per_second", "waiting_share"),
)
"""What every finished run knows of itself."""


class TrialRecord(msgspec.Struct, frozen=True):
    """Which trial of which search a run was trained as; no part of what the run is.

    Args:
        search: its name. number: of the trial. drawn: dotted key -> value that was drawn for it.
    """

    search: str
    number: int
    drawn: dict[str, Any]


@dataclass(frozen=True)
class RunFolder:
    """output/<dataset>-<architecture>-<loss>-s<seed>-<fingerprint>/ and the names of what lies in it."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.yml"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def classes(self) -> Path:
        return self.path / "classes.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def best(self) -> Path:
        return self.path / "checkpoints" / "best.ckpt"

    @property
    def last(self) -> Path:
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def previous(self) -> Path:
        """The checkpoint before the last: what a run goes on from when that one is damaged."""
        return self.path / "checkpoints" / "previous.ckpt"

    def kept(self, epoch: int) -> Path:
        """The weights of one epoch, counted from 0, kept by `keep_epochs`."""
        return self.path / "checkpoints" / f"epoch-{epoch}.ckpt"

    def kept_epochs(self) -> list[int]:
        """Return the epochs whose weights are kept, ascending."""
        names = (path.stem.removeprefix("epoch-") for path in self.path.glob("checkpoints/epoch-*.ckpt"))
        return sorted(int(name) for name in names if name.isdecimal())

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions.parquet"

    @property
    def evaluation(self) -> Path:
        """What evaluate.py found out about the test part."""
        return self.path / "evaluation"

    @property
    def label_noise(self) -> Path:
        return self.path / "label_noise.csv"

    @property
    def confusions(self) -> Path:
        """Of texts: what is taken for what at each place."""
        return self.path / "confusions.csv"

    @property
    def trial(self) -> Path:
        """There if the run was trained as a trial of a search."""
        return self.path / "trial.json"

    @property
    def untold(self) -> Path:
        """There from when trackers are opened until they are closed: while they may not know how the run ended."""
        return self.path / ".untold"

    @property
    def lock(self) -> Path:
        """Held while a process trains the run."""
        return self.path / ".lock"

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
        """Return what was recorded when the run began; empty when there is nothing. Raises: DamagedFile."""
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
        """Write what each score means. Args: kind: of the data, "image" or "sequence"."""
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
        try:
            table = csv.DictReader(io.StringIO(read_text(self.metrics), newline=""))
            rows = [{key: float(each) for key, each in row.items() if each != ""} for row in table]
        except DamagedFile:
            raise
        except (csv.Error, ValueError, TypeError):  # TypeError: a line with fewer or more fields than names
            raise DamagedFile(f"{name} is no table of numbers") from None
        if not rows:
            raise DamagedFile(f"{name} has no rows")
        if not all(math.isfinite(row.get("epoch", math.nan)) for row in rows):
            raise DamagedFile(f"{name} has rows without an epoch")
        return rows

    def write_metrics(self, rows: list[dict[str, float]]) -> None:
        write_csv(self.metrics, [{**row, "epoch": int(row["epoch"])} for row in rows])


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the values that a JSON file holds by their names; nothing in it keeps the reader busy.

    Raises: DamagedFile; OSError.
    """
    text = read_text(path)
    try:
        values = json.loads(text, parse_int=_whole)
    except json.JSONDecodeError as error:
        raise DamagedFile(f"{path.name} is not JSON: {error.msg} in line {error.lineno}") from None
    except RecursionError:
        raise DamagedFile(f"{path.name} holds values within too many others") from None
    except OverflowError:
        raise DamagedFile(f"{path.name} holds a number of more than {MOST_DIGITS} digits") from None
    if not isinstance(values, dict):
        raise DamagedFile(f"{path.name} holds no mapping")
    return values


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise OverflowError
    return int(text)


def run_folder(config: Configuration, data_fingerprint: str, fresh: bool = False) -> RunFolder:
    """Return the folder of a configuration's run, the last of those trained anew; with `fresh`, a new one.

    One of another name is found, too, by what it recorded: it was renamed, or named by an earlier version.
    """
    mine = fingerprint(config, data_fingerprint)
    path = Path(config.output_path) / f"{run_prefix(config)}-s{config.seed}-{mine}"
    if not path.exists() and (others := _folders_of(config, mine, data_fingerprint)):
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


def _folders_of(config: Configuration, mine: str, data_fingerprint: str) -> list[RunFolder]:
    """Return the folders of a run whatever they are called, those trained anew last."""
    found = []
    for folder in possible_folders(config):
        facts = _known_facts(str(folder.environment), *_state_of(folder.environment))
        if facts.get("data_fingerprint") == data_fingerprint and recorded_identity(folder) == mine:
            name = FolderName.parse(folder.path.name)
            found.append((name.number if name else 1, folder.path.name, folder))
    return [folder for *_, folder in sorted(found, key=lambda each: each[:2])]


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


def recorded_identity(folder: RunFolder) -> str | None:
    """Return what identifies the run of a folder, by what it recorded; None where that cannot be read."""
    return _recorded_identity(str(folder.path), _state_of(folder.config), _state_of(folder.environment))


@functools.lru_cache(maxsize=10_000)
def _recorded_identity(path: str, config: tuple[int, int], environment: tuple[int, int]) -> str | None:
    folder = RunFolder(Path(path))
    try:
        facts = folder.read_environment()
        return identity(read_settings(folder.config, facts), str(facts.get("data_fingerprint")))
    except (DamagedFile, OSError, ValueError, yaml.YAMLError):
        return None


@functools.lru_cache(maxsize=10_000)
def _known_facts(path: str, changed: int, size: int) -> dict[str, Any]:
    try:
        return read_mapping(Path(path))
    except (DamagedFile, OSError):
        return {}


def _state_of(path: Path) -> tuple[int, int]:
    """Return what changes when a file is written, zeros where there is none."""
    try:
        facts = path.stat()
    except OSError:
        return 0, 0
    return facts.st_mtime_ns, facts.st_size


class FolderName(NamedTuple):
    """What the name of a run's folder says.

    Args:
        beginning: data set, architecture, loss and seed. fingerprint: its ten digits.
        number: which of those trained anew it is, 1 for the first.
    """

    beginning: str
    fingerprint: str
    number: int

    @classmethod
    def parse(cls, name: str) -> FolderName | None:
        """Return what a name says, None if it is no run's."""
        match = re.fullmatch(r"(.+)-([0-9a-f]{10})(?:-([0-9]{1,9}))?", name)
        return match and cls(match[1], match[2], int(match[3] or 1))


def run_prefix(config: Configuration) -> str:
    """Return what the folders of a data set, an architecture and a loss begin with."""
    return _prefix(config, canonical_name("architecture", config.architecture))


def run_prefixes(config: Configuration) -> list[str]:
    """Return `run_prefix`, and what it was with each other name of the architecture."""
    return [_prefix(config, name) for name in names_of("architecture", config.architecture)]


def _prefix(config: Configuration, architecture: str) -> str:
    parts = (config.dataset, architecture, config.loss_function)
    return "-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", part) for part in parts)


def check_writable(config: Configuration) -> None:
    """Raise ConfigError if a folder that the run writes to cannot be written."""
    mistakes = {}
    for key in ("output_path", "logging_dir"):
        folder = Path(getattr(config, key))
        probe = folder / f".writable-{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            mistakes[(key,)] = f"cannot write to {str(folder)!r}: {error.strerror}; choose another folder"
    if mistakes:
        raise config.error(mistakes)


def environment(device: str, precision: str, data_fingerprint: str) -> dict[str, Any]:
    """Return what else a result depends on; taken from a fixed list, never a dump of the environment."""
    import torch

    return {
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "runtime": runtime(),
        "python": sys.version.split()[0],
        "packages": {name: package_version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": processor_name(),
        "device": device,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "data_fingerprint": data_fingerprint,
    }


def processor_name() -> str:
    """Return what the processor calls itself, as exactly as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


HARMLESS = (
    *("started", "continued", "runtime", "git_changed", "data_fingerprint", "platform"),
    *("code", "code_accepted", "resolved", "weights"),
)
"""Facts that a run may change without a word; other data are another run."""


def changed_facts(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what differs in two records of an environment and can change a result, each as before and now."""
    flat_before, flat_now = ({**facts, **facts["packages"]} for facts in (before, now))
    names = [name for name in flat_now if name not in (*HARMLESS, "packages")]
    return {name: (flat_before.get(name), flat_now[name]) for name in names if flat_before.get(name) != flat_now[name]}


def runtime() -> str:
    """Return "colab" or "local", the thesis's column."""
    return "colab" if "COLAB_RELEASE_TAG" in os.environ or "google.colab" in sys.modules else "local"


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows under a line with the names of all their columns; no text among them is a formula."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    write_rows(path, [names, *([row.get(name, "") for name in names] for row in rows)])


def write_rows(path: Path, rows: Iterable[Iterable[Any]]) -> None:
    """Write rows of CSV; no text among them is a formula."""
    text = io.StringIO()
    csv.writer(text).writerows([map(without_formula, row) for row in rows])
    write_atomically(path, text.getvalue())


def without_formula(value: Any) -> Any:
    """Return a text with an apostrophe before what a spreadsheet would run as a formula; all else as it is."""
    if not isinstance(value, str) or not value.lstrip(" ").startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def write_json(path: Path, values: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(values, indent=2) + "\n")


def package_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
