"""Predictions of pixels and objects in image files: as guesses, as values, and drawn into the images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasets.base import ImageTable
from datasets.preprocessing import Preprocessing
from datasets.stream.dense_stream import drawn
from evaluation.subject import Subject
from metrics.detection import pasted
from runs.outcomes import Guess

LEAST_SCORE = 0.5
"""Of an object that is drawn and counted; files hold those below, too."""


@torch.no_grad()
def guess_parts(
    subject: Subject,
    preprocessing: Preprocessing,
    paths: Sequence[Path],
    images: Tensor,
    top: int,
    folder: Path | None,
) -> tuple[list[Guess], list[list[dict[str, Any]]]]:
    """Return what images show: the likeliest of their objects, or the classes that cover most of them; and all of it.

    Args:
        images: as the network sees them, [B, C, H, W].
        folder: where each image is written with its prediction drawn into it, as its file's name and a number; None
            for nowhere.

    Returns: guesses, and for each image a list of objects (class, score, box in its file's pixels) or shares.
    """
    with subject.precision.forward_context():
        reading = subject.classifier.look(subject.precision.convert_input(images))[2]  # type: ignore[operator]
    guesses, values = [], []
    for path, image, one in zip(paths, images, reading, strict=True):
        height, width = ImageTable([path], np.zeros(1, dtype=np.int64)).size(0)
        inside = preprocessing.fitted(height, width)
        shown = _objects(one, subject.classes) if isinstance(one, dict) else _shares(one, inside, subject.classes)
        picture = preprocessing.denormalize(image.float()).clamp(0, 1).mul(255).byte().cpu().expand(3, -1, -1)
        if isinstance(one, dict):
            kept = one["scores"].cpu() >= LEAST_SCORE
            boxes, labels = (one[name].cpu()[kept] for name in ("boxes", "labels"))
            masks = None
            if "masks" in one:
                masks = torch.from_numpy(pasted(one["masks"].cpu()[kept], boxes, *picture.shape[-2:]))
            names = [f"{each['class']} {each['score']:.2f}" for each in shown if each["score"] >= LEAST_SCORE]
            picture = drawn(picture, boxes=boxes, labels=labels, masks=masks, names=names)
            for each in shown:
                each["box"] = [round(side * width / inside[1], 2) for side in each["box"]]
        else:
            picture = drawn(picture, pixels=one.cpu())
        if folder is not None:
            _write(folder / f"{path.stem}-{len(list(folder.glob(f'{path.stem}-*.png')))}.png", picture, inside)
        best = [(each["class"], float(each["score" if "score" in each else "share"])) for each in shown][:top]
        seen = [name for name, value in best if isinstance(one, Tensor) or value >= LEAST_SCORE]
        guesses.append(Guess(seen[0] if seen else None, tuple(best) or ((subject.classes[0], 1.0),)))
        values.append(shown)
    return guesses, values


def _objects(one: dict[str, Tensor], classes: Sequence[str]) -> list[dict[str, Any]]:
    columns = (one["labels"].tolist(), one["scores"].tolist(), one["boxes"].tolist())
    return [
        {"class": classes[label], "score": round(score, 4), "box": box}
        for label, score, box in zip(*columns, strict=True)
    ]


def _shares(one: Tensor, inside: tuple[int, int], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the classes of an image's pixels, the largest first; those that are rejected are left out."""
    labels = one[: inside[0], : inside[1]].flatten()
    counts = torch.bincount(labels[labels >= 0], minlength=len(classes)).double() / max(1, len(labels))
    order = counts.argsort(descending=True, stable=True).tolist()
    return [{"class": classes[k], "share": round(float(counts[k]), 4)} for k in order if counts[k] > 0]


def _write(path: Path, picture: Tensor, inside: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (picture[:, : inside[0], : inside[1]] * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(path)
