"""What is known of a data set before it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

import datasets
from training.data_sets import NUM_CLASSES, known_num_classes, load_data_set


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": "digits"},
        {"dataset": "digits", "classes": "[1, 7, 8]"},
        {"dataset": "made_up"},
        {"dataset": "made_up", "data_params": "{num_classes: 4}"},
        {"dataset": "cifar10_pair", "smoke": "true"},
        {"dataset": "adience", "smoke": "true"},
    ],
)
def test_as_many_classes_are_known_as_there_are(quick, changes):
    config = quick(**changes)
    assert known_num_classes(config) == len(load_data_set(config).classes)


def test_as_many_cars_are_known_as_have_a_name():
    names = Path(datasets.__file__).with_name("sets") / "stanford" / "class_names.txt"
    assert NUM_CLASSES["stanford_cars"] == len(names.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": "image_folder"},
        {"dataset": "fgvc_aircraft", "data_params": "{annotation: family}"},
        {"dataset": "made_up", "data_params": "{like: [x]}"},
        {"dataset": "made_up", "data_params": "{lik: x}"},
    ],
)
def test_classes_that_depend_on_files_or_on_mistakes_are_not_known(quick, changes):
    assert known_num_classes(quick(**changes)) is None
