"""The run that is nearest to a new one: a changed key starts another run, which should not come as a surprise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from configuration.schema import Configuration
from configuration.settings import show
from runs.folder import FolderName, RunFolder, run_prefix
from runs.identity import read_settings, settings_here
from runs.parameters import fill_in

MOST_KEYS, MOST_FOLDERS = 3, 1000
"""Keys that are named, and folders that are read."""


def describe_nearest(config: Configuration, folder: RunFolder) -> str | None:
    """Return a line on the run of the same data set that differs in the fewest keys.

    If none differs, the data or weights that its keys name have changed. Only keys that can change the result count;
    of equally near runs the last one counts. Unreadable folders and runs of which nothing was saved are skipped. None
    if there is no other run.
    """
    candidates = []
    ours = settings_here(config)
    for other in _runs_beside(config, folder):
        try:
            theirs = read_settings(other.config, other.read_environment())
            state = _state(other, theirs)
            started = other.config.stat().st_mtime
        except (OSError, ValueError, KeyError, yaml.YAMLError):
            continue
        mine, theirs = fill_in([ours, theirs])
        changes = [key for key in mine | theirs if mine.get(key) != theirs.get(key)]
        if state and "dataset" not in changes and (changes or _fingerprint(other) != _fingerprint(folder)):
            candidates.append((len(changes), -started, f"{other.path} ({state})", _in_words(changes, theirs, mine)))
    if not candidates:
        return None
    *_, nearest, differences = min(candidates)
    return f"new run; the nearest one, {nearest}, differs in: {differences}"


def _in_words(changes: Sequence[str], before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    changed = [f"{key} {show(before.get(key))} -> {show(now.get(key))}" for key in changes[:MOST_KEYS]]
    if len(changes) > MOST_KEYS:
        changed.append(f"and {len(changes) - MOST_KEYS} more: {', '.join(changes[MOST_KEYS:])}")
    return ", ".join(changed) or "what its files hold: the data, or weights"


def _fingerprint(folder: RunFolder) -> str | None:
    name = FolderName.parse(folder.path.name)
    return name and name.fingerprint


def _runs_beside(config: Configuration, folder: RunFolder) -> list[RunFolder]:
    """Return the other runs of an output folder, not all of very many: those of the same beginning first."""
    paths = [path for path in Path(config.output_path).iterdir() if path != folder.path and FolderName.parse(path.name)]
    paths.sort(key=lambda path: not path.name.startswith(f"{run_prefix(config)}-s"))
    return [RunFolder(path) for path in paths[:MOST_FOLDERS]]


def _state(folder: RunFolder, values: dict[str, Any]) -> str | None:
    """Return how far a run is; None if nothing of it was saved."""
    if folder.is_finished:
        return "finished"
    rows = folder.read_metrics()
    if rows:
        return f"interrupted after epoch {rows[-1]['epoch'] + 1:.0f} of {values['num_epochs']}"
    return "interrupted in its first epoch" if folder.is_interrupted else None
