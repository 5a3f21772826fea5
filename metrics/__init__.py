"""Metrics of every epoch by name. To add one, write a function of a tally and add its line to the table of its kind.

What is measured once, of a trained model, is an evaluation: calibration is evaluation/calibration.py.
"""

from __future__ import annotations

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
ALL_METRICS = METRICS | SEQUENCE_METRICS

KINDS = {"image": METRICS, "sequence": SEQUENCE_METRICS}
TALLIES = {
    "image": Entry("metrics.classification:Tally", "classes"),
    "sequence": Entry("metrics.sequences:TextTally", "texts"),
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


def tally_for(kind: str) -> type[BaseTally]:
    """Return the counter of predictions of a kind."""
    return load_entry(TALLIES[kind])
