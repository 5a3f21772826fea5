"""What attacks look like: accuracy against their size, and attacked images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.ticker import PercentFormatter
from torch import Tensor

from evaluation.picture_grids import Cell, plot_grid, to_picture
from runs.figures import MARK, TRAIN, VALID, new_figure, write_figure
from utils.types import REJECTED


class Example(NamedTuple):
    """An image before and after an attack. Shapes: image, attacked [C, H, W] on 0 to 1."""

    image: Tensor
    attacked: Tensor
    target: int
    predicted: int


def plot_curve(curves: dict[str, list[float]], eps: float, path: str | os.PathLike[str]) -> None:
    """Draw accuracy against eps, on an axis that is logarithmic but for 0, and mark the attack asked for.

    Args:
        curves: "eps", of 255, ascending from 0, and the accuracy at each by "fgsm" and "pgd".
        eps: the one that is marked.
    """
    figure = new_figure(6, 3.8)
    axes = figure.add_subplot()
    sizes = curves["eps"]
    for name, colour, marker in (("fgsm", TRAIN, "s"), ("pgd", VALID, "o")):
        axes.plot(sizes, curves[name], color=colour, marker=marker, markersize=4, linewidth=1.4, label=name.upper())
    axes.axvline(eps, color=MARK, linewidth=0.8, linestyle=":")
    axes.set_xscale("symlog", base=2, linthresh=sizes[1])
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlim(0, sizes[-1] * 1.15)
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("largest change of a pixel, of 255 (eps)")
    axes.set_ylabel("images that stay right")
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    write_figure(figure, path)


def plot_examples(examples: Sequence[Example], classes: Sequence[str], path: str | os.PathLike[str]) -> None:
    """Draw a row for each example: the image, the attacked one, and their difference, stretched about gray."""
    rows = []
    for each in examples:
        difference = each.attacked - each.image
        stretch = 0.5 / max(float(difference.abs().max()), 1e-12)
        told = "rejected" if each.predicted == REJECTED else classes[each.predicted]
        rows.append(
            [
                Cell(to_picture(each.image), ("true and predicted", classes[each.target])),
                Cell(to_picture(each.attacked), ("attacked: predicted", told)),
                Cell(to_picture(0.5 + stretch * difference), ("difference", f"x {stretch:.0f}, about gray")),
            ]
        )
    plot_grid(rows, path)
