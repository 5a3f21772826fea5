"""Names of the user's own code in a configuration: read, checked, and given the digest of their sources."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from configuration.schema import CHAINS, Key, Mistake
from utils.own_code import WRITTEN, find
from utils.own_names import is_own
from utils.types import ConfigError

NAMING = (
    *("dataset", "architecture", "loss_function", "optimizer", "lr_scheduler", "mixing", "metrics"),
    *CHAINS,
)
"""Keys that name code, or whose entries do: a colon in them means the user's own."""
WITHIN = (*NAMING, "loss_params", "lr_scheduler_params", "optimizer_groups", "sweep")
"""Keys in which such names stand, below others only as FILE.py:NAME."""


def with_digests(
    values: dict[str, Any],
    folder: Path,
    places: dict[Key, str],
    mistakes: list[Mistake],
    keys: Iterable[str] = WITHIN,
    copies_only: bool = False,
) -> None:
    """Replace, in a configuration's values, each name of the user's own code by the one with its digest.

    Args:
        folder: where relative files start from.
        places: extended by the places of names that head parameters.
        mistakes: extended by what cannot be found or read.
        copies_only: read nothing but the copies of a run, whose configuration may come from elsewhere.
    """

    def named(text: str, key: Key) -> str:
        naming = any(part.partition(".")[0] in NAMING for part in key)
        meant = WRITTEN.fullmatch(text) or (naming and ":" in text)
        if not (is_own(text) if copies_only else meant or is_own(text)):
            return text
        try:
            return find(text, folder)
        except ConfigError as error:
            mistakes.append(Mistake(key, str(error)))
            return text

    def walk(value: Any, key: Key) -> Any:
        if isinstance(value, str):
            return named(value, key)
        if isinstance(value, list):
            return [walk(item, (*key, str(position))) for position, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        walked: dict[Any, Any] = {}
        for name, inner in value.items():
            below = (*key, str(name))
            new, inner = named(name, below) if isinstance(name, str) else name, walk(inner, below)
            if new != name:
                moved = {place: where for place, where in places.items() if place[: len(below)] == below}
                places.update({(*key, new, *place[len(below) :]): where for place, where in moved.items()})
            both = isinstance(inner, dict) and isinstance(walked.get(new), dict)
            walked[new] = walked[new] | inner if both else inner  # the command line changes a parameter of the file's
        return walked

    for key in keys:
        if key in values:
            values[key] = walk(values[key], (key,))
