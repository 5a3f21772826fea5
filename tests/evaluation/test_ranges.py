"""Parameters of evaluations: a signature says what may be given, checked before anything is trained or done."""

from __future__ import annotations

import math

import pytest

from configuration.reading import read_configuration
from evaluation import EVALUATIONS, evaluation_problems
from evaluation.catalogue import NAME_CHECKS
from training.checks import check_parameters
from utils.types import ConfigError

WRONG = [
    ("classification", {"pairs": 101}, "must be a whole number >= 0 and <= 100, got 101"),
    ("reading", {"beams": -1}, "must be a whole number >= 0 and <= 1000, got -1"),
    ("calibration", {"bins": 0}, "must be a whole number >= 1, got 0"),
    ("stability", {"views": 1}, "must be a whole number >= 2, got 1"),
    ("representations", {"perplexity": 0.0}, "must be a number > 0, got 0.0"),
    ("representations", {"images_per_class": 0}, "must be a whole number >= 1 or null, got 0"),
    ("grad_cam", {"images": 41}, "must be a whole number >= 1 and <= 40, got 41"),
    ("cost", {"repeats": 2}, "must be a whole number >= 3, got 2"),
    ("attacks", {"eps": 0.0}, "must be a number > 0 and <= 255, got 0.0"),
    ("attacks", {"eps": math.nan}, "must be a number > 0 and <= 255, got nan"),
    ("attacks", {"step": math.inf}, "must be a number > 0 and <= 255, got inf"),
    ("attacks", {"objective": "x"}, "must be 'cross_entropy', 'margin' or 'own', got 'x'"),
    ("test_time_augmentation", {"views": 0}, "must be a whole number >= 1, got 0"),
    ("ensembles", {"sizes": [2, 0]}, "must be a list of whole numbers >= 1 or null, got [2, 0]"),
    ("label_noise", {"epochs": [-1]}, "must be a list of whole numbers >= 0 or null, got [-1]"),
]


@pytest.mark.parametrize(("name", "params", "message"), WRONG)
def test_a_value_out_of_range_is_told(name, params, message):
    assert evaluation_problems(name, params) == {next(iter(params)): message}


@pytest.mark.parametrize("name", EVALUATIONS)
def test_defaults_are_within_their_ranges(name):
    assert evaluation_problems(name, {}) == {}


def test_all_are_told_at_once_before_anything_is_trained():
    words = ["evaluate=[attacks]", "evaluate_params.attacks.eps=-3", "evaluate_params.stability={views: 0, vews: 1}"]
    with pytest.raises(ConfigError) as raised:
        check_parameters(read_configuration(None, words, NAME_CHECKS))
    told = str(raised.value)
    assert "evaluate_params.attacks.eps: must be a number > 0 and <= 255, got -3" in told
    assert "evaluate_params.stability.views: must be a whole number >= 2, got 0" in told
    assert "evaluate_params.stability.vews: unknown parameter; did you mean 'views'?" in told
