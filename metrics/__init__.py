"""Metrics of every epoch by name. To add one, write a function of a tally and add its line to the table of its kind.

What is measured once, of a trained model, is an evaluation: calibration is evaluation/calibration.py.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from utils.lookup import Entry, load_entry

if TYPE_CHECKING:
    from metrics.tally import BaseTally

COMMON = {
    "loss": Entry("metrics.tally:loss", "mean loss, in the loss's own unit; lower is better"),
    "cross_entropy": Entry(
        "metrics.tally:cross_entropy",
        "mean -log p(label) by the loss's own probabilities, comparable between losses; lower is better",
    ),
    "accuracy": Entry("metrics.tally:accuracy", "share predicted correctly; of texts, those without an error"),
}
METRICS = {
    **COMMON,
    "top5_accuracy": Entry("metrics.classification:top5_accuracy", "share with the label among the top 5 classes"),
    "one_off_accuracy": Entry(
        "metrics.classification:one_off_accuracy",
        "share predicted as the label or a neighbouring class, where the data set's classes are ordered",
    ),
    "balanced_accuracy": Entry(
        "metrics.classification:balanced_accuracy", "mean accuracy of the classes that occur, however rare each is"
    ),
    "f1": Entry("metrics.classification:f1", "mean F1 of the classes (macro)"),
    "precision": Entry("metrics.classification:precision", "mean precision of the classes (macro)"),
    "recall": Entry("metrics.classification:recall", "mean recall of the classes (macro)"),
    "rejected": Entry("metrics.tally:rejected", "share predicted as none of the classes, or as no text"),
}
"""Of images with a class each."""
SEQUENCE_METRICS = {
    **COMMON,
    "character_error_rate": Entry(
        "metrics.sequences:character_error_rate",
        "of texts: characters to change, add or remove, divided by their length; lower is better",
    ),
    "rejected": METRICS["rejected"],
}
"""Of images with a text each."""
PIXEL_METRICS = {
    **COMMON,
    "mean_iou": Entry("metrics.dense:mean_iou", "of pixels: mean intersection over union of the classes"),
    "rejected": METRICS["rejected"],
}
"""Of images with a class a pixel."""
BOX_METRICS = {
    **COMMON,
    "map": Entry("metrics.detection:box_map", "of objects: COCO's mean average precision of boxes"),
    "map_50": Entry("metrics.detection:box_map_50", "of objects: that at an overlap of 0.5"),
    "map_75": Entry("metrics.detection:box_map_75", "of objects: that at an overlap of 0.75"),
    "rejected": METRICS["rejected"],
}
"""Of images with objects; those in common with others are of regions."""
MASK_METRICS = {
    **BOX_METRICS,
    "mask_map": Entry("metrics.detection:mask_map", "of objects: COCO's mean average precision of masks"),
    "mask_map_50": Entry("metrics.detection:mask_map_50", "of objects: that of masks at an overlap of 0.5"),
    "mask_map_75": Entry("metrics.detection:mask_map_75", "of objects: that of masks at an overlap of 0.75"),
}
"""Of images with objects that have masks."""
ALL_METRICS = METRICS | SEQUENCE_METRICS | PIXEL_METRICS | MASK_METRICS

KINDS = {
    "image": METRICS,
    "sequence": SEQUENCE_METRICS,
    "segmentation": PIXEL_METRICS,
    "detection": BOX_METRICS,
    "instance_segmentation": MASK_METRICS,
}
TALLIES = {
    "image": Entry("metrics.classification:Tally", "classes"),
    "sequence": Entry("metrics.sequences:TextTally", "texts"),
    "segmentation": Entry("metrics.dense:PixelTally", "pixels"),
    "detection": Entry("metrics.detection:DetectionTally", "regions and objects"),
    "instance_segmentation": Entry("metrics.detection:InstanceTally", "regions and objects with masks"),
}
"""Counters of predictions, by their kind."""

ORDERED_METRICS = frozenset({"one_off_accuracy"})
"""Metrics of ordered classes only."""
ABSOLUTE_METRICS = frozenset({"loss", "cross_entropy"})
"""Metrics that are not shares."""
TRAINING_METRICS = ("loss", "accuracy")
LOWER_IS_BETTER = frozenset({"loss", "cross_entropy", "rejected", "character_error_rate"})

MONITORS = (*(f"valid/{name}" for name in ALL_METRICS), *(f"train/{name}" for name in TRAINING_METRICS))
"""Metrics that a run can be selected, stopped and scheduled on."""


def lower_is_better(name: str) -> bool:
    """Tell the direction of a logged metric, such as "valid/loss"."""
    return name.rpartition("/")[2] in LOWER_IS_BETTER


def metric_entries(kind: str, judge: bool = True, ordered: bool = False) -> dict[str, Entry]:
    """Return the metrics of predictions of a kind; without `judge` only those that training reports."""
    left_out = frozenset() if ordered else ORDERED_METRICS
    return {
        name: entry
        for name, entry in KINDS[kind].items()
        if name not in left_out and (judge or name in TRAINING_METRICS)
    }


PACKAGES = {"detection": "faster-coco-eval", "instance_segmentation": "faster-coco-eval"}
"""What the metrics of a task need beside the requirements."""


def missing_package(task: str) -> str | None:
    """Return the package that a task's metrics need and that is not installed."""
    package = PACKAGES.get(task)
    return package if package and importlib.util.find_spec(package.replace("-", "_")) is None else None


def tally_for(kind: str) -> type[BaseTally]:
    """Return the counter of predictions of a kind."""
    return load_entry(TALLIES[kind])
