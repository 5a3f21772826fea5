"""The cost of each architecture, counted once for a thousand classes; imports nothing heavy."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_suffix(".csv")
CLASSES = 1000


class Size(NamedTuple):
    """The cost of one network; None and "" where it is unknown.

    Attributes:
        parameters: trainable ones.
        multiply_adds: for one image.
        image_size: that of the image counted at, "224" or "24x94" (height, width), px.
        features: width of what the last layer sees.
        problem: why `build_model` does not build it.
    """

    parameters: int | None = None
    multiply_adds: int | None = None
    image_size: str = ""
    features: int | None = None
    problem: str = ""


def read_sizes() -> dict[str, Size]:
    """Return architecture -> size of models/sizes.csv, which `docs/architecture_pages.py` writes."""
    if not FILE.is_file():
        return {}
    sizes = {}
    with FILE.open(encoding="utf-8", newline="") as file:
        for name, parameters, multiply_adds, image_size, features, problem in list(csv.reader(file))[1:]:
            sizes[name] = Size(_number(parameters), _number(multiply_adds), image_size, _number(features), problem)
    return sizes


def _number(cell: str) -> int | None:
    return int(cell) if cell else None


def as_csv(sizes: Mapping[str, Size]) -> str:
    """Return the text of models/sizes.csv, sorted by name."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("name", *Size._fields))
    writer.writerows((name, *sizes[name]) for name in sorted(sizes))
    return text.getvalue()


def short_number(count: int | None) -> str:
    """Return a count with three digits, as in "4.20 M"; "-" for None."""
    if count is None:
        return "-"
    for unit, letter in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= 0.9995 * unit:
            return f"{count / unit:#.3g}".rstrip(".") + f" {letter}"
    return str(count)
