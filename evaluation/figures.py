"""Figures that several evaluations share: grids of images, curves over the epochs, and a common style of axes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import MaxNLocator, PercentFormatter
from torch import Tensor

from runs.figures import (
    AS_IT_IS,
    CELL_INCHES,
    HEADING,
    MARK,
    MARKERS_UP_TO,
    TRAIN,
    VALID,
    font_families,
    new_figure,
    place_picture,
    write_figure,
)
from utils.types import shorten

COLOURS = (TRAIN, VALID, "#009E73", "#CC79A7")  # of Okabe and Ito, as those of runs/figures.py
WIDTH = 24  # characters above an image


class Cell(NamedTuple):
    """Args: image: uint8 [H, W, 1 or 3]. captions: lines above it, shortened if they are long."""

    image: np.ndarray
    captions: Sequence[str] = ()


def plot_grid(rows: Sequence[Sequence[Cell]], path: str | os.PathLike[str]) -> None:
    """Draw images in rows, which may be of different lengths. Raises: ValueError if there are none."""
    cells = [cell for row in rows for cell in row]
    if not cells:
        raise ValueError("no images to draw")
    heading = HEADING * max(1, max(len(cell.captions) for cell in cells) / 2)
    tall = min(1.0, max(height / width for height, width, *_ in (cell.image.shape for cell in cells)))
    columns = max(map(len, rows))
    figure = new_figure(CELL_INCHES * columns, CELL_INCHES * (tall + heading) * len(rows), layout=None)
    axes = figure.add_axes((0, 0, 1, 1))  # one for all images: drawing one for each takes seconds
    style = {"ha": "center", "va": "bottom", "fontsize": 7.5, "linespacing": 1.0, "family": font_families(), **AS_IT_IS}
    for number, row in enumerate(rows):
        top = number * (tall + heading) + heading
        for column, cell in enumerate(row):
            place_picture(axes, cell.image, column, top, tall)
            lines = [shorten(caption, WIDTH) or " " for caption in cell.captions]
            axes.text(column + 0.5, top, "\n".join(lines), **style)
    axes.axis("off")
    axes.set(xlim=(0, columns), ylim=((tall + heading) * len(rows), 0), aspect="auto")
    write_figure(figure, path, tight=False)


def plot_wrapped(cells: Sequence[Cell], columns: int, path: str | os.PathLike[str]) -> None:
    """Draw images in rows of so many."""
    plot_grid([cells[start : start + columns] for start in range(0, len(cells), columns)], path)


def plot_over_epochs(
    curves: Mapping[str, Sequence[float]], epochs: Sequence[int], selected: int, path: str | os.PathLike[str]
) -> None:
    """Draw shares of images over kept epochs, a curve for each name, and mark the selected epoch.

    Args: epochs, selected: counted from 0; the figure counts from 1.
    """
    figure = new_figure(7, 4)
    axes = figure.add_subplot()
    marker = "o" if len(epochs) <= MARKERS_UP_TO else ""
    for colour, (name, values) in zip(COLOURS, curves.items(), strict=False):
        axes.plot(np.add(epochs, 1), values, color=colour, label=name, marker=marker, markersize=3, linewidth=1.4)
    axes.axvline(selected + 1, color=MARK, linewidth=0.8, linestyle=":")
    axes.set_title(f"selected epoch: {selected + 1}", fontsize=9, color=MARK)
    axes.set(xlabel="epoch", ylabel="images", ylim=(0, 1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    style_axes(axes, axes.yaxis)
    figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=len(curves))
    write_figure(figure, path)


def style_axes(axes: Axes, *percentages: Axis) -> None:
    """Give axes a light grid and no frame, and write some of their values as percent."""
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    for axis in percentages:
        axis.set_major_formatter(PercentFormatter(1.0))


def to_uint8(image: Tensor) -> np.ndarray:
    """Shapes: [C, H, W] on 0 to 1 -> uint8 [H, W, C]."""
    return (image.detach().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
