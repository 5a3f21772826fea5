"""Where in an image a network sees a class: Grad-CAM of right and of wrong predictions."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from matplotlib import colormaps
from msgspec import Meta
from torch import Tensor
from torch.nn import functional as F

from evaluation.choosing import draw, pick
from evaluation.feature_maps import last_map_and_gradient
from evaluation.findings import Findings, NotApplicable, Picture
from evaluation.picture_grids import Cell, plot_grid, to_picture
from evaluation.subject import Subject
from losses.base import ClassificationLoss
from utils.types import REJECTED, Batch

SHADE = 0.5


def grad_cam(subject: Subject, *, images: Annotated[int, Meta(ge=1, le=40)] = 6, seed: int = 0) -> Findings:
    """Draw where the last feature map speaks for the predicted class and, where that is wrong, for the true one.

    Args:
        images: how many right and as many wrong predictions, drawn by the seed, 1 to 40.
        seed: of the images.

    Raises: NotApplicable for a network whose last features have no places, or whose scores do not depend on them.
    """
    answers, found = subject.answers, Findings("grad_cam")
    right = answers.right.numpy()
    chosen = {
        "right": np.flatnonzero(right),
        "wrong": np.flatnonzero(~right & (answers.prediction.numpy() != REJECTED)),
    }
    empty = shown = 0
    grid: tuple[int, ...] = ()
    for name, places in chosen.items():
        if not len(places):
            found.notes.append(f"no {name} predictions")
            continue
        stream = pick(subject.part.stream, places[draw(len(places), images, seed, "grad_cam", name)])
        rows = []
        for batch in subject.batches(stream, f"Grad-CAM of {name} images"):
            explained, grid = _explain(subject, batch, name == "wrong")
            for cells, blank in explained:
                rows.append(cells)
                empty, shown = empty + blank, shown + len(cells) - 1
        path = subject.output / f"grad_cam_{name}.png"
        plot_grid(rows, path)
        found.pictures.append(Picture(path, f"Grad-CAM of {name} predictions"))
    found.add("maps", shown)
    found.add("empty_maps", empty)
    found.notes += _remarks(subject, empty, grid)
    return found


def _explain(subject: Subject, batch: Batch, wrong: bool) -> tuple[list[tuple[list[Cell], int]], tuple[int, ...]]:
    """Return a row of pictures for each image with the number of its empty maps, and the feature map's size."""
    image, loss = batch.image[:, 0], subject.classifier.loss
    target: Tensor = batch.target  # type: ignore
    with torch.no_grad():
        predicted = loss.predict(subject.classifier(image).scores)
    titles = {"predicted": predicted, "true": target} if wrong else {"true and predicted": predicted}
    maps, grid = {}, ()
    for name, label in titles.items():
        features, gradient = last_map_and_gradient(
            subject.classifier, image, lambda scores, label=label: evidence(loss, scores, label)
        )
        if not gradient.any():
            raise NotApplicable("the scores do not depend on the last feature map by any gradient")
        grid = tuple(features.shape[2:])
        maps[name] = enlarge(class_activation(features, gradient), image.shape[-2:])
    pixels = subject.part.stream.preprocessing.denormalize(image).clamp(0, 1)
    rows = []
    for place in range(len(image)):
        cells = [Cell(to_picture(pixels[place]), ("image", f"row {int(batch.index[place])}"))]
        for name, label in titles.items():
            words = (name, subject.classes[int(label[place])])
            cells.append(Cell(overlay(pixels[place], maps[name][place]), words))
        rows.append((cells, sum(int(not each[place].any()) for each in maps.values())))
    return rows, grid


def class_activation(features: Tensor, gradient: Tensor) -> Tensor:
    """Return Grad-CAM's map of a class.

        alpha_k = (1/Z) sum_ij dy/dA^k_ij                                                                   (eq. 1)
        L = ReLU(sum_k alpha_k A^k)                                                                         (eq. 2)

    Shapes: features A, gradient dy/dA [B, D, h, w] -> [B, h, w].
    Source: Selvaraju et al. 2017, arXiv:1610.02391.
    """
    alpha = gradient.mean(dim=(2, 3), keepdim=True)
    return (alpha * features).sum(dim=1).relu()


def evidence(loss: ClassificationLoss, scores: Tensor, label: Tensor) -> Tensor:
    """Return y, what speaks for a class: its score where the highest wins, as in the paper, else its log odds.

    The log odds are log p(label) - log(sum of the other p), by the loss's own probabilities. log p(label) alone has no
    gradient where p is 1 in float32, as it mostly is for one-sided margins.

    Shapes: scores of B images, label [B] -> [B].
    """
    if scores_are_evidence(loss, scores):
        return scores.gather(1, label[:, None]).squeeze(1)
    log_probabilities = loss.log_probabilities(scores)  # [B, K]
    own = log_probabilities.gather(1, label[:, None]).squeeze(1)
    others = log_probabilities.scatter(1, label[:, None], -torch.inf)
    return own - others.logsumexp(dim=1)


def scores_are_evidence(loss: ClassificationLoss, scores: Tensor) -> bool:
    """Tell whether there is a score for each class and the highest one's is predicted."""
    one_hot = torch.eye(scores.shape[1], device=scores.device)
    with torch.no_grad():
        prediction = loss.predict(one_hot)
    return scores.shape[1] > 1 and torch.equal(prediction, torch.arange(len(one_hot), device=scores.device))


def enlarge(maps: Tensor, size: torch.Size) -> Tensor:
    """Resize bilinearly and scale to a maximum of 1; a map of zeros stays. Shapes: [B, h, w] -> [B, H, W]."""
    large = F.interpolate(maps[:, None], size=tuple(size), mode="bilinear", align_corners=False).squeeze(1)
    highest = large.amax(dim=(1, 2), keepdim=True)
    return large / torch.where(highest > 0, highest, 1)


def overlay(image: Tensor, heat: Tensor) -> np.ndarray:
    """Lay a map over an image in gray. Shapes: image [C, H, W], heat [H, W], both on 0 to 1 -> uint8 [H, W, 3]."""
    gray = image.mean(dim=0).cpu().numpy()[..., None]
    colours = colormaps["turbo"](heat.cpu().numpy())[..., :3]
    return np.round(255 * ((1 - SHADE) * gray + SHADE * colours)).astype(np.uint8)


def _remarks(subject: Subject, empty: int, grid: tuple[int, ...]) -> list[str]:
    loss = subject.classifier.loss
    notes = [
        f"the last feature map has {' x '.join(map(str, grid))} places: finer detail in the pictures means nothing"
    ]
    if not scores_are_evidence(loss, subject.answers.scores):
        notes.append("the highest score is not the likeliest class: gradients are those of the class's log odds")
    if empty:
        notes.append(f"empty maps: {empty}; there the last feature map nowhere speaks for the class")
    return notes
