"""Test images by their predictions: classes that a group gains and loses, images that only one of two gets right."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from comparison.page.runs import Shown
from comparison.predictions import NotPaired, read_predictions
from comparison.reading import Run
from comparison.units import SHARE
from runs.folder import DamagedFile

MOST_RUNS, MOST_TESTS = 200, 8
"""Runs whose predictions are read; sets of test images."""
MOST_DIFFERENCES = 40_000
"""Classes times groups."""
MOST_GROUPS, MOST_OF_A_PAIR = 20, 24
"""Groups of which each two are compared; images of a pair."""


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

    def rightness(self, group: int, seeds: Iterable[int]) -> np.ndarray:
        """Return how many of some seeds' networks are right: [N] int."""
        return np.stack([self.predictions[group][seed] == self.target for seed in seeds]).sum(axis=0)

    def common_seeds(self, first: int, second: int) -> list[int]:
        return sorted(self.predictions[first].keys() & self.predictions[second].keys())

    @property
    def recorded_names(self) -> tuple[str, ...] | None:
        """The names of the classes that a run left, None where there are none that can be read."""
        try:
            return self.run.folder.read_classes()
        except DamagedFile:
            return None


def read_shared_tests(view: Shown) -> tuple[list[SharedTest], list[str]]:
    """Read the predictions of the first runs. Returns: those of the most groups first, and notes on the others."""
    tests: dict[tuple[bytes, bytes], SharedTest] = {}
    held = 0
    notes, chosen = [], view.runs[:MOST_RUNS]
    if len(chosen) < (total := len(view.all_runs)):
        notes.append(f"predictions of the first {len(chosen):,} of {total:,} runs; name fewer to see others")
    for group, run in chosen:
        try:
            index, target, prediction = read_predictions(run, held)
        except NotPaired as problem:
            notes.append(f"left out: {problem}")
            continue
        key = (index.tobytes(), target.tobytes())
        held += prediction.nbytes + (0 if key in tests else 2 * (index.nbytes + target.nbytes))
        tests.setdefault(key, SharedTest(index, target, run)).predictions.setdefault(group, {})[run.seed] = prediction
    if len(tests) > MOST_TESTS:
        notes.append(f"of {len(tests):,} sets of test images, the {MOST_TESTS} that most groups share")
    return sorted(tests.values(), key=lambda test: -len(test.predictions))[:MOST_TESTS], notes


def label_name(label: Any, names: tuple[str, ...] | None) -> str:
    """Return a label in words: the name of a class by its number, or a text as it is."""
    if isinstance(label, str):
        return label or "nothing"
    if label < 0:
        return "none of the classes"
    return f"class {label}" if names is None or label >= len(names) else names[label]


def describe_classes(
    shared: SharedTest, view: Shown, names: tuple[str, ...] | None
) -> tuple[dict[str, Any], list[str]]:
    """Return class names, their images, and each group's accuracy less its baseline's over the seeds of both; notes."""
    if shared.target.dtype.kind == "U":
        return {"classes": [], "counts": [], "differences": []}, ["not compared class by class: the labels are texts"]
    labels, which, counts = np.unique(shared.target, return_inverse=True, return_counts=True)
    differences = []
    for group in shared.predictions:
        baseline = view.baseline_of(group)
        if baseline not in shared.predictions or not (seeds := shared.common_seeds(group, baseline)):
            continue
        ours, theirs = (
            np.bincount(which, shared.rightness(side, seeds), len(labels)) / (counts * len(seeds))
            for side in (group, baseline)
        )
        differences.append(
            {
                "group": group,
                "baseline": baseline,
                "seeds": len(seeds),
                "values": [round(float(value), 6) for value in ours - theirs],
                "texts": [SHARE.text(value, signed=True) for value in ours - theirs],
                "ours": [SHARE.text(value) for value in ours],
                "theirs": [SHARE.text(value) for value in theirs],
            }
        )
    kept = differences[: max(1, MOST_DIFFERENCES // len(labels))]
    notes = [f"class differences of the first {len(kept):,} of {len(differences):,} groups"]
    described = {"classes": [label_name(label.item(), names) for label in labels], "counts": counts.tolist()}
    return described | {"differences": kept}, notes if len(kept) < len(differences) else []


def disagreements(shared: SharedTest) -> list[dict[str, Any]]:
    """Return for each two groups, both ways: images that the first gets right in more of their seeds than the other.

    `total` is their number, `positions` the first of them, those with the largest difference first.
    """
    pairs = []
    for right, wrong in itertools.permutations(list(shared.predictions)[:MOST_GROUPS], 2):
        if seeds := shared.common_seeds(right, wrong):
            margin = shared.rightness(right, seeds) - shared.rightness(wrong, seeds)
            total = int(np.count_nonzero(margin > 0))
            order = np.argsort(-margin, kind="stable")[: min(MOST_OF_A_PAIR, total)]
            pairs.append({"right": right, "wrong": wrong, "total": total, "positions": order.tolist()})
    return pairs


def choose_images(pairs: Sequence[Mapping[str, Any]], most: int) -> list[int]:
    """Return positions of at most that many images: every pair's first, then every pair's second, and so on."""
    ranked = itertools.chain.from_iterable(itertools.zip_longest(*(pair["positions"] for pair in pairs)))
    return list(dict.fromkeys(position for position in ranked if position is not None))[:most]


def describe_images(
    shared: SharedTest,
    pairs: Sequence[Mapping[str, Any]],
    pictures: Mapping[int, str | None],
    names: tuple[str, ...] | None,
) -> dict[str, Any]:
    """Return the chosen images with what is predicted of them, and which are of which pair.

    Args: pictures: position of an image -> its data URI, None where there is none.
    """
    groups, order = list(shared.predictions)[:MOST_GROUPS], list(pictures)

    def predictions(group: int, position: int) -> list[dict[str, Any]]:
        """Return what a group's networks say of an image, the most frequent first."""
        right = shared.target[position].item()
        labels = Counter(prediction[position].item() for prediction in shared.predictions[group].values())
        counts = labels.most_common()
        return [{"name": label_name(label, names), "seeds": count, "right": label == right} for label, count in counts]

    images = [
        {
            "index": int(shared.index[position]),
            "target": label_name(shared.target[position].item(), names),
            "picture": picture,
            "predictions": [predictions(group, position) for group in groups],
        }
        for position, picture in pictures.items()
    ]
    shown = [[order.index(position) for position in pair["positions"] if position in pictures] for pair in pairs]
    described = [
        {key: pair[key] for key in ("right", "wrong", "total")} | {"images": numbers}
        for pair, numbers in zip(pairs, shown, strict=True)
    ]
    return {"groups": groups, "images": images, "pairs": described}
