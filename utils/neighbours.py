"""The run that is nearest to a new one: a changed key starts another run, which should not come as a surprise."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from utils.runs import FolderName, RunFolder, run_prefix
from utils.schema import Configuration
from utils.settings import influential, read_influential, show

MOST_KEYS, MOST_FOLDERS = 3, 1000
"""How many keys may differ, and how many folders are looked into."""


def describe_nearest(config: Configuration, folder: RunFolder) -> str | None:
    """Return a line on the run of the same data set, architecture and loss that differs in the fewest keys.

    None of them may do so: then what its keys read has changed, such as the images in a folder. Only keys that can
    change the result count; of equally near runs it is the one that started last. Folders that cannot be read are
    passed over. None if no run is near.
    """
    mine = influential(config.values())
    found = []
    for other in _runs_beside(config, folder):
        try:
            theirs = read_influential(other.config)
            state = _state(other, theirs)
            started = other.config.stat().st_mtime
        except (OSError, ValueError, KeyError, yaml.YAMLError):
            continue
        changes = [key for key in mine | theirs if mine.get(key) != theirs.get(key)]
        if state and len(changes) <= MOST_KEYS and (changes or _fingerprint(other) != _fingerprint(folder)):
            told = ", ".join(f"{key} {show(theirs.get(key))} -> {show(mine.get(key))}" for key in changes)
            told = told or "what its files hold: the data, or weights"
            found.append((len(changes), -started, f"{other.path} ({state}), differs in: {told}"))
    return f"new run; the nearest one, {min(found)[2]}" if found else None


def _fingerprint(folder: RunFolder) -> str | None:
    name = FolderName.parse(folder.path.name)
    return name and name.fingerprint


def _runs_beside(config: Configuration, folder: RunFolder) -> Iterator[RunFolder]:
    prefix = run_prefix(config)
    paths = (path for path in Path(config.output_path).iterdir() if path.name.startswith(f"{prefix}-s"))
    return (RunFolder(path) for path in itertools.islice(paths, MOST_FOLDERS) if path != folder.path)


def _state(folder: RunFolder, values: dict[str, Any]) -> str | None:
    """Return how far a run is; None if it has finished no epoch."""
    if folder.is_finished:
        return "finished"
    rows = folder.read_metrics()
    return f"interrupted after epoch {rows[-1]['epoch']:.0f} of {values['num_epochs']}" if rows else None
