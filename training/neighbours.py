"""The run that is nearest to a new one: a changed key starts another run, which should not come as a surprise."""

from __future__ import annotations

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
    ours, own, candidates = settings_here(config), FolderName.parse(folder.path.name), []
    names = {path: FolderName.parse(path.name) for path in Path(config.output_path).iterdir() if path != folder.path}
    beginning = f"{run_prefix(config)}-s"  # of very many folders, those with it first
    beside = sorted(filter(names.get, names), key=lambda path: not path.name.startswith(beginning))
    for other in map(RunFolder, beside[:MOST_FOLDERS]):
        try:
            theirs = read_settings(other.config, other.read_environment())
            state = _state(other, theirs)
            started = other.config.stat().st_mtime
        except (OSError, ValueError, KeyError, yaml.YAMLError):
            continue
        mine, theirs = fill_in([ours, theirs])
        changes = [key for key in mine | theirs if mine.get(key) != theirs.get(key)]
        renewed = own is None or getattr(names[other.path], "fingerprint", None) != own.fingerprint
        if state and "dataset" not in changes and (changes or renewed):
            words = [f"{key} {show(theirs.get(key))} -> {show(mine.get(key))}" for key in changes[:MOST_KEYS]]
            if len(changes) > MOST_KEYS:
                words.append(f"and {len(changes) - MOST_KEYS} more: {', '.join(changes[MOST_KEYS:])}")
            differences = ", ".join(words) or "what its files hold: the data, or weights"
            candidates.append((len(changes), -started, f"{other.path} ({state})", differences))
    if not candidates:
        return None
    *_, nearest, differences = min(candidates)
    return f"new run; the nearest one, {nearest}, differs in: {differences}"


def _state(folder: RunFolder, values: dict[str, Any]) -> str | None:
    """Return how far a run is; None if nothing of it was saved."""
    if folder.is_finished:
        return "finished"
    rows = folder.read_metrics()
    if rows:
        return f"interrupted after epoch {rows[-1]['epoch'] + 1:.0f} of {values['num_epochs']}"
    return "interrupted in its first epoch" if folder.is_interrupted else None
