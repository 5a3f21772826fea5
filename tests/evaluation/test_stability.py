"""Stability is how far the views of an image are from one another, by its formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.findings import NotApplicable
from evaluation.images import augmented_stream
from evaluation.stability import spread, stability
from tests.evaluation.made_up_subject import make_subject
from utils.types import ConfigError

AUGMENTED = {"augment_images": "true", "image_augmentations": "{RandomAffine: {degrees: 40, translate: [0.3, 0.3]}}"}


def test_spread_is_that_of_explicit_loops():
    p = np.random.default_rng(0).dirichlet(np.ones(4), size=(5, 3))  # [N, V, K]
    variation, divergence = spread(torch.from_numpy(p).log())
    for image, found_variation, found_divergence in zip(p, variation, divergence, strict=True):
        mean = [sum(view[k] for view in image) / 3 for k in range(4)]
        tv = sum(sum(abs(view[k] - mean[k]) for k in range(4)) / 2 for view in image) / 3
        kl = sum(sum(view[k] * math.log(view[k] / mean[k]) for k in range(4)) for view in image) / 3
        assert (float(found_variation), float(found_divergence)) == pytest.approx((tv, kl))


def test_views_that_are_sure_of_different_classes_are_farthest_apart():
    log_p = torch.full((1, 4, 4), -1e4, dtype=torch.float64)
    log_p[0, range(4), range(4)] = 0
    variation, divergence = spread(log_p)
    assert float(variation) == pytest.approx(1 - 1 / 4)
    assert float(divergence) == pytest.approx(math.log(4))


def test_an_augmentation_that_does_nothing_changes_no_prediction(quick):
    subject = make_subject(quick())
    found = stability(subject, views=2, augmentations={"RandomHorizontalFlip": {"p": 0.0}})
    assert (found.numbers["changed"], found.numbers["steady"]) == (0, 1)
    assert found.numbers["total_variation"] == pytest.approx(0, abs=1e-6)
    assert found.numbers["accuracy_of_views"] == found.numbers["accuracy"]
    assert [figure.path.name for figure in found.figures] == ["stability.png"]


def test_numbers_are_those_of_the_views_asked_one_by_one(quick):
    subject = make_subject(quick(**AUGMENTED))
    found = stability(subject, views=3, images=40)
    positions = np.sort(np.random.default_rng(0).permutation(len(subject.part))[:40])
    assert found.details["index"] == subject.part.stream.rows[positions].tolist()
    itself = subject.answers.prediction[positions]
    batch = augmented_stream(subject, 3, positions)
    images = batch.finish(batch.__getitems__(list(range(40)))).image
    changed = []
    with torch.no_grad():
        for views, told in zip(images, itself, strict=True):
            changed.append(float((subject.classifier(views).scores.argmax(dim=1) != told).double().mean()))
    assert found.details["changed"] == pytest.approx(changed)
    assert found.numbers["changed"] == pytest.approx(sum(changed) / 40)
    assert found.numbers["steady"] == pytest.approx(changed.count(0.0) / 40)
    assert 0 < found.numbers["changed"] < 1


def test_the_least_stable_images_are_shown_with_their_views(quick):
    subject = make_subject(quick(**AUGMENTED))
    found = stability(subject, views=4, images=50, shown=3)
    (table,) = found.tables
    assert len(table.rows) == 3
    assert table.rows[0][3] == f"{round(4 * max(found.details['changed']))} of 4"
    histogram, images = (figure.path for figure in found.figures)
    assert (histogram.name, images.name) == ("stability.png", "stability_images.png")
    with Image.open(images) as image:
        width, height = image.size
    assert width / height == pytest.approx(5 / (3 * 1.19), rel=0.02)  # the image and 4 views, 3 rows with headings


def test_the_axis_of_changed_views_has_whole_numbers_alone(quick, monkeypatch):
    figures = []
    monkeypatch.setattr("evaluation.stability.write_figure", lambda figure, path: figures.append(figure))
    flips = {"RandomHorizontalFlip": {}}
    stability(make_subject(quick(classes=["3", "8"])), views=4, shown=0, augmentations=flips)
    counts, variation = figures[0].axes
    low, high = counts.get_xlim()
    assert [tick for tick in counts.get_xticks() if low <= tick <= high] == [0, 1, 2, 3, 4]
    assert variation.get_xlim() == (0, 1)


@pytest.mark.parametrize(
    ("augmentations", "error", "message"),
    [
        (None, NotApplicable, "without augmentation"),
        ("flip", ConfigError, r"stability\.augmentations: must be a mapping of transforms .* got 'flip'"),
        ({"RandomFlip": {}}, ConfigError, r"stability\.augmentations\.RandomFlip: unknown transform"),
        ({"RandomCrop": {"siz": 3}}, ConfigError, r"stability\.augmentations\.RandomCrop\.siz: unknown param"),
    ],
)
def test_impossible_augmentations_are_refused(quick, augmentations, error, message):
    with pytest.raises(error, match=message):
        stability(make_subject(quick()), augmentations=augmentations)
