"""Test images that one group of runs gets right and another wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from comparison.page.predictions import SharedTest, label_name

MOST_GROUPS, MOST_OF_A_PAIR = 20, 24
"""Groups of which each two are compared; images of a pair."""


@dataclass(frozen=True)
class Disagreement:
    """Images that one group gets right in more of the common seeds than another.

    Args:
        positions: the first of them, those with the largest difference first.
        total: how many there are.
    """

    right: int
    wrong: int
    positions: tuple[int, ...]
    total: int


def disagreements(shared: SharedTest) -> list[Disagreement]:
    """Return those of each two groups, both ways."""
    groups = list(shared.predictions)[:MOST_GROUPS]
    found = []
    for right in groups:
        for wrong in groups:
            seeds = shared.common_seeds(right, wrong)
            if right != wrong and seeds:
                margin = shared.rightness(right, seeds) - shared.rightness(wrong, seeds)
                order = np.argsort(-margin, kind="stable")[: min(MOST_OF_A_PAIR, np.count_nonzero(margin > 0))]
                total = int(np.count_nonzero(margin > 0))
                found.append(Disagreement(right, wrong, tuple(order.tolist()), total))
    return found


def choose_images(pairs: Sequence[Disagreement], most: int) -> list[int]:
    """Return positions of at most that many images: every pair's first, then every pair's second, and so on."""
    chosen: dict[int, None] = {}
    for rank in range(MOST_OF_A_PAIR):
        for pair in pairs:
            if len(chosen) < most and rank < len(pair.positions):
                chosen.setdefault(pair.positions[rank])
    return list(chosen)


def describe_images(
    shared: SharedTest, pairs: Sequence[Disagreement], pictures: Mapping[int, str | None], names: tuple[str, ...] | None
) -> dict[str, Any]:
    """Return the chosen images with what is predicted of them, and which are of which pair.

    Args:
        pictures: position of an image -> its data URI, None where there is none.
    """
    order = {position: number for number, position in enumerate(pictures)}
    groups = list(shared.predictions)[:MOST_GROUPS]
    images = [
        {
            "index": int(shared.index[position]),
            "target": label_name(shared.target[position].item(), names),
            "picture": picture,
            "predictions": [_told(shared, group, position, names) for group in groups],
        }
        for position, picture in pictures.items()
    ]
    known = [
        {
            "right": pair.right,
            "wrong": pair.wrong,
            "total": pair.total,
            "images": [order[position] for position in pair.positions if position in order],
        }
        for pair in pairs
    ]
    return {"groups": groups, "images": images, "pairs": known}


def _told(shared: SharedTest, group: int, position: int, names: tuple[str, ...] | None) -> list[dict[str, Any]]:
    """Return what a group's networks say of an image, the most frequent first."""
    told = Counter(prediction[position].item() for prediction in shared.predictions[group].values())
    right = shared.target[position].item()
    return [
        {"name": label_name(label, names), "seeds": count, "right": label == right}
        for label, count in told.most_common()
    ]
