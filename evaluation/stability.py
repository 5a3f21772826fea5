"""How much predictions change where only the augmentation does."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor

from datasets.stream.image_stream import ImageStream
from evaluation.findings import Findings, Picture
from evaluation.plots import plot_histograms
from evaluation.ranges import Number, Positive
from evaluation.subject import Subject
from evaluation.views import augmented_stream, judge_views
from runs.figures import plot_augmentations
from utils.types import REJECTED

KEY = "evaluate_params.stability"
MOST_VIEWS_SHOWN = 5


def stability(
    subject: Subject,
    *,
    views: Annotated[int, Meta(ge=2)] = 8,
    images: Positive = 500,
    shown: Number = 6,
    augmentations: dict[str, Any] | None = None,
) -> Findings:
    """Augment images of the part as in training, and compare what the network tells of the views.

        changed_i = share of the views v of image i that are predicted otherwise than the image itself
        total_variation_i = 1/V sum_v 1/2 sum_k |p_vk - mean_k|        mean = 1/V sum_v p_v, 0 to 1 - 1/V
        divergence_i = 1/V sum_v KL(p_v || mean), 0 to log V, in nats        (Jensen and Shannon's)

    Args:
        views: V, >= 2.
        images: how many are looked at, drawn once and for all, so that all runs on the same part see the same.
        shown: how many of the least stable are listed and shown.
        augmentations: a chain in the manner of image_augmentations, instead of the run's own.

    Returns: the means over the images: changed, total_variation, divergence; steady, the share of the images with no
        view changed; accuracy of the images and accuracy_of_views.
    Raises: NotApplicable if the run trains without augmentation and no chain is given; ConfigError for numbers out of
        range or a wrong chain.
    Source: the question is that of preprints 202506.1208, Fig. 3; its measure is not stated.
    """
    positions = np.sort(np.random.default_rng(0).permutation(len(subject.part))[:images])
    stream = augmented_stream(subject, views, positions, augmentations, f"{KEY}.augmentations")
    answers = subject.answers
    itself, target = answers.prediction[positions], answers.target[positions]
    predictions, variation, divergence = _ask(subject, stream)
    other = predictions != itself[:, None]  # [N, V]
    changed = other.double().mean(dim=1)
    found = Findings("stability")
    found.add("images", len(positions))
    found.add("changed", float(changed.mean()))
    found.add("steady", float((changed == 0).double().mean()))
    found.add("total_variation", float(variation.mean()))
    found.add("divergence", float(divergence.mean()))
    found.add_share("accuracy", float((itself == target).double().mean()), len(positions))
    found.add("accuracy_of_views", float((predictions == target[:, None]).double().mean()))
    path = subject.output / "stability.png"
    panels = {
        f"of {views} views, predicted otherwise": (other.sum(dim=1).numpy(), np.arange(views + 2) - 0.5),
        "total variation": (variation.numpy(), np.linspace(0, 1, 21)),
    }
    plot_histograms(panels, path)
    found.pictures.append(Picture(path, f"Images by how much {views} augmented views of each differ"))
    order = np.lexsort((-variation.numpy(), -changed.numpy()))[:shown]
    _show_least_stable(subject, stream, order[changed.numpy()[order] > 0], itself, predictions, found)
    found.details = {
        "index": answers.index[positions].tolist(),
        "changed": changed.tolist(),
        "total_variation": variation.tolist(),
    }
    return found


def _ask(subject: Subject, stream: ImageStream) -> tuple[Tensor, Tensor, Tensor]:
    """Return predictions [N, V], total variation [N] and divergence [N] of a stream of views."""
    columns = []
    with torch.no_grad():
        for batch in subject.batches(stream, f"augmented {subject.part.name} images"):
            predictions, log_p = zip(*judge_views(subject, batch), strict=True)
            columns.append((torch.stack(predictions, dim=1).cpu(), *spread(torch.stack(log_p, dim=1).cpu().double())))
    predictions, variation, divergence = map(torch.cat, zip(*columns, strict=True))
    return predictions, variation, divergence


def spread(log_probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Return total variation and divergence, as `stability` says. Shapes: [N, V, K] float64 -> [N], [N]."""
    p = log_probabilities.exp()
    mean = p.mean(dim=1)
    variation = (p - mean[:, None]).abs().sum(dim=2).mean(dim=1) / 2
    divergence = torch.special.entr(mean).sum(dim=1) - torch.special.entr(p).sum(dim=2).mean(dim=1)
    return variation, divergence.clamp(min=0)  # rounding


def _show_least_stable(
    subject: Subject, stream: ImageStream, order: np.ndarray, itself: Tensor, predictions: Tensor, found: Findings
) -> None:
    if not len(order):
        return
    names = {REJECTED: "rejected"} | dict(enumerate(subject.classes))
    views = predictions.shape[1]
    rows, labels = [], []
    for position in order.tolist():
        row = int(stream.rows[position])
        told, true = int(itself[position]), names[int(stream.table.labels[row])]
        others = [names[each] for each in predictions[position].tolist() if each != told]
        most = max(others, key=others.count)
        rows.append((stream.table.name(row), true, names[told], f"{len(others)} of {views}", most))
        labels.append(f"{len(others)} of {views}: {true}")  # a long name is cut
    header = ("image", "true class", "told as", "views told otherwise", "mostly as")
    found.add_table("Least stable", header, rows)
    preprocessing = stream.preprocessing
    batch = stream.finish(stream.__getitems__(order.tolist()))
    pictures = preprocessing.denormalize(batch.image[:, :MOST_VIEWS_SHOWN])
    originals = [preprocessing.load(stream.table, int(stream.rows[position])) for position in order]
    path = subject.output / "stability_images.png"
    plot_augmentations(originals, [[*each] for each in pictures], labels, path)
    found.pictures.append(Picture(path, "The least stable images: views told otherwise, and the true class"))
