"""The configuration that a run folder keeps: read fast, as thousands of runs have most of its lines in common."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from configuration.schema import KEYS
from configuration.yaml_text import YamlError, read_yaml
from utils.files import DamagedFile, read_text
from utils.own_code import read_copies
from utils.own_names import as_written

BETWEEN = re.compile(r"\n(?=\w)")
"""What stands before a top-level key; lines within a value begin with a space or a dash."""

FEW_DIGITS, TYPED_DIGITS, MANY_DIGITS = 4, 6, 18
"""Significant digits: that labels begin with, that are never cut, that tell all numbers apart."""


def read_values(path: Path) -> dict[str, Any]:
    """Return what a run's config.yml says, key -> value; not to be changed. Its own code is read, too.

    Raises: OSError or ValueError if the file cannot be read or holds something else.
    """
    text = read_text(path)
    read_copies(text, path.parent)  # whose signatures tell which parameters are defaults
    parts = [part for part in BETWEEN.split(text) if part.partition(":")[0] in KEYS]
    entries = [_read_entry(part) for part in parts]  # parts that other runs have alike are read once
    if entries and all(entries):
        return {key: value for entry in entries for key, value in entry.items()}
    try:
        values = read_yaml(text, written=True).value  # what is not laid out as runs lay it out
    except YamlError as error:
        raise DamagedFile(f"{path.name} is not YAML that is taken: line {error.line}: {error.problem}") from None
    if not isinstance(values, dict):
        raise ValueError("no configuration")
    return {key: value for key, value in values.items() if key in KEYS}


@functools.lru_cache(maxsize=100_000)
def _read_entry(text: str) -> dict[str, Any]:
    """Return the one key that a part of a file holds, with its value; empty if it is not one key by itself."""
    try:
        values = read_yaml(text, written=True).value
    except YamlError:
        return {}
    return values if isinstance(values, dict) and len(values) == 1 else {}


def flatten(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return a.b -> value for mappings within mappings, what says the same alike.

    Lists become tuples, so that values can be compared in sets, and a square image_size its one side.
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{above}{key}.")
        elif f"{above}{key}" == "image_size" and isinstance(value, (list, tuple)) and len(set(_frozen(value))) == 1:
            flat[key] = _frozen(value[0])
        else:
            flat[f"{above}{key}"] = _frozen(value)
    return flat


def _frozen(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(each) for each in value)
    return tuple(sorted(flatten(value).items())) if isinstance(value, dict) else value


def show(value: Any) -> str:
    """Return a value as it stands in YAML, in one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).removesuffix("...\n").strip()


shown = functools.lru_cache(maxsize=100_000, typed=True)(show)
"""The same for values as `flatten` leaves them; thousands of groups have the same few."""


def short_labels(values: Iterable[Any]) -> dict[str, str]:
    """Return, for each value as `shown` gives it, a label: numbers of many digits with as few as tell all apart.

    A search draws learning rates of 16 digits; those that a person has typed are left as they are.
    """
    texts = {shown(value): value for value in values}
    for digits in range(FEW_DIGITS, MANY_DIGITS):
        labels = {text: _rounded(text, value, digits) for text, value in texts.items()}
        if len(set(labels.values())) == len(labels):
            break
    else:
        labels = {text: text for text in texts}
    return dict(zip(labels, own_labels(labels.values()), strict=True))


def own_labels(texts: Iterable[str]) -> list[str]:
    """Return texts with FILE.py:NAME for code of the user's own, with its digest where several would read the same."""
    texts = list(texts)
    written = Counter(map(as_written, dict.fromkeys(texts)))
    return [as_written(text) if written[as_written(text)] == 1 else text for text in texts]


def _rounded(text: str, value: Any, digits: int) -> str:
    typed = len(text.partition("e")[0].replace(".", "").strip("-0")) <= TYPED_DIGITS
    if typed or not isinstance(value, float):
        return text
    return min(shown(float(f"{value:.{digits}g}")), text, key=len)


def noisy_labels_in_words(file: str | None, name: str | None) -> str | None:
    """Return the file of noisy labels and which of its sets, without the folder it lies in."""
    return file and f"{Path(file).name}{f', {name}' if name else ''}"
