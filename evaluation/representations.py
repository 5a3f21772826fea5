"""Where a network puts the images of each class: how tight classes lie, how far apart, and a picture of it."""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from datasets.readers.files import at_work
from evaluation.choosing import draw_of_each, require
from evaluation.findings import Findings, NotApplicable, Picture, percent
from evaluation.ranges import Positive, Size
from evaluation.representation_pictures import plot_points
from evaluation.subject import Subject
from utils.seeding import derive_seed


def representations(
    subject: Subject,
    *,
    images_per_class: Positive | None = 100,
    tsne: bool = False,
    perplexity: Size = 30.0,
    seed: int = 0,
) -> Findings:
    """Measure and draw the features, the last layer's input.

    Args:
        images_per_class: how many are taken of each class, drawn by the seed; null for all.
        tsne: draw t-SNE beside PCA; minutes for several thousand images.
        perplexity: t-SNE's number of neighbours, > 0 and less than the number of images.
        seed: of the images and of t-SNE.

    Returns: intra_class_distance, inter_class_distance, distance_ratio, as `distances` defines them; pca_variance, the
        share of the variance that the picture shows.
    """
    answers = subject.answers
    labels = answers.target.numpy()
    chosen = draw_of_each(labels, images_per_class, seed, "representations")
    features, labels = answers.features.numpy()[chosen].astype(np.float64), labels[chosen]
    if tsne:
        require("representations", "perplexity", perplexity < len(chosen), f"< {len(chosen)}, the images", perplexity)
    if len(np.unique(labels)) < 2:
        raise NotApplicable("the images are of one class")
    found = Findings("representations")
    found.add("images", len(chosen))
    intra, inter = distances(features, labels)
    found.add("intra_class_distance", intra)
    found.add("inter_class_distance", inter)
    if inter > 0:
        found.add("distance_ratio", intra / inter)
    else:
        found.notes.append("all classes have the same mean: the features tell nothing")
    pca = PCA(n_components=min(2, *features.shape), random_state=0).fit(features)
    variance = float(np.nan_to_num(pca.explained_variance_ratio_).sum())
    found.add("pca_variance", variance)
    planes = {"pca": (pca.transform(features), f"PCA: two directions with {percent(variance)} of the variance")}
    if tsne:
        told = f"t-SNE, perplexity {perplexity:g}: neighbours mean something, distances between groups do not"
        planes["tsne"] = (embed(features, perplexity, seed), told)
    for name, (points, caption) in planes.items():
        path = subject.output / f"features_{name}.png"
        plot_points(points, labels, subject.classes, path)
        found.pictures.append(Picture(path, caption))
    return found


def distances(features: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return how far images lie from their class's mean, and classes' means from each other.

        m_c = mean of f_i over the images of class c
        intra = mean over classes of mean over their images of |f_i - m_c|
        inter = mean over pairs of classes a < b of |m_a - m_b|

    Euclidean; the ratio intra / inter does not change when all features are scaled, so it compares losses.

    Shapes: features [N, D], labels [N].
    Source: Fisher 1936, "The use of multiple measurements in taxonomic problems", compares within and between classes
        by squares; these are the distances themselves, in the features' unit.
    """
    classes = np.unique(labels)
    means = np.stack([features[labels == label].mean(axis=0) for label in classes])
    spreads = [
        np.linalg.norm(features[labels == label] - mean, axis=1).mean()
        for label, mean in zip(classes, means, strict=True)
    ]
    apart = [np.linalg.norm(means[place + 1 :] - mean, axis=1) for place, mean in enumerate(means[:-1])]
    return float(np.mean(spreads)), float(np.concatenate(apart).mean())


def embed(features: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """Return t-SNE's plane of standardised features. Shapes: [N, D] -> [N, 2].

    Source: van der Maaten & Hinton 2008, JMLR 9:2579; scikit-learn's, begun at PCA's plane.
    """
    spread = features.std()
    scaled = (features - features.mean(axis=0)) / (spread if spread > 0 else 1.0)
    state = derive_seed(seed, "tsne") % 2**32
    with at_work(f"t-SNE of {len(features):,} images"):
        return TSNE(perplexity=perplexity, init="pca", random_state=state).fit_transform(scaled.astype(np.float32))
