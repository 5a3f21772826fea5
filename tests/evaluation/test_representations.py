"""Distances between and within classes against an explicit loop; the picture of many classes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from PIL import Image

from evaluation.images import sample, sample_of_each_class
from evaluation.representations import class_colours, distances, embed, plot_points, representations
from tests.evaluation.made_up_subject import make_subject
from utils.types import ConfigError


@pytest.fixture
def clusters() -> tuple[np.ndarray, np.ndarray]:
    """Three classes of 8, 5 and 3 points in 4 dimensions."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 2, 3], [8, 5, 3])
    return random.normal(size=(16, 4)) + 10 * labels[:, None], labels


def test_distances_are_those_of_an_explicit_loop(clusters):
    features, labels = clusters
    means = {label: features[labels == label].mean(axis=0) for label in set(labels.tolist())}
    within = []
    for label, mean in means.items():
        own = [math.dist(point, mean) for point, each in zip(features, labels, strict=True) if each == label]
        within.append(sum(own) / len(own))
    between = [math.dist(one, other) for one, other in itertools.combinations(means.values(), 2)]
    assert distances(features, labels) == pytest.approx((np.mean(within), np.mean(between)))


def test_the_ratio_of_distances_does_not_change_with_the_scale_of_the_features(clusters):
    features, labels = clusters
    intra, inter = distances(features, labels)
    scaled_intra, scaled_inter = distances(1000 * features, labels)
    assert scaled_intra / scaled_inter == pytest.approx(intra / inter)
    assert distances(np.eye(3)[[0, 0, 1]], np.array([0, 0, 1])) == pytest.approx((0, math.sqrt(2)))


def test_tsne_is_the_same_for_one_seed_and_keeps_clusters_apart(clusters):
    features, labels = clusters
    points = embed(features, 4, 0)
    assert np.array_equal(points, embed(features, 4, 0))
    intra, inter = distances(points, labels)
    assert inter > 2 * intra


def test_representations_measure_the_features_of_the_images_chosen(quick):
    subject = make_subject(quick(classes=["3", "8", "0"]))
    found = representations(subject, images_per_class=9)
    answers = subject.answers
    chosen = sample_of_each_class(answers.target.numpy(), 9, 0, "representations")
    assert found.numbers["images"] == 27 == len(chosen)
    intra, inter = distances(answers.features.numpy()[chosen], answers.target.numpy()[chosen])
    assert found.numbers["intra_class_distance"] == pytest.approx(intra, rel=1e-5)
    assert found.numbers["distance_ratio"] == pytest.approx(intra / inter, rel=1e-5)
    assert 0 < found.numbers["pca_variance"] <= 1
    (picture,) = found.figures
    with Image.open(picture.path) as image:
        assert image.width > 500


def test_images_are_drawn_by_the_seed_and_all_where_there_are_fewer():
    labels = np.array([0, 0, 0, 1, 1, 2])
    assert sample_of_each_class(labels, 1, 0, "x").tolist() == sample_of_each_class(labels, 1, 0, "x").tolist()
    assert np.bincount(labels[sample_of_each_class(labels, 2, 0, "x")]).tolist() == [2, 2, 1]
    assert sample(5, None).tolist() == sample(5, 9, 0).tolist() == [0, 1, 2, 3, 4]
    assert {tuple(sample(50, 3, seed).tolist()) for seed in range(5)} > {tuple(sample(50, 3, 0).tolist())}


def test_every_class_of_many_has_a_colour_of_its_own():
    for number in (2, 10, 20, 100, 200):
        colours = class_colours(number)
        assert len(colours) == number
        assert len({tuple(colour) for colour in colours.tolist()}) > 0.9 * number


def test_a_hundred_classes_with_long_names_and_formulas_are_drawn(tmp_path):
    labels = np.repeat(np.arange(120), 3)
    names = [f"$class^ {n} " + "of a very long name " * 4 for n in range(120)]
    plot_points(np.random.default_rng(0).normal(size=(360, 2)), labels, names, tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        assert image.width > 1.5 * image.height


def test_a_perplexity_beyond_the_images_is_refused(quick):
    with pytest.raises(ConfigError, match=r"perplexity: must be less than the \d+ images, got 10000\.0"):
        representations(make_subject(quick(classes=["3", "8"])), perplexity=1e4, tsne=True)
