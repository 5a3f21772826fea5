"""Stability: how much predictions change under augmentation."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.ticker import MaxNLocator
from msgspec import Meta
from torch import Tensor

from datasets.stream.image_stream import ImageStream
from evaluation import NonNegative, Positive
from evaluation.findings import Findings
from evaluation.images import augmented_stream
from evaluation.subject import Subject
from losses.contract import REJECTED
from runs.figures import TRAIN, VALID, new_figure, plot_augmentations, style_axes, write_figure

NUMBERS = {
    "images": ("count", "", "number of images"),
    "changed": (
        "share",
        "lower",
        "share of an image's augmented views whose prediction differs from the image's own, mean over images",
    ),
    "steady": ("share", "higher", "share of images whose prediction no view changes"),
    "total_variation": (
        "number",
        "lower",
        "distance of the views' probabilities from their mean, 0 to 1 - 1/V for V views",
        "1/V sum_v 1/2 sum_k |p_vk - mean_k|, mean = 1/V sum_v p_v",
    ),
    "divergence": (
        "number",
        "lower",
        "Jensen-Shannon divergence of the views' probabilities, 0 (all equal) to log V nats",
        "1/V sum_v KL(p_v || mean)",
    ),
    "accuracy": ("share", "higher", "accuracy on these images"),
    "accuracy_of_views": ("share", "higher", "accuracy on their augmented views"),
}
MOST_VIEWS_SHOWN = 5


def stability(
    subject: Subject,
    *,
    views: Annotated[int, Meta(ge=2)] = 8,
    images: Positive = 500,
    shown: NonNegative = 6,
    augmentations: dict[str, Any] | None = None,
) -> Findings:
    """Compare the predictions for augmented views of each image, by the formulas of `NUMBERS`.

    Args:
        views: V, >= 2.
        images: size of the sample, which is the same for all runs on the same part.
        shown: number of the least stable images to list and show.
        augmentations: transforms instead of the run's own, in the form of image_augmentations.

    Raises: NotApplicable if the run trains without augmentation and no transforms are given; ConfigError for wrong
        transforms.
    Source: the question is that of preprints 202506.1208, Fig. 3, which does not state its measure.
    """
    positions = np.sort(np.random.default_rng(0).permutation(len(subject.part))[:images])
    stream = augmented_stream(subject, views, positions, augmentations, "evaluate_params.stability.augmentations")
    answers = subject.answers
    own, target = answers.prediction[positions], answers.target[positions]
    columns = []
    with torch.no_grad():
        for batch in subject.batches(stream, f"augmented {subject.part.name} images"):
            predicted, log_p = zip(*subject.judge_views(batch.image), strict=True)
            columns.append((torch.stack(predicted, dim=1).cpu(), *spread(torch.stack(log_p, dim=1).cpu().double())))
    predictions, variation, divergence = map(torch.cat, zip(*columns, strict=True))  # [N, V], [N], [N]
    differs = predictions != own[:, None]
    changed = differs.double().mean(dim=1)
    findings = Findings("stability")
    findings.add("images", len(positions))
    findings.add("changed", changed.mean())
    findings.add("steady", (changed == 0).double().mean())
    findings.add("total_variation", variation.mean())
    findings.add("divergence", divergence.mean())
    findings.add_share("accuracy", float((own == target).double().mean()), len(positions))
    findings.add("accuracy_of_views", (predictions == target[:, None]).double().mean())
    panels = {
        f"of {views} views, prediction changed": (differs.sum(dim=1).numpy(), np.arange(views + 2) - 0.5),
        "total variation": (variation.numpy(), np.linspace(0, 1, 21)),
    }
    path = subject.output / "stability.png"
    _plot_histograms(panels, path)
    findings.add_figure(path, f"How much {views} augmented views of an image differ: number of images")
    order = np.lexsort((-variation.numpy(), -changed.numpy()))[:shown]
    _add_least_stable(subject, stream, order[changed.numpy()[order] > 0], own, predictions, findings)
    findings.details = {
        "index": answers.index[positions].tolist(),
        "changed": changed.tolist(),
        "total_variation": variation.tolist(),
    }
    return findings


def spread(log_probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Return total variation and divergence of each image's views. Shapes: [N, V, K] float64 -> [N], [N]."""
    p = log_probabilities.exp()
    mean = p.mean(dim=1)
    variation = (p - mean[:, None]).abs().sum(dim=2).mean(dim=1) / 2
    divergence = torch.special.entr(mean).sum(dim=1) - torch.special.entr(p).sum(dim=2).mean(dim=1)
    return variation, divergence.clamp(min=0)  # rounding


def _add_least_stable(
    subject: Subject, stream: ImageStream, order: np.ndarray, own: Tensor, predictions: Tensor, findings: Findings
) -> None:
    if not len(order):
        return
    names = {REJECTED: "rejected"} | dict(enumerate(subject.classes))
    views = predictions.shape[1]
    rows, labels = [], []
    for position in order.tolist():
        row = int(stream.rows[position])
        predicted, label = int(own[position]), names[int(stream.table.labels[row])]
        others = [names[other] for other in predictions[position].tolist() if other != predicted]
        most = max(others, key=others.count)
        rows.append((stream.table.name(row), label, names[predicted], f"{len(others)} of {views}", most))
        labels.append(f"{len(others)} of {views}: {label}")  # a long name is cut
    header = ("image", "true class", "predicted", "views changed", "mostly to")
    findings.add_table("Least stable", header, rows)
    preprocessing = stream.preprocessing
    batch = stream.finish(stream.__getitems__(order.tolist()))
    shown = preprocessing.denormalize(batch.image[:, :MOST_VIEWS_SHOWN])
    originals = [preprocessing.load(stream.table, int(stream.rows[position])) for position in order]
    path = subject.output / "stability_images.png"
    plot_augmentations(originals, [[*image] for image in shown], labels, path)
    findings.add_figure(path, "The least stable images: views whose prediction changed, and the true class")


def _plot_histograms(panels: dict[str, tuple[np.ndarray, np.ndarray]], path: Any) -> None:
    """Draw the number of images on a logarithmic axis; a column for each title -> values and edges of the bars."""
    figure = new_figure(4.2 * len(panels), 3.2)
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, (values, edges)) in zip(all_axes, panels.items(), strict=True):
        axes.hist(values, bins=list(edges), color=TRAIN, edgecolor="white", log=True)
        mean = float(values.mean())
        axes.axvline(mean, color=VALID, linewidth=1.2, linestyle="--")
        axes.set_title(f"mean {mean:.3f}", fontsize=10, color=VALID)
        axes.set(xlabel=title, xlim=(edges[0], edges[-1]), ylim=(0.7, None))
        if np.issubdtype(values.dtype, np.integer):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        style_axes(axes)
    all_axes[0].set_ylabel("images")
    write_figure(figure, path)
