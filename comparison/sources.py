"""Resolve compare.py's arguments (folders, patterns, sweep files) to finished runs."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from comparison.reading import DATA, Damaged, Run, identity, newest, read_run, results_among, retrained
from configuration.reading import read_configuration
from configuration.schema import Configuration
from configuration.settings import noisy_labels_in_words
from evaluation.catalogue import NAME_CHECKS
from runs.folder import MLFLOW_COPIES, RunFolder
from runs.identity import settings_of
from runs.parameters import fill_in
from sweeps.block import AUTO
from sweeps.cells import Sweep, expand, load_sweep
from sweeps.mistakes import find_mistakes
from utils.files import content_of
from utils.types import ConfigError

DEEPEST = 3
"""Levels of folders within folders that are searched for runs."""


@dataclass(frozen=True)
class Selection:
    """The runs that the arguments name.

    Args:
        runs: the finished ones, each configuration and seed once.
        unfinished: folders of runs without a summary.
        damaged: folders that cannot be read, and why.
        repeated: of runs that were retrained, the folder that is used and those that are not.
        missing: names of those runs of a sweep that are not finished anywhere.
        recipe: name of the configuration file whose runs these are, if they are of one.
        trials: how many trials of searches are left out, finished or not.
        searched: keys whose values a search has found, of a sweep with one.
        further: how many runs are of further seeds than a sweep's file has.
        looks_at: of a sweep with `seeds: auto`, the seeds that all its combinations have, and `most_seeds`.
    """

    runs: tuple[Run, ...]
    unfinished: tuple[Path, ...] = ()
    damaged: tuple[tuple[Path, str], ...] = ()
    repeated: tuple[tuple[Path, tuple[Path, ...]], ...] = ()
    missing: tuple[str, ...] = ()
    recipe: str | None = None
    trials: int = 0
    searched: tuple[str, ...] = ()
    further: int = 0
    looks_at: tuple[int, int] | None = None


def find_runs(words: Sequence[str], with_epochs: bool = False, trials: bool = False) -> Selection:
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
        mistakes.append(f"{overrides[0]}: changes the configuration file of a sweep, and none is named")
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    selection = _read_all(places, with_epochs)
    if not trials:
        selection = _leave_out_trials(selection, {os.path.realpath(word) for word in words})
    for file in files:
        selection = _join(selection, _find_cells(file, overrides, with_epochs))
    if not selection.runs:
        named = [f"the runs of {word}" if word in files else word for word in words if word not in overrides]
        where = ", ".join(named) or "output"
        raise ConfigError(f"no finished run in {where}{_what_else(selection)}")
    filled = fill_in([run.settings for run in selection.runs])
    runs = [replace(run, settings=settings) for run, settings in zip(selection.runs, filled, strict=True)]
    return replace(selection, runs=tuple(runs))


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


def _what_else(selection: Selection) -> str:
    """Return a description of what there is instead of finished runs."""
    damaged = [f"\n{path}: {reason}" for path, reason in selection.damaged]
    text = f"; {len(selection.unfinished):,} unfinished" if selection.unfinished else ""
    text += (
        f"; {selection.trials:,} trials of searches (--trials shows those that are finished)"
        if selection.trials
        else ""
    )
    if selection.missing:
        text += f"; {len(selection.missing):,} are meant (smoke=true after the file means those of made-up images)"
    return text + "".join(damaged)


def _read_all(places: Sequence[Path], with_epochs: bool) -> Selection:
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
    kept, repeated = newest(runs, retrained)
    return Selection(tuple(kept), tuple(unfinished), tuple(damaged), tuple(repeated))


def _leave_out_trials(selection: Selection, named: Collection[str]) -> Selection:
    """Leave out trials that are no results, except those whose own folder is named."""
    results = results_among(selection.runs)
    runs = tuple(run for run in selection.runs if run in results or os.path.realpath(run.folder.path) in named)
    unfinished = tuple(
        path for path in selection.unfinished if not RunFolder(path).trial.is_file() or os.path.realpath(path) in named
    )
    left_out = len(selection.runs) - len(runs) + len(selection.unfinished) - len(unfinished)
    kept = {run.folder.path for run in runs}
    repeated = tuple(repeated for repeated in selection.repeated if repeated[0] in kept)
    return replace(selection, runs=runs, unfinished=unfinished, repeated=repeated, trials=left_out)


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


def _find_cells(file: str, overrides: Sequence[str], with_epochs: bool) -> Selection:
    """Find a sweep's runs, or the one of a file without, in its output folder by their configurations."""
    return find_cells(read_configuration(file, overrides, NAME_CHECKS, find_mistakes), Path(file).stem, with_epochs)


def find_cells(config: Configuration, name: str, with_epochs: bool = False) -> Selection:
    """Find the runs of a configuration with a sweep, of further seeds than its own, too, or the one of it without."""
    sweep = load_sweep(config)
    cells, unknown, search = list(expand(sweep)), list[str](), sweep.block.search
    if search is not None:
        from sweeps.search import best_jobs  # with Optuna, which other sweeps do without

        best = dict(best_jobs(sweep))
        cells = [job.cell(sweep) for jobs in best.values() for job in jobs]
        unknown = [f"{searched} (no trial has a result)" for searched, jobs in best.items() if not jobs]
    by_settings = {_settings_of(cell.config): cell for cell in cells}
    places = sorted({Path(cell.config.output_path) for cell in cells})
    selection = _read_all([place for place in places if place.is_dir()], with_epochs)
    by_rest = {_without_seed(key): cell for key, cell in by_settings.items()} if _has_open_seeds(sweep) else {}
    runs, finished, further = [], set(), 0
    for run in selection.runs:
        settings = dict(identity(run))
        del settings[DATA]
        resolved, auto = (frozenset(values.items()) for values in (settings, settings | {"precision": "auto"}))
        key = resolved if resolved in by_settings else auto  # which the machine of each run resolves
        if key in by_settings:
            runs.append(replace(run, together=by_settings[key].together))
            finished.add(key)
        elif cell := by_rest.get(_without_seed(resolved)) or by_rest.get(_without_seed(auto)):
            runs.append(replace(run, together=cell.together))
            further += 1
    missing = [cell.name or f"seed={cell.config.seed}" for key, cell in by_settings.items() if key not in finished]
    kept = {run.folder.path for run in runs}
    return replace(
        selection,
        runs=tuple(runs),
        unfinished=(),
        repeated=tuple(repeated for repeated in selection.repeated if repeated[0] in kept),
        missing=(*unknown, *missing),
        recipe=name,
        searched=() if search is None else tuple(search.ranges),
        further=further,
        looks_at=(_least_seeds(runs), sweep.block.most_seeds) if sweep.block.seeds == AUTO else None,
    )


def _has_open_seeds(sweep: Sweep) -> bool:
    """Tell whether a sweep varies the seed, and not over a list, which names exactly those that are meant."""
    return any(axis.name == "seed" for axis in sweep.axes) and not isinstance(sweep.block.seeds, list)


def _without_seed(settings: frozenset[tuple[str, Any]]) -> frozenset[tuple[str, Any]]:
    return frozenset(pair for pair in settings if pair[0] != "seed")


def _least_seeds(runs: Sequence[Run]) -> int:
    """Return how many seeds every combination has."""
    return min(Counter(frozenset(run.settings.items()) for run in runs).values(), default=0)


def _settings_of(config: Configuration) -> frozenset[tuple[str, Any]]:
    values = settings_of(config, contents=_content)
    values["noisy_labels"] = noisy_labels_in_words(config.noisy_labels, config.noisy_labels_name)
    return frozenset(values.items())


def _content(key: str, path: str) -> str:
    try:
        return content_of(path)
    except OSError:  # as a run whose weights are not recorded
        return path


def _join(first: Selection, second: Selection) -> Selection:
    runs = {run.folder.path.resolve(): run for run in (*first.runs, *second.runs)}
    return Selection(
        tuple(runs.values()),
        (*first.unfinished, *second.unfinished),
        tuple(dict.fromkeys((*first.damaged, *second.damaged))),
        tuple(dict.fromkeys((*first.repeated, *second.repeated))),
        (*first.missing, *second.missing),
        second.recipe,
        first.trials + second.trials,
        tuple(dict.fromkeys((*first.searched, *second.searched))),
        first.further + second.further,
        second.looks_at or first.looks_at,
    )
