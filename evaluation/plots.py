"""Pictures of evaluations, in the manner of runs/figures.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from evaluation.findings import wilson
from runs.figures import MARK, MARKERS_UP_TO, TRAIN, VALID, new_figure, write_figure

if TYPE_CHECKING:
    from evaluation.calibration import Bins

FEW = 10
"""Images of a bin below which its share is no evidence: the interval is wider than half the axis."""
COLOURS = (TRAIN, VALID, "#009E73", "#CC79A7")  # of Okabe and Ito, as those of runs/figures.py


def plot_reliability(panels: Mapping[str, Bins], path: Path) -> None:
    """Draw accuracy against confidence, and below how many images have which, a column for each title.

    The accuracy of each bin has its 95 % interval, that of few images is pale: one image is always right or wrong.
    """
    figure = new_figure(4.2 * len(panels), 5.2)
    all_axes = figure.subplots(2, len(panels), sharex=True, squeeze=False, height_ratios=[3, 1])
    for (upper, lower), (title, bins) in zip(all_axes.T, panels.items(), strict=True):
        number = len(bins.counts)
        edges = np.linspace(0, 1, number + 1)[:-1]
        held, style = bins.counts > 0, {"width": 1 / number, "align": "edge", "edgecolor": "white"}
        few = held & (bins.counts < FEW)
        for some, alpha, label in ((held & ~few, 1.0, "right"), (few, 0.3, f"right, of fewer than {FEW} images")):
            if some.any():  # else it has no colour in the legend
                upper.bar(edges[some], bins.right[some], color=TRAIN, alpha=alpha, label=label, **style)
        intervals = [wilson(*each) for each in zip(bins.right[held], bins.counts[held], strict=True)]
        lines = {"color": MARK, "linewidth": 1, "label": "95 % interval of it"}
        upper.vlines(edges[held] + 0.5 / number, *np.array(intervals).reshape(-1, 2).T, **lines)
        upper.plot(bins.confidence[held], bins.confidence[held], "o", color=VALID, markersize=4, label="confidence")
        upper.plot([0, 1], [0, 1], "--", color=MARK, linewidth=1)
        upper.set_title(f"{title}: ECE {100 * bins.error:.2f} %", fontsize=10)
        lower.bar(edges, bins.counts, color=TRAIN, log=True, **style)
        lower.axhline(FEW, color=MARK, linewidth=0.8, linestyle=":")
        lower.set(xlabel="confidence", ylim=(0.7, None))
        upper.set_ylim(0, 1)
        upper.yaxis.set_major_formatter(PercentFormatter(1.0))
        for axes in (upper, lower):
            axes.set_xlim(0, 1)
            axes.xaxis.set_major_formatter(PercentFormatter(1.0))
            _plain(axes)
    all_axes[0, 0].set_ylabel("right")
    all_axes[1, 0].set_ylabel("images")
    named = {}
    for axes in all_axes[0]:
        named |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    figure.legend([*named.values()], [*named], frameon=False, fontsize=9, loc="outside lower center", ncols=2)
    write_figure(figure, path)


def plot_over_epochs(curves: Mapping[str, Sequence[float]], epochs: Sequence[int], selected: int, path: Path) -> None:
    """Draw shares of images over kept epochs, a curve for each name, and mark the selected epoch.

    Args: epochs, selected: counted from 0; the picture counts from 1.
    """
    figure = new_figure(7, 4)
    axes = figure.add_subplot()
    marker = "o" if len(epochs) <= MARKERS_UP_TO else ""
    counted = [epoch + 1 for epoch in epochs]
    for colour, (name, values) in zip(COLOURS, curves.items(), strict=False):
        axes.plot(counted, values, color=colour, label=name, marker=marker, markersize=3, linewidth=1.4)
    axes.axvline(selected + 1, color=MARK, linewidth=0.8, linestyle=":")
    axes.set_title(f"selected epoch: {selected + 1}", fontsize=9, color=MARK)
    axes.set(xlabel="epoch", ylabel="images", ylim=(0, 1))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _plain(axes)
    figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=len(curves))
    write_figure(figure, path)


def plot_histograms(panels: Mapping[str, tuple[np.ndarray, np.ndarray]], path: Path) -> None:
    """Draw how many images have which value, in decades, a column for each title -> values and edges of the bars."""
    figure = new_figure(4.2 * len(panels), 3.2)
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, (values, edges)) in zip(all_axes, panels.items(), strict=True):
        axes.hist(values, bins=list(edges), color=TRAIN, edgecolor="white", log=True)
        mean = float(values.mean())
        axes.axvline(mean, color=VALID, linewidth=1.2, linestyle="--")
        axes.set_title(f"mean {mean:.3f}", fontsize=10, color=VALID)
        axes.set(xlabel=title, xlim=(edges[0], edges[-1]), ylim=(0.7, None))
        if np.issubdtype(values.dtype, np.integer):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _plain(axes)
    all_axes[0].set_ylabel("images")
    write_figure(figure, path)


def _plain(axes: Axes) -> None:
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
