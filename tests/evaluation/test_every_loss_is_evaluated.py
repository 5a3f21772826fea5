"""Evaluations ask every loss for its own predictions and probabilities, and give numbers for each."""

from __future__ import annotations

import math

import pytest

from evaluation import EVALUATIONS
from losses import LOSSES
from tests.evaluation.made_up_subject import LOSSES_OF_CLASSES, keep, make_subject, scramble
from utils.lookup import load_entry

PARAMS = {
    "calibration": {},
    "ensembles": {},
    "stability": {"views": 2, "images": 20, "shown": 0},
    "test_time_augmentation": {"kinds": ["flips", "training"], "views": 2},
}


@pytest.mark.parametrize("name", LOSSES_OF_CLASSES)
def test_every_loss_is_evaluated(quick, name, monkeypatch):
    monkeypatch.setattr("evaluation.plots.write_figure", lambda figure, path: path.touch())
    few = load_entry(LOSSES[name]).num_classes or 4
    augmented = {"augment_images": "true", "image_augmentations": "{RandomAffine: {degrees: 20}}"}
    classes = ["3", "8", "0", "6"][:few]
    subject = make_subject(quick(loss_function=name, classes=classes, valid_fraction=0.3, **augmented))
    for epoch in range(2):
        scramble(subject, epoch)
        keep(subject, epoch)
    subject.restore()
    for evaluation, params in PARAMS.items():
        found = load_entry(EVALUATIONS[evaluation])(subject, **params)
        assert found.numbers.keys() == found.words.keys() != set()
        assert all(math.isfinite(value) for value in found.numbers.values()), found.numbers
        if evaluation == "calibration":  # an untrained network knows nothing, and its temperature says so
            assert found.numbers["scaled_nll"] < 1.2 * math.log(few)
