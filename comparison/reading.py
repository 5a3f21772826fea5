"""Which runs are meant: folders, what holds folders, patterns, or a sweep's configuration file."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from comparison.strata import NOT_RECORDED, Facts
from comparison.trials import results_among
from configuration.reading import read_configuration
from configuration.schema import Configuration
from configuration.settings import noisy_labels_in_words
from evaluation.catalogue import NAME_CHECKS
from evaluation.findings import Finding
from evaluation.record import Conditions, read_record
from runs.folder import MLFLOW_COPIES, DamagedFile, FolderName, RunFolder, TrialRecord
from runs.identity import content_of, read_settings, settings_of
from runs.parameters import fill_in
from sweeps.cells import Cell, Sweep, expand, load_sweep
from sweeps.mistakes import find_mistakes
from utils.types import ConfigError

DEEPEST = 3
"""Folders within folders that are looked into for runs."""
DATA = "data"
"""Beside a run's configuration keys: what its data was."""
NOISY = "with label noise"
"""That of runs whose labels each seed draws; the images are those of the same runs without noise."""


@dataclass(frozen=True, eq=False, slots=True)
class Run:
    """One finished run.

    Args:
        settings: flat key -> value, of what can change the result; without the seed, with what the data was.
        summary: its final numbers.
        trial: which trial of a search it was trained as, None for most runs.
        findings: numbers that evaluations added to the summary -> the same with unit and direction.
        conditions: evaluation -> where it was done. facts: where the run was trained.
        together: of a run of a sweep, what a list of values that go together is called -> what its own are called.
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


@dataclass(frozen=True)
class Found:
    """What lies where the user pointed at.

    Args:
        runs: the finished ones, each configuration and seed once.
        unfinished: folders of runs without a summary.
        damaged: folders that cannot be read, and why.
        repeated: of runs that were trained anew, the folder that is taken and those that are not.
        missing: names of those runs of a sweep that are not finished anywhere.
        recipe: name of the configuration file whose runs these are, if they are of one.
        trials: how many trials of searches are left out, finished or not.
        searched: keys whose values a search has found, of a sweep with one.
    """

    runs: tuple[Run, ...]
    unfinished: tuple[Path, ...] = ()
    damaged: tuple[tuple[Path, str], ...] = ()
    repeated: tuple[tuple[Path, tuple[Path, ...]], ...] = ()
    missing: tuple[str, ...] = ()
    recipe: str | None = None
    trials: int = 0
    searched: tuple[str, ...] = ()


class Damaged(Exception):
    """A run folder that cannot be read."""


def find_runs(words: Sequence[str], with_epochs: bool = False, trials: bool = False) -> Found:
    """Read all runs that words name: run folders, folders that hold some, patterns, configuration files.

    Words `key=value` change the configuration files, as they do for train.py.

    Args:
        with_epochs: a run whose metrics.csv cannot be read is damaged, too.
        trials: count trials of searches as runs like others.

    Raises: ConfigError for words that name nothing, all of them at once, or if there is no finished run.
    """
    overrides = [word for word in words if "=" in word and not os.path.exists(word)]
    places, files, mistakes = _sort([word for word in words if word not in overrides] or ["output"])
    if overrides and not files:
        mistakes.append(f"{overrides[0]}: changes a sweep's configuration file, and none is given")
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    found = _read_all(places, with_epochs)
    if not trials:
        found = _leave_out_trials(found, {os.path.realpath(word) for word in words})
    for file in files:
        found = _join(found, _find_cells(file, overrides, with_epochs))
    if not found.runs:
        named = [f"the runs of {word}" if word in files else word for word in words if word not in overrides]
        where = ", ".join(named) or "output"
        raise ConfigError(f"no finished run in {where}{_what_else(found)}")
    settings = fill_in([run.settings for run in found.runs])
    return replace(found, runs=tuple(map(_with_settings, found.runs, settings)))


def _with_settings(run: Run, settings: dict[str, Any]) -> Run:
    return replace(run, settings=settings)


def _sort(words: Sequence[str]) -> tuple[list[Path], list[str], list[str]]:
    """Return the folders and the configuration files that words name, and what is wrong with the other words."""
    places, files, mistakes = [], [], []
    for word in words:
        matches = [word] if os.path.exists(word) else sorted(glob.glob(word, recursive=True))
        for match in matches:
            if os.path.isdir(match):
                places.append(Path(match))
            elif match.endswith((".yml", ".yaml")):
                files.append(match)
            elif match == word:
                mistakes.append(f"{word}: neither a folder nor a configuration file (.yml)")
        if not matches:
            mistakes.append(f"{word}: no such folder or file")
    return places, files, mistakes


def _what_else(found: Found) -> str:
    """Return what there was instead of finished runs."""
    damaged = [f"\n{path}: {reason}" for path, reason in found.damaged]
    told = f"; {len(found.unfinished):,} unfinished" if found.unfinished else ""
    told += f"; {found.trials:,} trials of searches (--trials shows those that are finished)" if found.trials else ""
    if found.missing:
        told += f"; {len(found.missing):,} are meant (smoke=true after the file means those of made-up images)"
    return told + "".join(damaged)


def _read_all(places: Sequence[Path], with_epochs: bool) -> Found:
    runs, unfinished, damaged = [], [], []
    folders = {os.path.realpath(path): path for place in places for path in _run_folders(place, DEEPEST)}
    for path in sorted(folders.values()):
        folder = RunFolder(path)
        try:
            if folder.is_finished:
                runs.append(read_run(folder, with_epochs))
            else:
                unfinished.append(path)
        except Damaged as damage:
            damaged.append((path, str(damage)))
    kept, repeated = newest(runs, trained_anew)
    return Found(tuple(kept), tuple(unfinished), tuple(damaged), tuple(repeated))


def _leave_out_trials(found: Found, named: Collection[str]) -> Found:
    """Leave out trials that are no results, but for those whose own folder is named."""
    results = results_among(found.runs)
    runs = tuple(run for run in found.runs if run in results or os.path.realpath(run.folder.path) in named)
    unfinished = tuple(
        path for path in found.unfinished if not RunFolder(path).trial.is_file() or os.path.realpath(path) in named
    )
    left_out = len(found.runs) - len(runs) + len(found.unfinished) - len(unfinished)
    kept = {run.folder.path for run in runs}
    repeated = tuple(each for each in found.repeated if each[0] in kept)
    return replace(found, runs=runs, unfinished=unfinished, repeated=repeated, trials=left_out)


def _run_folders(place: Path, depth: int) -> Iterator[Path]:
    """Yield the run folders at or below a place; what lies within one is not looked into."""
    folder = RunFolder(place)
    if folder.is_finished or (folder.config.is_file() and folder.environment.is_file()):
        yield place
    elif depth > 0:
        try:
            with os.scandir(place) as entries:
                folders = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
        except OSError:
            return  # a folder that is not for us, such as lost+found
        for inner in folders:
            if inner.name != MLFLOW_COPIES:
                yield from _run_folders(Path(inner.path), depth - 1)


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
    conditions = {} if record is None else {name: each.conditions for name, each in record.evaluated.items()}
    return Run(folder, settings, seed, summary, trial, findings, conditions=conditions, facts=facts)


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


def trained_anew(run: Run) -> tuple[Any, ...]:
    """Return what the runs that `--fresh` trained of one configuration have in common, wherever that was."""
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
    for each in same.values():
        *others, last = sorted(each, key=lambda run: (_repetition(run.folder.path), str(run.folder.path)))
        kept.append(last)
        if others:
            repeated.append((last.folder.path, tuple(run.folder.path for run in others)))
    return kept, repeated


def _repetition(path: Path) -> int:
    """Return 3 for <name>-<fingerprint>-3, and 1 for the first."""
    name = FolderName.parse(path.name)
    return name.number if name else 1


# ------------------------------------------------------------------------------------------------- a sweep's runs


def _find_cells(file: str, overrides: Sequence[str], with_epochs: bool) -> Found:
    """Find a sweep's runs in its output folder, by their configurations, wherever they were started from."""
    base = read_configuration(file, overrides, NAME_CHECKS, find_mistakes)
    cells: list[tuple[str, Configuration, dict[str, str]]] = [(f"seed={base.seed}", base, {})]
    unknown: list[str] = []
    searched: tuple[str, ...] = ()
    if base.sweep is not None:
        sweep = load_sweep(base)
        cells = [_known(cell) for cell in expand(sweep)]
        if sweep.block.search is not None:
            cells, unknown = _found_by_search(sweep)
            searched = tuple(sweep.block.search.ranges)
    wanted = {_wanted(config): (name, together) for name, config, together in cells}
    places = sorted({Path(config.output_path) for _, config, _ in cells})
    found = _read_all([place for place in places if place.is_dir()], with_epochs)
    runs = {run: _without(identity(run), {DATA}) for run in found.runs}
    # `precision: auto` is what the machine of a run made of it
    runs = {run: values if values in wanted else _with_precision(values, "auto") for run, values in runs.items()}
    mine = tuple(replace(run, together=wanted[values][1]) for run, values in runs.items() if values in wanted)
    there = set(runs.values())
    missing = [name for values, (name, _) in wanted.items() if values not in there]
    kept = {run.folder.path for run in mine}
    repeated = tuple(each for each in found.repeated if each[0] in kept)
    return Found(mine, (), found.damaged, repeated, (*unknown, *missing), Path(file).stem, searched=searched)


def _known(cell: Cell) -> tuple[str, Configuration, dict[str, str]]:
    return cell.name, cell.config, cell.together


def _found_by_search(sweep: Sweep) -> tuple[list[tuple[str, Configuration, dict[str, str]]], list[str]]:
    """Return the runs with the best values that a search has found, and the combinations for which it has none."""
    from sweeps.search import best_jobs  # with Optuna, which other sweeps do without

    cells, unknown = [], []
    for name, jobs in best_jobs(sweep):
        cells += [_known(job.cell(sweep)) for job in jobs]
        unknown += [] if jobs else [f"{name} (no trial has a result)"]
    return cells, unknown


def _wanted(config: Configuration) -> frozenset[tuple[str, Any]]:
    values = settings_of(config, contents=_content)
    values["noisy_labels"] = noisy_labels_in_words(config.noisy_labels, config.noisy_labels_name)
    return frozenset(values.items())


def _content(key: str, path: str) -> str:
    try:
        return content_of(path)
    except OSError:  # as a run whose weights are not recorded
        return path


def _without(items: frozenset[tuple[str, Any]], keys: set[str]) -> frozenset[tuple[str, Any]]:
    return frozenset(item for item in items if item[0] not in keys)


def _with_precision(items: frozenset[tuple[str, Any]], precision: str) -> frozenset[tuple[str, Any]]:
    return _without(items, {"precision"}) | {("precision", precision)}


def _join(first: Found, second: Found) -> Found:
    runs = {run.folder.path.resolve(): run for run in (*first.runs, *second.runs)}
    return Found(
        tuple(runs.values()),
        (*first.unfinished, *second.unfinished),
        tuple(dict.fromkeys((*first.damaged, *second.damaged))),
        tuple(dict.fromkeys((*first.repeated, *second.repeated))),
        (*first.missing, *second.missing),
        second.recipe,
        first.trials + second.trials,
        tuple(dict.fromkeys((*first.searched, *second.searched))),
    )
