"""Pictures in rows and columns, each with words above it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from runs.figures import AS_IT_IS, CELL_INCHES, HEADING, font_families, new_figure, place_picture, write_figure

WIDTH = 24  # characters above a picture


class Cell(NamedTuple):
    """Args: picture: uint8 [H, W, 1 or 3]. words: stand above it, a line each, cut where they are long."""

    picture: np.ndarray
    words: Sequence[str] = ()


def plot_grid(rows: Sequence[Sequence[Cell]], path: str | os.PathLike[str]) -> None:
    """Draw cells; rows may be of different lengths. Raises: ValueError if there are none."""
    if not any(rows):
        raise ValueError("no pictures to draw")
    cells = [cell for row in rows for cell in row]
    heading = HEADING * max(1, max(map(_count_lines, cells)) / 2)
    tall = min(1.0, max(height / width for height, width, *_ in (cell.picture.shape for cell in cells)))
    columns = max(map(len, rows))
    figure = new_figure(CELL_INCHES * columns, CELL_INCHES * (tall + heading) * len(rows), layout=None)
    axes = figure.add_axes((0, 0, 1, 1))  # one for all pictures: drawing one for each takes seconds
    style = {"ha": "center", "va": "bottom", "fontsize": 7.5, "linespacing": 1.0, "family": font_families(), **AS_IT_IS}
    for number, row in enumerate(rows):
        top = number * (tall + heading) + heading
        for column, cell in enumerate(row):
            place_picture(axes, cell.picture, column, top, tall)
            axes.text(column + 0.5, top, "\n".join(_lines(cell)), **style)
    axes.axis("off")
    axes.set(xlim=(0, columns), ylim=((tall + heading) * len(rows), 0), aspect="auto")
    write_figure(figure, path, tight=False)


def to_picture(image: Tensor) -> np.ndarray:
    """Shapes: [C, H, W] on 0 to 1 -> uint8 [H, W, C]."""
    return (image.detach().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def shorten(text: str, limit: int) -> str:
    """Return a text, its end cut off where it is longer than so many characters."""
    return text if len(text) <= limit else f"{text[: limit - 3].rstrip()}..."


def _lines(cell: Cell) -> list[str]:
    return [shorten(words, WIDTH) or " " for words in cell.words]


def _count_lines(cell: Cell) -> int:
    return max(1, len(cell.words))
