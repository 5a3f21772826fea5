"""Test-time augmentation: the gain from averaging the probabilities of several views of an image."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation import Positive
from evaluation.ensembles import Ensemble
from evaluation.findings import Findings
from evaluation.images import augmented_stream
from evaluation.subject import Subject
from utils.types import ConfigError

ON_REQUEST = True
NUMBERS = {
    "accuracy": ("share", "higher", "of the images alone"),
    "nll": ("number", "lower", "mean of -log p(label) of the images alone, in nats"),
    "*_accuracy": ("share", "higher", "with views of that kind, probabilities averaged"),
    "*_nll": ("number", "lower", "nll with views of that kind"),
    "*_gain": ("gain", "higher", "accuracy with views of that kind less that of the images alone"),
}
KEY = "evaluate_params.test_time_augmentation"
DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
"""Down and right; `views` takes the first of them."""


def averaged_views(
    subject: Subject,
    *,
    kinds: list[Literal["flips", "shifts", "training"]] | None = None,
    views: Positive = 4,
    shift: Positive | None = None,
) -> Findings:
    """Average the probabilities of an image and of further views of it.

    Args:
        kinds: flips, the image mirrored left to right; shifts, it moved by `shift` pixels, its border repeated;
            training, it augmented as in training. null: flips.
        views: number of shifts, at most 8, or of augmented images.
        shift: in pixels; null: an eighth of the image's shorter side.

    Returns: of several kinds also together_accuracy and so on, of all views.
    Raises: NotApplicable for training if the run trains without augmentation; ConfigError for numbers out of range.
    """
    chosen = list(dict.fromkeys(kinds if kinds is not None else ["flips"]))
    side = min(subject.data.image_size)
    pixels = max(1, round(side / 8)) if shift is None else shift
    _check(chosen, views, pixels, side)
    answers, findings, everything = subject.answers, Findings("test_time_augmentation"), Ensemble()
    everything.add(answers.prediction, answers.log_probabilities)
    findings.add_share("accuracy", alone := everything.accuracy(answers.target), len(answers.target))
    findings.add("nll", everything.nll(answers.target))
    groups: dict[str, Ensemble] = {}
    for kind in chosen:
        group = _further_views(subject, kind, views, pixels)
        everything.join(group)
        group.add(answers.prediction, answers.log_probabilities)
        groups[kind] = group
    for name, group in (groups | ({"together": everything} if len(groups) > 1 else {})).items():
        findings.add_share(f"{name}_accuracy", accuracy := group.accuracy(answers.target), len(answers.target))
        findings.add(f"{name}_nll", group.nll(answers.target))
        findings.add(f"{name}_gain", accuracy - alone)
    return findings


def shifted(images: Tensor, pixels: int, views: int) -> Tensor:
    """Return images moved in the first `views` of 8 directions, their border repeated.

    Shapes: [B, C, H, W] -> [B, V, C, H, W].
    """
    height, width = images.shape[-2:]
    padded = F.pad(images, (pixels,) * 4, mode="replicate")
    corners = [(pixels - down * pixels, pixels - right * pixels) for down, right in DIRECTIONS[:views]]
    return torch.stack([padded[..., top : top + height, left : left + width] for top, left in corners], dim=1)


def _check(kinds: list, views: int, pixels: int, side: int) -> None:
    mistakes = []
    if not kinds:
        mistakes.append(f"{KEY}.kinds: must hold flips, shifts or training, got nothing")
    if "shifts" in kinds and views > len(DIRECTIONS):
        mistakes.append(f"{KEY}.views: must be <= {len(DIRECTIONS)} with shifts, got {views}")
    if pixels >= side:
        mistakes.append(f"{KEY}.shift: must be less than the image's {side} pixels, got {pixels}")
    if mistakes:
        raise ConfigError("\n".join(mistakes))


@torch.no_grad()
def _further_views(subject: Subject, kind: str, views: int, pixels: int) -> Ensemble:
    """Return the ensemble of the views of one kind, without the images themselves."""
    stream = augmented_stream(subject, views) if kind == "training" else subject.part.stream
    parts = []
    for batch in subject.batches(stream, f"{kind} of {subject.part.name} images"):
        images = batch.image
        if kind == "flips":
            images = images.flip(-1)
        elif kind == "shifts":
            images = shifted(images[:, 0], pixels, views)
        part = Ensemble()
        for prediction, log_p in subject.judge_views(images):
            part.add(prediction.cpu(), log_p.cpu())
        parts.append(part)
    return Ensemble.concatenate(parts)
