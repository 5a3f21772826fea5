"""What the networks of each group say of the test images: from predictions.parquet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from comparison.page.runs import Shown
from comparison.reading import Run
from comparison.testing import NotPaired, read_predictions
from runs.folder import DamagedFile

MOST_RUNS, MOST_TESTS = 200, 8
"""Runs whose predictions are read; sets of test images."""


@dataclass(frozen=True, eq=False)
class SharedTest:
    """The groups that were tested on the same images.

    Args:
        index, target: [N], of each image; a target is a class or a text.
        run: one of the runs, whose configuration says what the data is.
        predictions: number of a group -> seed -> [N].
    """

    index: np.ndarray
    target: np.ndarray
    run: Run
    predictions: dict[int, dict[int, np.ndarray]] = field(default_factory=dict)

    @property
    def of_texts(self) -> bool:
        return self.target.dtype.kind == "U"

    def rightness(self, group: int, seeds: Iterable[int]) -> np.ndarray:
        """Return how many of some seeds' networks are right: [N] int."""
        return np.stack([self.predictions[group][seed] == self.target for seed in seeds]).sum(axis=0)

    def common_seeds(self, first: int, second: int) -> list[int]:
        return sorted(self.predictions[first].keys() & self.predictions[second].keys())


def read_shared_tests(shown: Shown) -> tuple[list[SharedTest], list[str]]:
    """Read the predictions of the first runs. Returns: those of the most groups first, and what was left out."""
    found: dict[tuple[bytes, bytes], SharedTest] = {}
    notes = []
    chosen = shown.runs[:MOST_RUNS]
    if len(chosen) < len(shown.all_runs):
        notes.append(
            f"predictions of the first {len(chosen):,} of {len(shown.all_runs):,} runs; name fewer to see others"
        )
    for group, run in chosen:
        try:
            index, target, prediction = read_predictions(run)
        except NotPaired as problem:
            notes.append(f"left out: {problem}")
            continue
        key = (index.tobytes(), target.tobytes())
        found.setdefault(key, SharedTest(index, target, run)).predictions.setdefault(group, {})[run.seed] = prediction
    tests = sorted(found.values(), key=lambda each: -len(each.predictions))
    if len(tests) > MOST_TESTS:
        notes.append(f"of {len(tests):,} sets of test images, the {MOST_TESTS} that most groups share")
    return tests[:MOST_TESTS], notes


def recorded_names(shared: SharedTest) -> tuple[str, ...] | None:
    """Return the names of the classes that a run left, None where there are none that can be read."""
    try:
        return shared.run.folder.read_classes()
    except DamagedFile:
        return None


def label_name(label: Any, names: tuple[str, ...] | None) -> str:
    """Return a label in words: the name of a class, given as its number, or a text as it is."""
    if isinstance(label, str):
        return label or "nothing"
    if label < 0:
        return "none of the classes"
    return f"class {label}" if names is None or label >= len(names) else names[label]
