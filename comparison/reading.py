"""One finished run as compare.py knows it: its settings, numbers and the facts of its training."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from comparison.strata import NOT_RECORDED, Facts
from evaluation.findings import Finding
from evaluation.record import Conditions, read_record
from metrics import lower_is_better
from runs.folder import DamagedFile, FolderName, RunFolder, TrialRecord
from runs.identity import read_settings

DATA = "data"
"""Key, beside those of the configuration, for the fingerprint of a run's data."""
NOISY = "with label noise"
"""Its value for runs whose labels each seed draws; the images are those of the same runs without noise."""


@dataclass(frozen=True, eq=False, slots=True)
class Run:
    """One finished run.

    Args:
        settings: flat key -> value, of what can change the result; without the seed, with what the data was.
        summary: its final numbers.
        trial: which trial of a search it was trained as, None for most runs.
        findings: numbers that evaluations added to the summary -> the same with unit and direction.
        conditions: evaluation -> where it was done. facts: where the run was trained.
        together: of a run of a sweep, name of a list of values that go together -> the name of the run's own values.
        num_classes: None where the run did not record its classes.
    """

    folder: RunFolder
    settings: dict[str, Any]
    seed: int
    summary: dict[str, Any]
    trial: TrialRecord | None = None
    findings: dict[str, Finding] = field(default_factory=dict)
    together: dict[str, str] = field(default_factory=dict)
    conditions: dict[str, Conditions] = field(default_factory=dict)
    facts: Facts = field(default_factory=Facts)
    num_classes: int | None = None

    @property
    def numbers(self) -> dict[str, float]:
        """The numbers that tell something: of five classes, every label is among the five most likely ones."""
        few = self.num_classes is not None and self.num_classes <= 5
        return {
            name: value
            for name, value in self.summary.items()
            if is_number(value) and name != "seed" and not (few and name.endswith("top5_accuracy"))
        }


class Damaged(Exception):
    """A run folder that cannot be read."""


def is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def read_run(folder: RunFolder, with_epochs: bool = False) -> Run:
    """Read one finished run. Raises: Damaged."""
    environment = _read("environment.json", folder.read_environment)
    facts = _read("environment.json", lambda: Facts.of(environment))
    settings = _read("config.yml", lambda: read_settings(folder.config, environment))
    summary = _read("summary.json", folder.read_summary)
    trial = _read("trial.json", folder.read_trial)
    if with_epochs:
        read_epochs(folder)
    seed = settings.pop("seed")
    record = _read("evaluation/evaluation.json", lambda: read_record(folder.evaluation))
    findings = record.compared() if record is not None and record.facts["finished"] else {}
    summary |= {name: finding.value for name, finding in findings.items()}
    settings["noisy_labels"] = noisy = summary.get("noisy_labels")
    if not isinstance(noisy, str | None):
        raise Damaged("summary.json is not of a run: noisy_labels is no text")
    # wrong labels are drawn by the seed, so that data with them differ between seeds as they should
    settings[DATA] = NOISY if settings["label_noise"] else (facts.data_fingerprint or NOT_RECORDED)[:10]
    conditions = {} if record is None else {name: evaluated.conditions for name, evaluated in record.evaluated.items()}
    classes = None
    with contextlib.suppress(DamagedFile, OSError):  # names are not needed to compare
        classes = folder.read_classes()
    num_classes = None if classes is None else len(classes)
    return Run(folder, settings, seed, summary, trial, findings, {}, conditions, facts, num_classes)


def read_epochs(folder: RunFolder) -> list[dict[str, float]]:
    """Return the rows of metrics.csv, an epoch each, at least one. Raises: Damaged."""
    if rows := _read("metrics.csv", folder.read_metrics):
        return rows
    raise Damaged("metrics.csv is missing")


def _read(name: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except FileNotFoundError:
        raise Damaged(f"{name} is missing") from None
    except DamagedFile as damage:
        raise Damaged(str(damage)) from None
    except OSError as error:
        raise Damaged(f"{name} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise Damaged(f"{name} cannot be read: {error}") from None


def identity(run: Run) -> frozenset[tuple[str, Any]]:
    return frozenset([*run.settings.items(), ("seed", run.seed)])


def retrained(run: Run) -> tuple[Any, ...]:
    """Return a key that the runs which `--fresh` retrained of one configuration share, wherever that was."""
    name = FolderName.parse(run.folder.path.name)
    place = run.folder.path if name is None else run.folder.path.with_name(f"{name.beginning}-{name.fingerprint}")
    return identity(run), place


def newest(
    runs: Sequence[Run], alike: Callable[[Run], Any] = identity
) -> tuple[list[Run], list[tuple[Path, tuple[Path, ...]]]]:
    """Keep, of runs that are alike, the one that `--fresh` trained last."""
    same: dict[Any, list[Run]] = {}
    for run in runs:
        same.setdefault(alike(run), []).append(run)
    kept, repeated = [], []
    for members in same.values():
        *others, last = sorted(members, key=lambda run: (_repetition(run.folder.path), str(run.folder.path)))
        kept.append(last)
        if others:
            repeated.append((last.folder.path, tuple(run.folder.path for run in others)))
    return kept, repeated


def _repetition(path: Path) -> int:
    """Return 3 for <name>-<fingerprint>-3, and 1 for the first."""
    name = FolderName.parse(path.name)
    return name.number if name else 1


def results_among(runs: Sequence[Run]) -> set[Run]:
    """Return the runs that are no trials, and the trials that are results.

    These are the best trial of each search, judged as the search itself judges (by `monitor`, of equal ones the first),
    and those whose values were trained on other seeds too.
    """
    ordinary = {run for run in runs if run.trial is None}
    trained = {frozenset(run.settings.items()) for run in ordinary}
    by_search: dict[str, list[Run]] = {}
    repeated = set()
    for run in runs:
        if run.trial is not None:
            by_search.setdefault(run.trial.search, []).append(run)
            repeated |= {run} if frozenset(run.settings.items()) in trained else set()
    return ordinary | repeated | {best for trials in by_search.values() for best in _best(trials)}


def _best(trials: Iterable[Run]) -> list[Run]:
    """Return the best of a search's trials; none if none was judged."""
    judged = []
    for run in trials:
        monitor = str(run.settings["monitor"])
        value = run.summary.get(monitor)
        if is_number(value) and run.trial is not None:
            judged.append((value if lower_is_better(monitor) else -value, run.trial.number, run))
    return [min(judged, key=lambda entry: entry[:2])[2]] if judged else []
