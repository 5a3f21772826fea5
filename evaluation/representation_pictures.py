"""Points of many classes in a plane, each class found again by its colour and its number."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.patheffects import withStroke

from evaluation.picture_grids import shorten
from runs.figures import AS_IT_IS, font_families, new_figure, write_figure

FEW = 20  # classes told apart by colour alone
KEY_UP_TO = 240  # classes whose names stand beside the picture
ROWS = 40
NAME = 26  # characters
GOLDEN = (math.sqrt(5) - 1) / 2


def plot_points(points: np.ndarray, labels: np.ndarray, classes: Sequence[str], path: str | os.PathLike[str]) -> None:
    """Draw each image as a point in its class's colour, each class's number at a point in the middle of its own.

    Args:
        points: [N, 1 or 2]. labels: [N]. classes: K names.
        path: file to write.
    """
    points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    occurring = np.unique(labels)
    named = len(occurring) <= KEY_UP_TO
    columns = math.ceil(len(occurring) / ROWS) if named else 0
    figure = new_figure(8 + 2.1 * columns, 7.5)
    grid = figure.add_gridspec(1, 2, width_ratios=[8, max(2.1 * columns, 0.01)], wspace=0.02)
    axes, beside = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    colours = class_colours(len(classes))
    size = 14 if len(points) <= 2000 else 8
    order = np.random.default_rng(0).permutation(len(points))  # so that no class covers another
    axes.scatter(*points[order].T, c=colours[labels[order]], s=size, linewidths=0, alpha=0.65, rasterized=True)
    outline = [withStroke(linewidth=2.2, foreground="white")]
    for label in occurring.tolist():
        own = points[labels == label]
        x, y = own[np.linalg.norm(own - np.median(own, axis=0), axis=1).argmin()]  # where there are points
        name = str(classes[label])
        name = name if len(occurring) <= FEW and len(name) <= 12 else str(label)
        fontsize = 10 if len(occurring) <= FEW else 6.5
        axes.text(x, y, name, ha="center", va="center", fontsize=fontsize, path_effects=outline, **_words())
    axes.set_xticks([])
    axes.set_yticks([])
    beside.axis("off")
    beside.set(xlim=(0, max(columns, 1)), ylim=(ROWS, -1))
    for place, label in enumerate(occurring.tolist()[: len(occurring) * named]):
        column, row = divmod(place, ROWS)
        beside.plot(column + 0.03, row, "o", color=colours[label], markersize=5, clip_on=False)
        text = shorten(f"{label}  {classes[label]}", NAME)
        beside.text(column + 0.08, row, text, va="center", fontsize=7, **_words())
    write_figure(figure, path)


def class_colours(number: int) -> np.ndarray:
    """Return a colour for each class, classes that follow each other far apart. Shapes: -> [K, 4]."""
    if number <= 10:
        return np.array([colormaps["tab10"](place) for place in range(number)])
    if number <= FEW:
        return np.array([colormaps["tab20"](place) for place in range(number)])
    return colormaps["gist_rainbow"](np.arange(number) * GOLDEN % 1)


def _words() -> dict[str, Any]:
    return {"family": font_families(), **AS_IT_IS}
