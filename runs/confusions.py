"""Figures of mistakes: which class is taken for which, and which characters are misread at each place of a text."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.ticker import MaxNLocator, PercentFormatter

from losses.contract import REJECTED
from runs.figures import AS_IT_IS, VALID, font_families, new_figure, write_figure
from utils.types import shorten

ABSENT = "#dddddd"
NUMBERS_UP_TO, NAMES_UP_TO = 20, 60  # classes
MAX_PAIRS = 20
PLACES_MISTAKES = 3  # of a place


def plot_confusion(
    targets: Any,
    predictions: Any,
    classes: Sequence[str],
    path: str | os.PathLike[str],
    nothing: str = "rejected",
) -> None:
    """Draw which class (row) is taken for which (column), in shares of the row, with the worst pairs listed beside.

    Args:
        targets: [N] integers, 0 to K-1.
        predictions: [N] integers, 0 to K-1, or -1 for a rejected sample, which adds a column.
        classes: K names.
        path: file to write; the ending sets the format.
        nothing: what the column of rejected samples is called.

    Raises: ValueError if lengths differ or a number names no class.
    """
    draw_confusion(*confusion_counts(targets, predictions, classes, nothing), classes, path, nothing)


def draw_confusion(
    counts: np.ndarray,
    names: Sequence[str],
    classes: Sequence[str],
    path: str | os.PathLike[str],
    nothing: str = "rejected",
) -> None:
    """Draw counts [K, K], or [K, K + 1], and the names of their columns, as `plot_confusion` does."""
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.where(totals > 0, counts / np.maximum(totals, 1), np.nan)  # [K, K or K+1]
    num_classes, num_columns = shares.shape
    side = min(9.5, max(4.2, 0.42 * num_classes)) if num_classes <= NUMBERS_UP_TO else 9.5
    figure = new_figure(side + 5.2, side + 0.2)
    grid = figure.add_gridspec(1, 2, width_ratios=[side + 1, 4.2])
    axes, beside = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    axes.set_facecolor(ABSENT)
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="nearest", aspect="equal")
    figure.colorbar(image, ax=axes, shrink=0.7, format=PercentFormatter(1.0), label="share of the true class", pad=0.02)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if num_classes <= NAMES_UP_TO:
        size = 9 if num_classes <= 12 else 8 if num_classes <= NUMBERS_UP_TO else 6
        short = [shorten(name, 24) for name in names]
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
    lines = [
        f"{counts[row, column]} of {counts[row].sum()}  {shorten(names[row], 30)} > {shorten(names[column], 30)}"
        for row, column in most_confused(counts, MAX_PAIRS)
    ]
    text = "\n".join(["most frequent mistakes (true > predicted)", *lines] if lines else ["no mistakes"])
    beside.text(0.05, 1, text, transform=beside.transAxes, **style)
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
        labels = [f"{names[c]} > {names[r]}: {count}" for (c, r), count in mistakes.most_common(PLACES_MISTAKES)]
        axes.text(place + 1, share, "\n".join(labels), **style)
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


def most_confused(counts: np.ndarray, limit: int) -> list[tuple[int, int]]:
    """Return the row and column of the most frequent mistakes of a table of `confusion_counts`."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [(int(row), int(column)) for row, column in pairs if wrong[row, column]]
