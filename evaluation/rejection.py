"""How right the predictions are of which a network is surest, when the others are left to somebody else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.ticker import PercentFormatter

from runs.figures import MARK, VALID, new_figure, write_figure


@dataclass(frozen=True)
class RejectionCurve:
    """Accuracy of the images that are kept against the share of those that are rejected, the least sure first.

    Images of one confidence are kept or rejected together, as no threshold tells them apart.

    Shapes: rejected [M] ascending from 0, below 1; accuracy [M].
    """

    rejected: np.ndarray
    accuracy: np.ndarray

    @classmethod
    def of(cls, right: np.ndarray, confidence: np.ndarray) -> RejectionCurve:
        """Shapes: right [N] bool, confidence [N], which may be infinite but not NaN; N >= 1."""
        order = np.argsort(-confidence, kind="stable")
        hits = np.cumsum(right[order])
        kept = np.arange(1, len(order) + 1)
        falls = confidence[order][:-1] != confidence[order][1:]
        last = np.append(np.flatnonzero(falls), len(order) - 1)[::-1]  # of each confidence
        return cls(1 - kept[last] / len(order), hits[last] / kept[last])

    def accuracy_at(self, rejected: float) -> float:
        """Return the accuracy when at least this share is rejected, as little more as thresholds allow."""
        place = np.searchsorted(self.rejected, rejected - 1e-12)
        return float(self.accuracy[min(place, len(self.accuracy) - 1)])

    @property
    def area_above(self) -> float:
        """The mean error over all shares kept (area under the risk-coverage curve, AURC): 0 is perfect.

        Source: Geifman, El-Yaniv 2017, "Selective Classification for Deep Neural Networks".
        """
        widths = np.diff(np.append(self.rejected, 1.0))
        return float(((1 - self.accuracy) * widths).sum())


FEWEST = 20
"""Images that are kept at least in the picture: the accuracy of fewer jumps."""


def plot_rejection(curve: RejectionCurve, images: int, own: tuple[float, float] | None, path: Path) -> None:
    """Draw the curve of so many images, and the loss's own rule: what it rejects, how right the rest is."""
    figure = new_figure(5.2, 3.8)
    axes = figure.add_subplot()
    drawn = curve.rejected <= max(0.0, 1 - FEWEST / images)
    axes.plot(curve.rejected[drawn], curve.accuracy[drawn], color=VALID, linewidth=1.4)
    if own is not None:
        axes.plot(*own, "o", color=MARK, label="the loss's own rule")
        axes.legend(frameon=False, fontsize=9)
    axes.set_xlabel("rejected, the least sure first")
    axes.set_ylabel("accuracy of the rest")
    axes.set_xlim(0, 1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    write_figure(figure, path)
