"""Runs of a sweep that were trained by other code than is here now: named all together, before any run is trained."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from configuration.schema import Configuration
from runs.code import Changes, OnChange, accept, changed_parameters, code_changes, in_words
from runs.folder import DamagedFile, RunFolder, run_folder
from runs.identity import read_settings, settings_of
from sweeps.cells import Cell, Sweep, cell, combinations
from sweeps.checking import NAMED
from sweeps.finished import FinishedRuns
from sweeps.running import Shard
from utils.types import ConfigError

LOG = logging.getLogger("lossbench")


class Begun(NamedTuple):
    """A run that was begun, by its name in the sweep; `changes` is None where its code is not recorded."""

    name: str
    config: Configuration
    folder: RunFolder
    changes: Changes | None
    parameters: list[str]


def settle_changed_code(sweep: Sweep, shard: Shard, on_change: OnChange, check: bool = False) -> None:
    """Refuse, keep or begin anew the runs that were trained by other code.

    Args:
        on_change: as train.py takes it.
        check: say what would be refused instead.

    Raises: ConfigError naming the files that changed, with the runs that they concern.
    """
    begun = list(_of_search(sweep) if sweep.block.search is not None else _of_grid(sweep, shard))
    if unknown := sum(each.changes is None for each in begun):
        print(f"{unknown:,} runs that are there do not record their code: nobody can tell whether it has changed since")
    changed = [each for each in begun if each.changes]
    if not changed:
        return
    if check or on_change is None or (on_change == "retrain" and sweep.block.search is not None):
        text = "\n".join([*_lines(sweep, changed, len(begun)), *_remedies(sweep)])
        if not check:
            raise ConfigError(text)
        print(text)
        return
    for each in changed:
        if on_change == "keep" and each.changes:
            accept(each.folder, each.changes)
        elif on_change == "retrain":  # the folder of a run that is begun anew is the one that counts
            data = str(each.folder.read_environment().get("data_fingerprint"))
            run_folder(each.config, data, fresh=True).path.mkdir(parents=True)


def _lines(sweep: Sweep, changed: Iterable[Begun], total: int) -> Iterator[str]:
    by_change: dict[str, list[str]] = {}
    for each in changed:
        by_change.setdefault(in_words(each.changes or {}, each.parameters), []).append(each.name)
    number = sum(map(len, by_change.values()))
    place = sweep.base.place(("sweep",))
    yield f"{place}: sweep: of {total:,} runs that are there, {number:,} were trained by other code than is here now"
    for words, names in by_change.items():
        more = f"; and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
        yield f"  {words}: {'; '.join(names[:NAMED])}{more}"


def _remedies(sweep: Sweep) -> list[str]:
    keep = "  --changed-code keep keeps what is finished, and resumes what is not; environment.json records that"
    if sweep.block.search is not None:  # whose trials are compared with one another
        return [keep, "  another output_path searches anew"]
    return ["  --changed-code retrain trains these runs anew, each in a folder beside it; --fresh all of them", keep]


def _of_grid(sweep: Sweep, shard: Shard) -> Iterator[Begun]:
    finished = FinishedRuns()
    for numbers in shard.of(combinations(sweep)):
        each = cell(sweep, numbers)
        folder = finished.folder(each)
        if folder is not None and (found := _begun(each, folder)) is not None:
            yield found


def _of_search(sweep: Sweep) -> Iterator[Begun]:
    """Yield the runs whose settings are those of a combination but for what is searched, trials and results alike."""
    assert sweep.block.search is not None
    drawn = tuple(sweep.block.search.ranges)
    cells: dict[frozenset[tuple[str, object]], Cell] = {}
    for numbers in combinations(sweep):
        each = cell(sweep, numbers)
        cells[_without(settings_of(each.config), drawn)] = each
    for path in sorted(Path(sweep.base.output_path).glob("*/")):
        folder = RunFolder(path)
        try:
            found = cells.get(_without(read_settings(folder.config, folder.read_environment()), drawn))
        except (DamagedFile, OSError, ValueError, yaml.YAMLError):
            continue
        if found is not None and (begun := _begun(found, folder)) is not None:
            yield begun


def _without(settings: dict[str, object], keys: tuple[str, ...]) -> frozenset[tuple[str, object]]:
    """Return settings but for some, and for the precision, which the machine may decide."""
    return frozenset((key, value) for key, value in settings.items() if key not in (*keys, "precision"))


def _begun(each: Cell, folder: RunFolder) -> Begun | None:
    if not (folder.is_finished or folder.is_interrupted):
        return None
    try:
        facts = folder.read_environment()
    except DamagedFile:  # which a resume reports
        return None
    changes = code_changes(facts, each.config)
    return Begun(each.name, each.config, folder, changes, changed_parameters(facts, each.config) if changes else [])
