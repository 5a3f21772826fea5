"""Which classes a group of runs gains and loses against its baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from comparison.numbers import SHARE
from comparison.page.predictions import SharedTest, label_name
from comparison.page.runs import Shown

MOST_DIFFERENCES = 40_000
"""Classes times groups."""


@dataclass(frozen=True)
class ClassDifferences:
    """A group's accuracy of each class less its baseline's, over the seeds that both have.

    Shapes: ours, theirs [K], means over the seeds, shares.
    """

    group: int
    baseline: int
    seeds: int
    ours: np.ndarray
    theirs: np.ndarray


def class_differences(shared: SharedTest, shown: Shown) -> list[ClassDifferences]:
    """Compare each group that has a baseline with it, class by class, in the order of `np.unique(target)`."""
    classes, which, counts = np.unique(shared.target, return_inverse=True, return_counts=True)
    found = []
    for group in shared.predictions:
        baseline = shown.baseline_of(group)
        if baseline is None or baseline not in shared.predictions:
            continue
        if not (seeds := shared.common_seeds(group, baseline)):
            continue
        ours, theirs = (
            np.bincount(which, shared.rightness(each, seeds), len(classes)) / (counts * len(seeds))
            for each in (group, baseline)
        )
        found.append(ClassDifferences(group, baseline, len(seeds), ours, theirs))
    return found


def describe_classes(
    shared: SharedTest, shown: Shown, names: tuple[str, ...] | None
) -> tuple[dict[str, Any], list[str]]:
    """Return class names, their images, and each group's differences: values and texts."""
    if shared.of_texts:
        return {"classes": [], "counts": [], "differences": []}, ["not compared class by class: the labels are texts"]
    labels, counts = np.unique(shared.target, return_counts=True)
    compared = class_differences(shared, shown)
    kept = compared[: max(1, MOST_DIFFERENCES // len(labels))]
    notes = []
    if len(kept) < len(compared):
        notes.append(f"class differences of the first {len(kept):,} of {len(compared):,} groups")
    differences = [
        {
            "group": each.group,
            "baseline": each.baseline,
            "seeds": each.seeds,
            "values": [round(float(value), 6) for value in each.ours - each.theirs],
            "texts": [SHARE.text(value, signed=True) for value in each.ours - each.theirs],
            "ours": [SHARE.text(value) for value in each.ours],
            "theirs": [SHARE.text(value) for value in each.theirs],
        }
        for each in kept
    ]
    return {
        "classes": [label_name(label.item(), names) for label in labels],
        "counts": counts.tolist(),
        "differences": differences,
    }, notes
