"""Grad-CAM: where in an image the network sees a class, for right and for wrong predictions.

Its formula stands here, two lines: captum's LayerGradCam gives the same maps of convolutions, but none of tokens, wrong
ones of channels-last maps, and needs a module whose output the last map is (docs/decisions/0013).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib import colormaps
from msgspec import Meta
from torch import Tensor
from torch.nn import functional as F

from evaluation.findings import Findings, NotApplicable
from evaluation.images import sample, select
from evaluation.subject import Subject
from losses.base import ClassificationLoss, full_float
from losses.contract import REJECTED, Batch
from models.classifier import Classifier
from runs.figures import Cell, plot_grid, to_uint8

NUMBERS = {
    "maps": ("count", "", "number of maps drawn"),
    "empty_maps": ("count", "", "maps that are 0 everywhere: no place of the last feature map supports the class"),
}
OPACITY = 0.5


def grad_cam(subject: Subject, *, images: Annotated[int, Meta(ge=1, le=40)] = 6, seed: int = 0) -> Findings:
    """Draw where the last feature map supports the predicted class and, where that is wrong, the true one.

    Args:
        images: number of right and of wrong predictions, 1 to 40.
        seed: of the sample.

    Raises: NotApplicable for a network whose last features have no places, or whose scores do not depend on them.
    """
    answers, findings = subject.answers, Findings("grad_cam")
    right = answers.right.numpy()
    groups = {
        "right": np.flatnonzero(right),
        "wrong": np.flatnonzero(~right & (answers.prediction.numpy() != REJECTED)),
    }
    maps, size = [], ()
    for name, positions in groups.items():
        if not len(positions):
            findings.notes.append(f"no {name} predictions")
            continue
        chosen = positions[sample(len(positions), images, seed, "grad_cam", name)]
        rows = []
        for batch in subject.batches(select(subject.part.stream, chosen), f"Grad-CAM of {name} images"):
            cells, heats, size = _explain(subject, batch, name == "wrong")
            rows += cells
            maps += heats
        path = subject.output / f"grad_cam_{name}.png"
        plot_grid(rows, path)
        findings.add_figure(path, f"Grad-CAM of {name} predictions")
    empty = sum(not heat.any() for heat in maps)
    findings.add("maps", len(maps))
    findings.add("empty_maps", empty)
    findings.notes.append(f"the last feature map has {' x '.join(map(str, size))} places: ignore finer detail")
    if not scores_are_evidence(subject.classifier.loss, answers.scores):
        findings.notes.append("the highest score is not the most likely class: gradients are of the class's log odds")
    if empty:
        findings.notes.append(f"empty maps: {empty}; no place of the last feature map supports the class")
    return findings


def _explain(subject: Subject, batch: Batch, wrong: bool) -> tuple[list[list[Cell]], list[Tensor], tuple[int, ...]]:
    """Return a row of cells for each image, all heat maps [H, W], and the size of the feature map."""
    image, loss = batch.image[:, 0], subject.classifier.loss
    target: Tensor = batch.target  # type: ignore
    with torch.no_grad():
        predicted = loss.predict(subject.classifier(image).scores)
    captions = {"predicted": predicted, "true": target} if wrong else {"true and predicted": predicted}
    heats, size = {}, ()
    for name, label in captions.items():
        features, gradient = last_map_and_gradient(
            subject.classifier, image, lambda scores, label=label: evidence(loss, scores, label)
        )
        if not gradient.any():
            raise NotApplicable("the scores do not depend on the last feature map by any gradient")
        size = tuple(features.shape[2:])
        heats[name] = enlarge(class_activation(features, gradient), image.shape[-2:])
    pixels = subject.part.stream.preprocessing.denormalize(image).clamp(0, 1)
    rows = []
    for number in range(len(image)):
        cells = [Cell(to_uint8(pixels[number]), ("image", f"row {int(batch.index[number])}"))]
        for name, label in captions.items():
            words = (name, subject.classes[int(label[number])])
            cells.append(Cell(overlay(pixels[number], heats[name][number]), words))
        rows.append(cells)
    return rows, [heat for of_label in heats.values() for heat in of_label], size


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
    """Return y, the evidence for a class: its score if the highest wins, as in the paper, else its log odds.

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
    return np.round(255 * ((1 - OPACITY) * gray + OPACITY * colours)).astype(np.uint8)


def last_map_and_gradient(
    classifier: Classifier, image: Tensor, value: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the last feature map and the gradient of a value of the scores to it, without autocast.

    Args:
        classifier: in eval mode.
        image: [B, C, H, W].
        value: scores -> a value of each image, [B].

    Shapes: -> two of [B, D, h, w].
    Raises: NotApplicable for networks without places in their features.
    """
    network: Any = classifier.network
    image = image.detach()
    with torch.enable_grad():
        if (layer := _before_class_attention(network)) is not None:
            outputs: list[Tensor] = []
            handle = layer.register_forward_hook(lambda module, args, output: outputs.append(output))
            try:
                scores = classifier(image).scores
            finally:
                handle.remove()
            features = outputs[-1]
        else:
            features = network.forward_features(image.to(next(network.parameters()).dtype))
            if not isinstance(features, Tensor):
                raise NotApplicable("the network's last features are not one tensor")
            features = features if features.requires_grad else features.requires_grad_()
            scores = full_float(classifier.head(network.forward_head(features, pre_logits=True)))
        (gradient,) = torch.autograd.grad(value(scores).sum(), features)
    to_map = layout(network, features, image)
    return to_map(full_float(features.detach())), to_map(full_float(gradient))


def _before_class_attention(network: Any) -> Any:
    """Return the input layer of the last attention, for a vision transformer whose class token alone is scored.

    After that attention no patch reaches the scores any more, and all gradients are 0.
    """
    blocks = getattr(network, "blocks", None)
    if getattr(network, "global_pool", None) != "token" or not blocks:
        return None
    return getattr(blocks[-1], "norm1", None)


def layout(network: Any, features: Tensor, image: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function from features in the network's own layout to a map [B, D, h, w].

    Raises: NotApplicable if the features have no places in the image.
    """
    if (to_map := getattr(network, "to_map", None)) is not None:
        return to_map
    if features.ndim == 4:
        channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"
        if math.prod(features.shape[1:3] if channels_last else features.shape[2:]) == 1:
            raise NotApplicable("the network's last feature map has a single place")
        return (lambda x: x.permute(0, 3, 1, 2)) if channels_last else (lambda x: x)
    if features.ndim == 3:
        prefix = getattr(network, "num_prefix_tokens", 0)
        tokens, size = features.shape[1] - prefix, image.shape[-2:]
        height, width = (round(math.sqrt(tokens * side / other)) for side, other in (size, size[::-1]))
        if tokens < 2 or height * width != tokens:
            raise NotApplicable(f"{tokens} tokens do not form a grid in the image's proportions")
        return lambda x: x[:, prefix:].transpose(1, 2).unflatten(2, (height, width))
    raise NotApplicable("the network's last features are a vector, without places in the image")
