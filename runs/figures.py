"""Pictures of a run: learning curves, augmented images, confusions. Drawn without a display and written atomically."""

from __future__ import annotations

import math
import os
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter
from PIL import Image

from utils.files import atomic_file
from utils.types import REJECTED

# Colours of Okabe and Ito, told apart by readers of any colour vision.
TRAIN, VALID, MARK, ABSENT = "#0072B2", "#D55E00", "#666666", "#dddddd"
DPI = 150
MARKERS_UP_TO = 40  # epochs
NUMBERS_UP_TO, NAMES_UP_TO = 20, 60  # classes
MAX_PAIRS = 20
PLACES_MISTAKES = 3  # of a place
AS_IT_IS: dict[str, Any] = {"parse_math": False}  # for names of classes: a $ in one is no formula
SHARP_UP_TO = 64  # pixels of a side: smaller pictures show their pixels
CHINESE_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei"),
    *("PingFang SC", "Hiragino Sans GB", "Heiti SC", "Microsoft YaHei", "SimHei"),
)
"""Of Linux, macOS and Windows; Matplotlib's own font has no Chinese, as plates have it."""
CELL_INCHES, HEADING = 1.7, 0.19  # of a picture; share of it for the words above


def plot_curves(
    rows: Sequence[dict[str, float]], path: str | os.PathLike[str], title: str, best_epoch: float | None = None
) -> None:
    """Draw loss and accuracy per epoch, counted from 1, side by side and mark the best epoch.

    A loss that falls by orders of magnitude gets a logarithmic axis, a learning rate that changes a strip below.

    Args:
        rows: epochs, with `epoch` (from 0), `train/loss`, `valid/loss`, `train/accuracy`, `valid/accuracy` (0 to 1) and
            perhaps `learning_rate`; what is missing is not drawn. Of texts, `train/` and `valid/character_error_rate`
            are drawn beside the accuracy, thin: they fall long before a whole text is read.
        path: file to write; the ending sets the format.
        title: stands above the picture.
        best_epoch: the selected epoch as it stands in `rows`; by default that of the best validation accuracy.

    Raises: ValueError if there are no rows.
    """
    if not rows:
        raise ValueError("no epochs to draw")
    epochs = np.array([row["epoch"] for row in rows]) + 1
    if best_epoch is not None:
        best_epoch += 1
    rate = _column(rows, "learning_rate")
    with_rate = bool(np.nanmin(rate) != np.nanmax(rate)) if np.isfinite(rate).any() else False
    figure = new_figure(10, 5 if with_rate else 4.2)
    figure.suptitle(title, fontsize=11, wrap=True)
    grid = figure.add_gridspec(2 if with_rate else 1, 2, height_ratios=[4, 1] if with_rate else [1])
    loss_axes, accuracy_axes = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    all_axes = [loss_axes, accuracy_axes]
    marker = "o" if len(rows) <= MARKERS_UP_TO else ""
    for axes, quantity in ((loss_axes, "loss"), (accuracy_axes, "accuracy")):
        for part, colour, style in (("train", TRAIN, "--"), ("valid", VALID, "-")):
            values = _column(rows, f"{part}/{quantity}")
            if np.isfinite(values).any():
                axes.plot(epochs, values, style, color=colour, label=part, marker=marker, markersize=3, linewidth=1.4)
        axes.set_ylabel(quantity)
    for part, colour, style in (("train", TRAIN, "--"), ("valid", VALID, "-")):
        values = _column(rows, f"{part}/character_error_rate")
        if np.isfinite(values).any():
            label = f"{part}, character errors"
            look = {"color": colour, "alpha": 0.5, "marker": marker, "markersize": 2, "linewidth": 0.9}
            accuracy_axes.plot(epochs, values, style, label=label, **look)
    losses = np.concatenate([_column(rows, "train/loss"), _column(rows, "valid/loss")])
    losses = losses[np.isfinite(losses)]
    if losses.size and losses.min() > 0 and losses.max() > 20 * np.median(losses):
        loss_axes.set_yscale("log")
    accuracy_axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    best_label = _mark_best(loss_axes, accuracy_axes, epochs, _column(rows, "valid/accuracy"), best_epoch)
    if with_rate:
        rate_axes = figure.add_subplot(grid[1, :])
        rate_axes.plot(epochs, rate, color=MARK, linewidth=1.2, marker=marker, markersize=2)
        rate_axes.set_ylabel("learning\nrate")
        if np.nanmin(rate) > 0 and np.nanmax(rate) > 20 * np.nanmin(rate):
            rate_axes.set_yscale("log")
            rate_axes.yaxis.set_minor_formatter(NullFormatter())  # the strip is too low for more than the decades
        all_axes.append(rate_axes)
    for axes in all_axes:
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if len(rows) == 1:
            axes.set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
    for axes in all_axes[-1:] if with_rate else all_axes:
        axes.set_xlabel("epoch")
    for axes in (loss_axes, accuracy_axes):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=9)
    if best_label:
        accuracy_axes.set_title(best_label, fontsize=9, color=MARK)
    write_figure(figure, path)


def plot_augmentations(
    originals: Sequence[Any],
    views: Sequence[Sequence[Any]],
    labels: Sequence[str],
    path: str | os.PathLike[str],
) -> None:
    """Draw a row for each sample: the image before it is resized, then what training makes of it.

    Args:
        originals: PIL images or uint8 arrays [H, W] or [H, W, 3].
        views: for each sample its views, float arrays or tensors [C, H, W] on 0 to 1, C = 1 or 3.
        labels: class name of each sample.
        path: file to write; the ending sets the format.

    Raises: ValueError if there are no samples or the lists differ in length.
    """
    if not originals or not len(originals) == len(views) == len(labels):
        raise ValueError(f"{len(originals)} originals, {len(views)} lists of views and {len(labels)} labels do not fit")
    num_columns = 1 + max(len(row) for row in views)
    sizes = [np.shape(original)[:2] for original in originals]
    sizes += [np.shape(view)[1:] for row_views in views for view in row_views]
    tall = min(1.0, max(height / width for height, width in sizes))  # of a cell, whose width is 1
    figure = new_figure(CELL_INCHES * num_columns, CELL_INCHES * (tall + HEADING) * len(originals), layout=None)
    style = {"ha": "center", "va": "bottom", "fontsize": 8, "linespacing": 1.0, "family": font_families(), **AS_IT_IS}
    axes = figure.add_axes((0, 0, 1, 1))  # one for all pictures: drawing one for each takes seconds
    for row, (original, row_views, label) in enumerate(zip(originals, views, labels, strict=True)):
        top = row * (tall + HEADING) + HEADING
        headings = [textwrap.fill(label, 24, max_lines=2, placeholder="...")]
        headings += [f"view {column}" if row == 0 else "" for column in range(1, len(row_views) + 1)]
        floats = [np.clip(np.moveaxis(np.asarray(view), 0, -1), 0, 1) for view in row_views]
        pictures = [np.asarray(original)] + [np.round(picture * 255).astype(np.uint8) for picture in floats]
        for column, (picture, heading) in enumerate(zip(pictures, headings, strict=True)):
            place_picture(axes, picture, column, top, tall)
            colour = MARK if column else "black"
            axes.text(column + 0.5, top, heading, color=colour, **style)
    axes.axis("off")
    axes.set(xlim=(0, num_columns), ylim=((tall + HEADING) * len(originals), 0), aspect="auto")
    write_figure(figure, path, tight=False)


def plot_confusion(
    targets: Any,
    predictions: Any,
    classes: Sequence[str],
    path: str | os.PathLike[str],
    title: str = "",
    nothing: str = "rejected",
) -> None:
    """Draw which class (row) is taken for which (column), in shares of the row, with the worst pairs listed beside.

    Args:
        targets: [N] integers, 0 to K-1.
        predictions: [N] integers, 0 to K-1, or -1 for a rejected sample, which adds a column.
        classes: K names.
        path: file to write; the ending sets the format.
        title: stands above the picture.
        nothing: what the column of rejected samples is called.

    Raises: ValueError if lengths differ or a number names no class.
    """
    counts, names = confusion_counts(targets, predictions, classes, nothing)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.where(totals > 0, counts / np.maximum(totals, 1), np.nan)  # [K, K or K+1]
    num_classes, num_columns = shares.shape
    side = min(9.5, max(4.2, 0.42 * num_classes)) if num_classes <= NUMBERS_UP_TO else 9.5
    figure = new_figure(side + 5.2, side + (0.6 if title else 0.2))
    if title:
        figure.suptitle(title, fontsize=11, wrap=True)
    grid = figure.add_gridspec(1, 2, width_ratios=[side + 1, 4.2])
    axes, beside = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    axes.set_facecolor(ABSENT)
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="nearest", aspect="equal")
    figure.colorbar(image, ax=axes, shrink=0.7, format=PercentFormatter(1.0), label="share of the true class", pad=0.02)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if num_classes <= NAMES_UP_TO:
        size = 9 if num_classes <= 12 else 8 if num_classes <= NUMBERS_UP_TO else 6
        short = [_cut(name, 24) for name in names]
        flat = num_columns <= 3 or all(len(name) <= 2 for name in (names if num_columns > 12 else classes))
        letters = {"fontsize": size, "fontfamily": font_families(), **AS_IT_IS}
        axes.set_xticks(range(num_columns), short, **letters)
        if not flat:
            axes.tick_params(axis="x", rotation=90)
        axes.set_yticks(range(num_classes), short[:num_classes], **letters)
    else:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel("true (number of the class)")
        axes.set_xlabel("predicted" + (f"; last column: {nothing}" if num_columns > num_classes else ""))
    if num_classes <= NUMBERS_UP_TO:
        for (row, column), share in np.ndenumerate(shares):
            if share > 0:
                colour = "white" if share > 0.35 else "black"
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color=colour)
    beside.axis("off")
    style = {"va": "top", "fontsize": 8, "linespacing": 1.5, "family": font_families(), **AS_IT_IS}
    beside.text(0.05, 1, _worst_pairs(counts, names), transform=beside.transAxes, **style)
    write_figure(figure, path)


def plot_places(pairs: Sequence[tuple[int, int, int]], classes: Sequence[str], path: str | os.PathLike[str]) -> None:
    """Draw how often the character at each place of a text is misread, above it the most frequent mistakes.

    Args:
        pairs: place from 0, character, and what is read for it; REJECTED for nothing, on either side.
        classes: K names.
        path: file to write; the ending sets the format.
    """
    places = np.array([place for place, _, _ in pairs])
    wrong = np.array([character != read for _, character, read in pairs])
    texts = np.bincount(places)  # characters written or read too much
    shares = np.bincount(places, wrong) / np.maximum(texts, 1)
    figure = new_figure(max(5, 1.1 * len(texts) + 1), 3.6)
    axes = figure.add_subplot()
    axes.bar(np.arange(1, len(texts) + 1), shares, color=VALID, width=0.7)
    names = [*classes, "nothing"]
    style = {"ha": "center", "va": "bottom", "fontsize": 8, "family": font_families(), **AS_IT_IS}
    for place, share in enumerate(shares):
        mistakes = Counter((c, r) for at, c, r in pairs if at == place and c != r)
        told = [f"{names[c]} > {names[r]}: {count}" for (c, r), count in mistakes.most_common(PLACES_MISTAKES)]
        axes.text(place + 1, share, "\n".join(told), **style)
    axes.set_xlabel("place in the text")
    axes.set_ylabel("misread")
    axes.set_ylim(0, max(1.35 * float(shares.max(initial=0)), 0.01))
    axes.set_yticks([tick for tick in axes.get_yticks() if tick <= 1])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.spines[["top", "right"]].set_visible(False)
    write_figure(figure, path)


def confusion_counts(
    targets: Any, predictions: Any, classes: Sequence[str], nothing: str = "rejected"
) -> tuple[np.ndarray, list[str]]:
    """Count pairs of true and predicted class.

    Args: as `plot_confusion`.

    Returns: counts [K, K], or [K, K+1] with a last column of rejected samples if there are any; names of the columns.
    Raises: as `plot_confusion`.
    """
    targets, predictions = np.asarray(targets).astype(np.int64), np.asarray(predictions).astype(np.int64)
    num_classes = len(classes)
    if targets.shape != predictions.shape or targets.ndim != 1:
        raise ValueError(f"targets {targets.shape} and predictions {predictions.shape} must be lists of one length")
    if targets.size and not (targets.min() >= 0 and targets.max() < num_classes):
        raise ValueError(f"targets from {targets.min()} to {targets.max()} do not fit {num_classes} classes")
    if targets.size and not (predictions.min() >= REJECTED and predictions.max() < num_classes):
        raise ValueError(
            f"predictions from {predictions.min()} to {predictions.max()} do not fit {num_classes} classes"
        )
    columns = np.where(predictions == REJECTED, num_classes, predictions)
    counts = np.bincount(targets * (num_classes + 1) + columns, minlength=num_classes * (num_classes + 1))
    counts = counts.reshape(num_classes, num_classes + 1)
    if counts[:, -1].any():
        return counts, [*classes, nothing]
    return counts[:, :-1], [*classes]


def _mark_best(
    loss_axes: Axes, accuracy_axes: Axes, epochs: np.ndarray, accuracy: np.ndarray, best_epoch: float | None
) -> str:
    if best_epoch is None:
        if not np.isfinite(accuracy).any():
            return ""
        best_epoch = float(epochs[np.nanargmax(accuracy)])
    for axes in (loss_axes, accuracy_axes):
        axes.axvline(best_epoch, color=MARK, linewidth=0.8, linestyle=":")
    values = accuracy[(epochs == best_epoch) & np.isfinite(accuracy)]
    if not values.size:
        return f"best epoch: {best_epoch:.0f}"
    accuracy_axes.plot(best_epoch, values[0], "o", color=VALID, markersize=7, markerfacecolor="none")
    return f"best epoch: {best_epoch:.0f}, valid {100 * values[0]:.2f} %"


def _column(rows: Sequence[dict[str, float]], name: str) -> np.ndarray:
    values = [row.get(name, math.nan) for row in rows]
    return np.array([math.nan if value is None or value == "" else float(value) for value in values])


def place_picture(axes: Axes, picture: np.ndarray, left: float, top: float, tall: float) -> None:
    """Show a picture as large as fits into the middle of the cell below and right of (left, top), 1 wide."""
    picture = picture.squeeze(-1) if picture.ndim == 3 and picture.shape[-1] == 1 else picture
    height, width = (side / max(picture.shape[:2]) * 0.96 for side in picture.shape[:2])
    if max(picture.shape[:2]) > SHARP_UP_TO:  # matplotlib's own resampling takes ten times as long
        size = (round(width * CELL_INCHES * DPI), round(height * CELL_INCHES * DPI))
        picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    x, y = left + 0.5, top + tall / 2
    extent = (x - width / 2, x + width / 2, y + height / 2, y - height / 2)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=extent, aspect="auto", interpolation="nearest")


def _worst_pairs(counts: np.ndarray, names: Sequence[str]) -> str:
    """List the mistakes that are made most often, as text."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    if not wrong.any():
        return "no mistakes"
    totals = counts.sum(axis=1)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MAX_PAIRS]
    lines = ["most frequent mistakes (true > predicted)"]
    for row, column in (divmod(int(place), wrong.shape[1]) for place in order):
        if wrong[row, column]:
            lines.append(f"{wrong[row, column]} of {totals[row]}  {_cut(names[row], 30)} > {_cut(names[column], 30)}")
    return "\n".join(lines)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3].rstrip() + "..."


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
