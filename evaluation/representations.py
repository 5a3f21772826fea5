"""Geometry of the features: distances within and between classes, and plots in two dimensions."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.patheffects import withStroke
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from datasets.readers.files import at_work
from evaluation import Positive, PositiveFloat
from evaluation.findings import Findings, NotApplicable, percent
from evaluation.images import sample_of_each_class
from evaluation.subject import Subject
from runs.figures import AS_IT_IS, font_families, new_figure, write_figure
from utils.seeding import derive_seed
from utils.types import ConfigError, shorten

NUMBERS = {
    "images": ("count", "", "number of images"),
    "intra_class_distance": (
        "number",
        "",
        "distance of features from their class mean, in the features' unit, which depends on the loss",
        "mean over classes of the mean over their images of |f - m_c|",
    ),
    "inter_class_distance": (
        "number",
        "",
        "distance between two class means, in the same unit",
        "mean over pairs of classes of |m_a - m_b|",
    ),
    "distance_ratio": ("number", "lower", "width of classes relative to their distance; no unit", "intra / inter"),
    "pca_variance": ("share", "", "share of the features' variance in the PCA plot"),
}
FEW = 20  # classes that colours alone distinguish
KEY_UP_TO = 240  # classes in the key
KEY_ROWS = 40
NAME = 26  # characters
GOLDEN = (math.sqrt(5) - 1) / 2


def representations(
    subject: Subject,
    *,
    images_per_class: Positive | None = 100,
    tsne: bool = False,
    perplexity: PositiveFloat = 30.0,
    seed: int = 0,
) -> Findings:
    """Measure and plot the features, the last layer's input.

    Args:
        images_per_class: size of the sample of each class; null for all images.
        tsne: plot t-SNE as well; minutes for several thousand images.
        perplexity: t-SNE's number of neighbours, > 0 and less than the number of images.
        seed: of the sample and of t-SNE.
    """
    answers = subject.answers
    labels = answers.target.numpy()
    chosen = sample_of_each_class(labels, images_per_class, seed, "representations")
    features, labels = answers.features.numpy()[chosen].astype(np.float64), labels[chosen]
    if tsne and perplexity >= len(chosen):
        key = "evaluate_params.representations.perplexity"
        raise ConfigError(f"{key}: must be less than the {len(chosen)} images, got {perplexity}")
    if len(np.unique(labels)) < 2:
        raise NotApplicable("the images are of one class")
    findings = Findings("representations")
    findings.add("images", len(chosen))
    intra, inter = distances(features, labels)
    findings.add("intra_class_distance", intra)
    findings.add("inter_class_distance", inter)
    if inter > 0:
        findings.add("distance_ratio", intra / inter)
    else:
        findings.notes.append("all classes have the same mean: the features carry no information")
    pca = PCA(n_components=min(2, *features.shape), random_state=0).fit(features)
    variance = float(np.nan_to_num(pca.explained_variance_ratio_).sum())
    findings.add("pca_variance", variance)
    planes = {"pca": (pca.transform(features), f"PCA: two directions with {percent(variance)} of the variance")}
    if tsne:
        caption = f"t-SNE, perplexity {perplexity:g}: neighbourhoods are meaningful, distances between groups are not"
        planes["tsne"] = (embed(features, perplexity, seed), caption)
    for name, (points, caption) in planes.items():
        path = subject.output / f"features_{name}.png"
        plot_points(points, labels, subject.classes, path)
        findings.add_figure(path, caption)
    return findings


def distances(features: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return the Euclidean distances within and between classes, by the formulas of `NUMBERS`.

    Their ratio does not change when all features are scaled, so it compares losses.

    Shapes: features [N, D], labels [N].
    Source: Fisher 1936, "The use of multiple measurements in taxonomic problems", compares within and between classes
        by squares; these are the distances themselves, in the features' unit.
    """
    groups = [features[labels == label] for label in np.unique(labels)]
    means = np.stack([group.mean(axis=0) for group in groups])
    within = [np.linalg.norm(group - mean, axis=1).mean() for group, mean in zip(groups, means, strict=True)]
    between = [np.linalg.norm(means[number + 1 :] - mean, axis=1) for number, mean in enumerate(means[:-1])]
    return float(np.mean(within)), float(np.concatenate(between).mean())


def embed(features: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """Return t-SNE's plane of standardised features. Shapes: [N, D] -> [N, 2].

    Source: van der Maaten & Hinton 2008, JMLR 9:2579; scikit-learn's, initialised with PCA.
    """
    std = features.std()
    scaled = (features - features.mean(axis=0)) / (std if std > 0 else 1.0)
    state = derive_seed(seed, "tsne") % 2**32
    with at_work(f"t-SNE of {len(features):,} images"):
        return TSNE(perplexity=perplexity, init="pca", random_state=state).fit_transform(scaled.astype(np.float32))


def plot_points(points: np.ndarray, labels: np.ndarray, classes: Sequence[str], path: str | os.PathLike[str]) -> None:
    """Draw each image as a point in its class's colour, and each class's number on one of its central points.

    Args:
        points: [N, 1 or 2]. labels: [N]. classes: K names.
        path: file to write.
    """
    points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    occurring = np.unique(labels)
    columns = math.ceil(len(occurring) / KEY_ROWS) if len(occurring) <= KEY_UP_TO else 0
    figure = new_figure(8 + 2.1 * columns, 7.5)
    grid = figure.add_gridspec(1, 2, width_ratios=[8, max(2.1 * columns, 0.01)], wspace=0.02)
    axes, key = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    colours = class_colours(len(classes))
    size = 14 if len(points) <= 2000 else 8
    order = np.random.default_rng(0).permutation(len(points))  # so that no class covers another
    axes.scatter(*points[order].T, c=colours[labels[order]], s=size, linewidths=0, alpha=0.65, rasterized=True)
    outline = [withStroke(linewidth=2.2, foreground="white")]
    font: dict[str, Any] = {"va": "center", "family": font_families(), **AS_IT_IS}
    few = len(occurring) <= FEW
    for label in occurring.tolist():
        own = points[labels == label]
        x, y = own[np.linalg.norm(own - np.median(own, axis=0), axis=1).argmin()]  # where there are points
        text = str(classes[label]) if few and len(str(classes[label])) <= 12 else str(label)
        axes.text(x, y, text, ha="center", fontsize=10 if few else 6.5, path_effects=outline, **font)
    axes.set_xticks([])
    axes.set_yticks([])
    key.axis("off")
    key.set(xlim=(0, max(columns, 1)), ylim=(KEY_ROWS, -1))
    for number, label in enumerate(occurring.tolist() if columns else []):
        column, row = divmod(number, KEY_ROWS)
        key.plot(column + 0.03, row, "o", color=colours[label], markersize=5, clip_on=False)
        key.text(column + 0.08, row, shorten(f"{label}  {classes[label]}", NAME), fontsize=7, **font)
    write_figure(figure, path)


def class_colours(number: int) -> np.ndarray:
    """Return a colour for each class, neighbouring classes far apart. Shapes: -> [K, 4]."""
    if number <= FEW:
        return colormaps["tab10" if number <= 10 else "tab20"](np.arange(number))
    return colormaps["gist_rainbow"](np.arange(number) * GOLDEN % 1)
