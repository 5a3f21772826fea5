"""Checks of an exported model against the run's own answers, before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from exporting.deployed import Decoded
from exporting.sample import Sample, right
from losses.base import ClassificationLoss
from losses.contract import REJECTED
from utils.types import TrainingError

PROBABILITY_TOLERANCE = 1e-4
SCORE_TOLERANCE = 1e-4
"""Times the loss's `score_scale`, or the largest of the scores."""
UNCHANGED = 0.98
"""Least share of answers that 8 bits leave as they are."""
SIZES = (1, 7)
"""Sizes of batches that must give the same."""
BATCH = 50
Model = Callable[[np.ndarray], Decoded]
"""Pixels, uint8 [N, C, h, w] -> answers."""


class CheckFailed(TrainingError):
    """An exported model that does not answer as the run does."""


def ask(model: Model, pixels: np.ndarray, size: int = BATCH) -> Decoded:
    """Return a model's answers, asked in batches."""
    rows = [model(pixels[start : start + size]) for start in range(0, len(pixels), size)]
    return Decoded(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def check_full(model: Model, sample: Sample, loss: ClassificationLoss, classes: tuple[str, ...], what: str) -> dict:
    """Hold a model in float32 against the run's answers for a sample.

    Returns: what was compared, for model.json.
    Raises: CheckFailed naming the worst image.
    """
    own, got = sample.answers, ask(model, sample.pixels)
    _refuse_nan(got, what)
    distance = _distance(own.probabilities, got.probabilities)
    score_distance = _distance(own.scores, got.scores)
    same = right(got.prediction, own.prediction)
    score_tolerance = SCORE_TOLERANCE * max(loss.score_scale, float(np.abs(own.scores).max()))
    near = score_distance <= score_tolerance
    ties = ~same & near & right(got.prediction, loss.predict(torch.from_numpy(got.scores)).numpy())
    if not (same | ties).all():
        wrong = np.flatnonzero(~(same | ties))
        worst = int(wrong[distance[wrong].argmax()])
        raise CheckFailed(
            f"{what}: {len(wrong):,} of {len(sample):,} answers differ from the run's; largest difference of "
            f"probabilities {distance[wrong].max():.2g} ({_pair(sample, own, got, worst, classes)})"
        )
    for value, tolerance, name in (
        (distance, PROBABILITY_TOLERANCE, "probabilities"),
        (score_distance, score_tolerance, "scores"),
    ):
        if value.max() > tolerance:
            worst = int(value.argmax())
            raise CheckFailed(
                f"{what}: {name} differ from the run's by {value.max():.2g}, more than {tolerance:g} "
                f"({_pair(sample, own, got, worst, classes)})"
            )
    check_batches(model, sample, what)
    return {
        "images": len(sample),
        "ties": int(ties.sum()),
        "largest_difference_of_probabilities": float(distance.max()),
        "largest_difference_of_scores": float(score_distance.max()),
        "accuracy": float(right(own.prediction, sample.target).mean()),
    }


def check_batches(model: Model, sample: Sample, what: str) -> None:
    """Raise CheckFailed if images alone get other answers than in a batch."""
    pixels = sample.pixels[: SIZES[1]]
    alone, together = (ask(model, pixels, size) for size in SIZES)
    if (gap := _distance(alone.probabilities, together.probabilities).max()) > PROBABILITY_TOLERANCE / 10:
        raise CheckFailed(f"{what}: probabilities of an image alone and in a batch of {SIZES[1]} differ by {gap:.2g}")
    if not right(alone.prediction, together.prediction).all():
        raise CheckFailed(f"{what}: answers for an image alone and in a batch of {SIZES[1]} differ")


def check_reduced(model: Model, sample: Sample, classes: tuple[str, ...], what: str, points: float) -> dict[str, Any]:
    """Hold a model of 8 bits against the run's answers: accuracy and the share of answers that are unchanged.

    Args: points: of accuracy, of 100, that may be lost.
    Raises: CheckFailed with both numbers and the worst image.
    """
    own, got = sample.answers, ask(model, sample.pixels)
    _refuse_nan(got, what)
    same = right(got.prediction, own.prediction)
    before, after = (float(right(answers.prediction, sample.target).mean()) for answers in (own, got))
    distance = _distance(own.probabilities, got.probabilities)
    numbers = (
        f"accuracy {100 * before:.2f} -> {100 * after:.2f} %, {100 * same.mean():.1f} % of the answers unchanged, "
        f"on {len(sample):,} test images"
    )
    if before - after > points / 100 + 1e-9 or same.mean() < UNCHANGED:
        changed = np.flatnonzero(~same) if not same.all() else np.arange(len(sample))
        worst = int(changed[distance[changed].argmax()])
        raise CheckFailed(
            f"{what}: {numbers}; at most {points:g} points may be lost and {100 * UNCHANGED:g} % must be unchanged; "
            f"worst: {_pair(sample, own, got, worst, classes)}"
        )
    return {
        "images": len(sample),
        "accuracy": after,
        "accuracy_in_float32": before,
        "answers_unchanged": float(same.mean()),
        "largest_difference_of_probabilities": float(distance.max()),
    }


def in_words(checked: dict[str, Any]) -> str:
    """Return what a check found, as a line of the report."""
    images, distance = checked["images"], checked["largest_difference_of_probabilities"]
    if "answers_unchanged" in checked:
        before, after = (f"{100 * checked[name]:.2f}" for name in ("accuracy_in_float32", "accuracy"))
        return (
            f"{images:,} test images, 8 bits for {checked['int8']}: accuracy {before} -> {after} %, "
            f"{100 * checked['answers_unchanged']:.1f} % of the answers unchanged"
        )
    ties = f", {checked['ties']} of them ties" if checked["ties"] else ""
    return f"{images:,} test images: every answer is the run's own{ties}; probabilities within {distance:.1e}"


def _distance(own: np.ndarray, got: np.ndarray) -> np.ndarray:
    """Return each image's largest difference. Shapes: [N, ...] -> [N]."""
    return np.abs(own.astype(np.float64) - got).reshape(len(own), -1).max(axis=1)


def _refuse_nan(got: Decoded, what: str) -> None:
    if bad := int((~np.isfinite(got.probabilities)).reshape(len(got.probabilities), -1).any(axis=1).sum()):
        raise CheckFailed(f"{what}: probabilities of {bad:,} of {len(got.probabilities):,} images are not finite")


def _pair(sample: Sample, own: Decoded, got: Decoded, position: int, classes: tuple[str, ...]) -> str:
    """Return an image and both answers for it, such as "image 118: eight 0.61, exported three 0.58"."""

    def words(answers: Decoded) -> str:
        prediction = answers.prediction[position]
        if prediction.ndim:
            return repr("".join(classes[k] for k in prediction if k != REJECTED))
        if prediction == REJECTED:
            return "none of the classes"
        return f"{classes[int(prediction)]} {answers.probabilities[position][int(prediction)]:.2f}"

    return f"{sample.name(position)}: {words(own)}, exported {words(got)}"
