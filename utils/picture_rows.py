"""Rows of small pictures with words beside and below them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.pictures import AS_IT_IS, CELL_INCHES, font_families, new_figure, place_picture, write_figure

WORDS = 1.3
"""Width of the words beside a row, of a picture's."""
BELOW = 0.16
LEAST = 0.45
"""Height of a row at least, of a picture's width: that of four lines of words."""


class Shown(NamedTuple):
    """A picture, uint8 [H, W], [H, W, 1] or [H, W, 3], and the words below it."""

    pixels: np.ndarray
    words: str = ""


def plot_rows(rows: Sequence[tuple[str, Sequence[Shown]]], path: Path) -> None:
    """Draw rows of pictures, each behind its words.

    Raises: ValueError if there is none.
    """
    if not rows:
        raise ValueError("no rows to draw")
    columns = max(len(pictures) for _, pictures in rows)
    shapes = [np.shape(shown.pixels)[:2] for _, pictures in rows for shown in pictures]
    tall = min(1.0, max(height / width for height, width in shapes))  # of a cell, whose width is 1
    height = max(tall, LEAST) + BELOW
    figure = new_figure(CELL_INCHES * (WORDS + columns), CELL_INCHES * height * len(rows), layout=None)
    axes = figure.add_axes((0, 0, 1, 1))  # one for all pictures: drawing one for each takes seconds
    style: dict[str, Any] = {"fontsize": 8, "family": font_families(), **AS_IT_IS}
    for number, (words, pictures) in enumerate(rows):
        top = number * height
        lines = [textwrap.shorten(line, 26, placeholder="...") for line in words.split("\n")]
        axes.text(0.05, top + (height - BELOW) / 2, "\n".join(lines), ha="left", va="center", **style)
        for column, shown in enumerate(pictures):
            left = WORDS + column
            place_picture(axes, np.asarray(shown.pixels), left, top, height - BELOW)
            below = textwrap.shorten(shown.words, 26, placeholder="...")
            axes.text(left + 0.5, top + height - BELOW, below, ha="center", va="top", **style)
    axes.axis("off")
    axes.set(xlim=(0, WORDS + columns), ylim=(height * len(rows), 0), aspect="auto")
    write_figure(figure, path, tight=False)
