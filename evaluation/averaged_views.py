"""Test-time augmentation: what is gained when a network sees several views of an image before it tells its class."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation.findings import Findings
from evaluation.ranges import Positive
from evaluation.subject import Subject
from evaluation.together import Together
from evaluation.views import augmented_stream, judge_views
from utils.types import Batch, ConfigError

KEY = "evaluate_params.test_time_augmentation"
DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
"""Down and right, in the order in which `views` of them are taken."""


def averaged_views(
    subject: Subject,
    *,
    kinds: list[Literal["flips", "shifts", "training"]] | None = None,
    views: Positive = 4,
    shift: Positive | None = None,
) -> Findings:
    """Average the probabilities of an image and of further views of it, as `Together` says.

    Args:
        kinds: flips, the image mirrored left to right; shifts, it moved by `shift` pixels, its border repeated;
            training, it augmented as in training. null: flips.
        views: how many shifts, at most 8, or augmented images.
        shift: in pixels; null: an eighth of the image's shorter side.

    Returns: accuracy and nll of the images alone; for each kind KIND_accuracy, KIND_nll and KIND_gain with the views;
        for several kinds also together_accuracy and so on, of all views.
    Raises: NotApplicable for training where the run trains without augmentation; ConfigError for numbers out of range.
    """
    chosen = list(dict.fromkeys(kinds if kinds is not None else ["flips"]))
    side = min(subject.data.image_size)
    pixels = max(1, round(side / 8)) if shift is None else shift
    _check(chosen, views, pixels, side)
    answers, found, everything = subject.answers, Findings("test_time_augmentation"), Together()
    everything.add(answers.prediction, answers.log_probabilities)
    found.add_share("accuracy", alone := everything.accuracy(answers.target), len(answers.target))
    found.add("nll", everything.nll(answers.target))
    groups: dict[str, Together] = {}
    for kind in chosen:
        seen = _see(subject, kind, views, pixels)
        everything.join(seen)
        seen.add(answers.prediction, answers.log_probabilities)
        groups[kind] = seen
    for name, group in (groups | ({"together": everything} if len(groups) > 1 else {})).items():
        found.add_share(f"{name}_accuracy", accuracy := group.accuracy(answers.target), len(answers.target))
        found.add(f"{name}_nll", group.nll(answers.target))
        found.add(f"{name}_gain", accuracy - alone)
    return found


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


def _see(subject: Subject, kind: str, views: int, pixels: int) -> Together:
    """Return what the network says of the views of one kind, the images themselves left out."""
    stream = augmented_stream(subject, views) if kind == "training" else subject.part.stream
    parts = []
    with torch.no_grad():
        for batch in subject.batches(stream, f"{kind} of {subject.part.name} images"):
            part = Together()
            for prediction, log_p in judge_views(subject, _views(batch, kind, views, pixels)):
                part.add(prediction.cpu(), log_p.cpu())
            parts.append(part)
    return Together.of_all_images(parts)


def _views(batch: Batch, kind: str, views: int, pixels: int) -> Batch:
    if kind == "flips":
        return batch._replace(image=batch.image.flip(-1))
    return batch if kind == "training" else batch._replace(image=shifted(batch.image[:, 0], pixels, views))
