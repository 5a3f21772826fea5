"""Metrics by name. To add one: write a function of a `Tally`, add its line to `METRICS`."""

from __future__ import annotations

from utils.lookup import Entry

METRICS = {
    "loss": Entry("utils.metrics.classification:loss", "mean loss, in the loss's own unit; lower is better"),
    "cross_entropy": Entry(
        "utils.metrics.classification:cross_entropy",
        "mean -log p(label) by the loss's own probabilities, comparable between losses; lower is better",
    ),
    "accuracy": Entry("utils.metrics.classification:accuracy", "share predicted right"),
    "top5_accuracy": Entry("utils.metrics.classification:top5_accuracy", "share with the label among the likeliest 5"),
    "one_off_accuracy": Entry(
        "utils.metrics.classification:one_off_accuracy",
        "share predicted right or one class beside it, where the data set's classes are ordered",
    ),
    "f1": Entry("utils.metrics.classification:f1", "mean F1 of the classes (macro)"),
    "precision": Entry("utils.metrics.classification:precision", "mean precision of the classes (macro)"),
    "recall": Entry("utils.metrics.classification:recall", "mean recall of the classes (macro)"),
    "rejected": Entry("utils.metrics.classification:rejected", "share predicted to be none of the classes"),
}
ORDERED_METRICS = frozenset({"one_off_accuracy"})
"""Those that only ordered classes have."""
TRAINING_METRICS = ("loss", "accuracy")
LOWER_IS_BETTER = frozenset(
    {
        *("loss", "cross_entropy", "rejected"),
        *("zero_gradients", "intra_class_distance", "distance_ratio"),
        *("parameters", "multiply_adds", "weights_mb", "checkpoint_mb", "memory_mb"),
        *("latency_ms", "latency_of_64_ms"),
    }
)

MONITORS = (*(f"valid/{name}" for name in METRICS), *(f"train/{name}" for name in TRAINING_METRICS))
"""What a run can be selected, stopped and scheduled on."""


def lower_is_better(name: str) -> bool:
    """Tell the direction of a logged metric, such as "valid/loss"."""
    return name.rpartition("/")[2] in LOWER_IS_BETTER
