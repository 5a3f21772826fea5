"""Figures, drawn without a display and written atomically: learning curves, grids of images, and a style for all."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter
from PIL import Image

from utils.files import atomic_file
from utils.types import shorten

# Colours of Okabe and Ito, which readers of any colour vision can distinguish.
TRAIN, VALID, MARK = "#0072B2", "#D55E00", "#666666"
DPI = 150
MARKERS_UP_TO = 40  # epochs
AS_IT_IS: dict[str, Any] = {"parse_math": False}  # for names of classes: a $ in one is no formula
SHARP_UP_TO = 64  # pixels of a side: smaller pictures show their pixels
CHINESE_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei"),
    *("PingFang SC", "Hiragino Sans GB", "Heiti SC", "Microsoft YaHei", "SimHei"),
)
"""Of Linux, macOS and Windows; Matplotlib's own font has no Chinese, as plates have it."""
CELL_INCHES, HEADING = 1.7, 0.19  # of an image; share of it for two lines above
COLOURS = (TRAIN, VALID, "#009E73", "#CC79A7")
WIDTH = 24  # characters above an image


def plot_curves(rows: Sequence[dict[str, float]], path: str | os.PathLike[str], title: str, best_epoch: float) -> None:
    """Draw loss and accuracy per epoch, counted from 1, side by side and mark the best epoch.

    A loss that falls by orders of magnitude gets a logarithmic axis, a learning rate that changes a strip below.

    Args:
        rows: epochs, with `epoch` (from 0), `train/loss`, `valid/loss`, `train/accuracy`, `valid/accuracy` (0 to 1) and
            perhaps `learning_rate`; what is missing is not drawn. Of texts, `train/` and `valid/character_error_rate`
            are drawn beside the accuracy, thin: they fall long before a whole text is read.
        path: file to write; the ending sets the format.
        title: stands above the figure.
        best_epoch: the selected epoch as it stands in `rows`.

    Raises: ValueError if there are no rows.
    """
    if not rows:
        raise ValueError("no epochs to draw")
    epochs, rate = _column(rows, "epoch") + 1, _column(rows, "learning_rate")
    with_rate = bool(np.nanmin(rate) != np.nanmax(rate)) if np.isfinite(rate).any() else False
    figure = new_figure(10, 5 if with_rate else 4.2)
    figure.suptitle(title, fontsize=11, wrap=True)
    grid = figure.add_gridspec(2 if with_rate else 1, 2, height_ratios=[4, 1] if with_rate else [1])
    loss_axes, accuracy_axes = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    thin = {"alpha": 0.5, "markersize": 2, "linewidth": 0.9}
    marker = "o" if len(rows) <= MARKERS_UP_TO else ""
    for axes, quantity, words, look in (
        (loss_axes, "loss", "", {}),
        (accuracy_axes, "accuracy", "", {}),
        (accuracy_axes, "character_error_rate", ", character errors", thin),
    ):
        for part, colour, style in (("train", TRAIN, "--"), ("valid", VALID, "-")):
            values = _column(rows, f"{part}/{quantity}")
            if np.isfinite(values).any():
                look = {"marker": marker, "markersize": 3, "linewidth": 1.4, **look}
                axes.plot(epochs, values, style, color=colour, label=f"{part}{words}", **look)
    losses = np.concatenate([_column(rows, "train/loss"), _column(rows, "valid/loss")])
    losses = losses[np.isfinite(losses)]
    if losses.size and losses.min() > 0 and losses.max() > 20 * np.median(losses):
        loss_axes.set_yscale("log")
    for axes, quantity in ((loss_axes, "loss"), (accuracy_axes, "accuracy")):
        axes.set_ylabel(quantity)
        axes.axvline(best_epoch + 1, color=MARK, linewidth=0.8, linestyle=":")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=9)
    best = _column([row for row in rows if row["epoch"] == best_epoch], "valid/accuracy")
    accuracy = f", valid {100 * best[0]:.2f} %" if np.isfinite(best).any() else ""
    accuracy_axes.set_title(f"best epoch: {best_epoch + 1:.0f}{accuracy}", fontsize=9, color=MARK)
    accuracy_axes.plot(best_epoch + 1, best[:1], "o", color=VALID, markersize=7, markerfacecolor="none")
    style_axes(loss_axes)
    style_axes(accuracy_axes, accuracy_axes.yaxis)
    if with_rate:
        rate_axes = figure.add_subplot(grid[1, :])
        rate_axes.plot(epochs, rate, color=MARK, linewidth=1.2, marker=marker, markersize=2)
        rate_axes.set_ylabel("learning\nrate")
        if np.nanmin(rate) > 0 and np.nanmax(rate) > 20 * np.nanmin(rate):
            rate_axes.set_yscale("log")
            rate_axes.yaxis.set_minor_formatter(NullFormatter())  # the strip is too low for more than the decades
        style_axes(rate_axes)
    for axes in figure.axes:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if len(rows) == 1:
            axes.set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
    for axes in figure.axes[2:] or figure.axes:
        axes.set_xlabel("epoch")
    write_figure(figure, path)


def _column(rows: Sequence[dict[str, float]], name: str) -> np.ndarray:
    values = [row.get(name, math.nan) for row in rows]
    return np.array([math.nan if value is None or value == "" else float(value) for value in values])


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


class Cell(NamedTuple):
    """Args: image: uint8 [H, W] or [H, W, 1 or 3]. captions: lines above it, shortened if they are long."""

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
            _place_image(axes, cell.image, column, top, tall)
            lines = [shorten(caption, WIDTH) or " " for caption in cell.captions]
            axes.text(column + 0.5, top, "\n".join(lines), **style)
    axes.axis("off")
    axes.set(xlim=(0, columns), ylim=((tall + heading) * len(rows), 0), aspect="auto")
    write_figure(figure, path, tight=False)


def plot_wrapped(cells: Sequence[Cell], columns: int, path: str | os.PathLike[str]) -> None:
    """Draw images in rows of so many."""
    plot_grid([cells[start : start + columns] for start in range(0, len(cells), columns)], path)


def plot_augmentations(
    originals: Sequence[Any], views: Sequence[Sequence[Any]], labels: Sequence[str], path: str | os.PathLike[str]
) -> None:
    """Draw a row for each sample: the image before it is resized, then what training makes of it.

    Args:
        originals: PIL images or uint8 arrays [H, W] or [H, W, 1 or 3].
        views: for each sample its views, as of `to_uint8`.
        labels: class name of each sample.
        path: file to write; the ending sets the format.
    """
    rows = []
    for number, (original, of_sample, label) in enumerate(zip(originals, views, labels, strict=True)):
        captions = [(f"view {view + 1}",) if number == 0 else () for view in range(len(of_sample))]
        cells = [Cell(to_uint8(view), caption) for view, caption in zip(of_sample, captions, strict=True)]
        wrapped = textwrap.wrap(label, WIDTH, max_lines=2, placeholder="...")
        rows.append([Cell(np.asarray(original), wrapped), *cells])
    plot_grid(rows, path)


def to_uint8(image: Any) -> np.ndarray:
    """Shapes: array or tensor [C, H, W] on 0 to 1 -> uint8 [H, W, C]."""
    floats = image.detach().float().cpu().numpy() if hasattr(image, "detach") else np.asarray(image)
    return np.round(255 * np.clip(np.moveaxis(floats, 0, -1), 0, 1)).astype(np.uint8)


def _place_image(axes: Axes, image: np.ndarray, left: float, top: float, tall: float) -> None:
    """Show an image as large as fits into the middle of the cell below and right of (left, top), 1 wide."""
    image = image.squeeze(-1) if image.ndim == 3 and image.shape[-1] == 1 else image
    height, width = (side / max(image.shape[:2]) * 0.96 for side in image.shape[:2])
    if max(image.shape[:2]) > SHARP_UP_TO:  # matplotlib's own resampling takes ten times as long
        size = (round(width * CELL_INCHES * DPI), round(height * CELL_INCHES * DPI))
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    x, y = left + 0.5, top + tall / 2
    extent = (x - width / 2, x + width / 2, y + height / 2, y - height / 2)
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, extent=extent, aspect="auto", interpolation="nearest")


def font_families() -> list[str]:
    """Return the fonts for words of any language: Matplotlib's own, then those of this machine with Chinese."""
    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in CHINESE_FONTS if name in installed)]


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """Return an empty figure of this size in inches that belongs to no window."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def write_figure(figure: Figure, path: str | os.PathLike[str], tight: bool = True) -> None:
    """Write the figure, `tight` cut to what is drawn."""
    ending = Path(path).suffix.removeprefix(".") or "png"
    with atomic_file(Path(path)) as file:
        figure.savefig(file, format=ending, bbox_inches="tight" if tight else None, pad_inches=0.1)
