"""Images, each with a heat map beside it: what every run believes of every class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from evaluation.picture_grids import shorten
from runs.figures import AS_IT_IS, VALID, font_families, new_figure, write_figure

ALL_UP_TO = 20  # classes; of more, each image shows the likeliest
MOST_CLASSES = 12
NAME = 16  # characters


class Believed(NamedTuple):
    """An image and what R runs say of it. Shapes: picture uint8 [H, W, C], probabilities [R, K], predictions [R]."""

    picture: np.ndarray
    row: int
    label: int
    probabilities: np.ndarray
    predictions: np.ndarray


def plot_beliefs(
    images: Sequence[Believed], runs: Sequence[str], classes: Sequence[str], path: str | os.PathLike[str]
) -> None:
    """Draw a line for each image: the image, then runs x classes; the label has a frame, a prediction a dot."""
    shown = [classes_to_show(each, len(classes)) for each in images]
    width = max(map(len, shown))
    named_once = len(classes) <= ALL_UP_TO
    height = max(1.15, 0.3 * len(runs) + (0.35 if named_once else 0.95))
    figure = new_figure(3.6 + 0.55 * width, height * len(images) + 0.9)
    grid = figure.add_gridspec(len(images), 2, width_ratios=[1.0, 0.42 * width])
    words = {"family": font_families(), **AS_IT_IS}
    drawn = None
    for line, (each, columns) in enumerate(zip(images, shown, strict=True)):
        thumbnail, axes = figure.add_subplot(grid[line, 0]), figure.add_subplot(grid[line, 1])
        thumbnail.imshow(each.picture.squeeze(), cmap="gray", vmin=0, vmax=255)
        thumbnail.set_title(f"{each.row}: {shorten(classes[each.label], NAME)}", fontsize=7.5, pad=2, **words)
        thumbnail.axis("off")
        values = each.probabilities[:, columns]
        drawn = axes.imshow(values, cmap="magma_r", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_yticks(range(len(runs)), [shorten(run, 40) for run in runs], fontsize=7)
        names = [shorten(classes[column], NAME) for column in columns]
        last = line == len(images) - 1
        if not named_once or last:
            flat = all(len(name) <= 3 for name in names)
            axes.set_xticks(range(len(columns)), names, fontsize=7, rotation=0 if flat else 40, **words)
            if not flat:
                for tick in axes.get_xticklabels():
                    tick.set(ha="right", rotation_mode="anchor")
        else:
            axes.set_xticks([])
        axes.tick_params(length=0)
        frame = Rectangle((columns.index(each.label) - 0.5, -0.5), 1, len(runs), fill=False, color=VALID, linewidth=1.8)
        axes.add_patch(frame)
        frame.set_clip_on(False)
        _write_values(axes, values, each.predictions, columns)
    if drawn is not None:
        figure.colorbar(drawn, ax=figure.axes, shrink=min(1.0, 3 / (height * len(images))), pad=0.01, fraction=0.03)
    write_figure(figure, path)


def classes_to_show(image: Believed, num_classes: int) -> list[int]:
    """Return all classes, or of many those that any run finds likeliest, the label and predictions among them."""
    if num_classes <= ALL_UP_TO:
        return list(range(num_classes))
    likeliest = np.argsort(-image.probabilities.max(axis=0), kind="stable").tolist()
    first = [image.label, *(int(each) for each in image.predictions if each >= 0)]
    return sorted(list(dict.fromkeys([*first, *likeliest]))[: max(MOST_CLASSES, len(set(first)))])


def _write_values(axes: Axes, values: np.ndarray, predictions: np.ndarray, columns: list[int]) -> None:
    for (run, place), value in np.ndenumerate(values):
        predicted = predictions[run] == columns[place]
        if value < 0.01 and not predicted:
            continue
        colour = "white" if value > 0.5 else "black"
        text = f"{100 * value:.0f}" + (" •" if predicted else "")
        axes.text(place, run, text, ha="center", va="center", fontsize=6.5, color=colour)
