"""The facts that a set's file states are those of the set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import datasets
from datasets import DATASETS, facts_of, known_num_classes, known_num_images, load_data_set

ROOT = Path(__file__).resolve().parents[2]


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
    data = load_data_set(config)
    assert known_num_classes(config) == len(data.classes)
    if config.dataset == "digits" and config.classes is None:
        assert known_num_images(config) == len(data.train)


@pytest.mark.parametrize(
    ("changes", "classes", "images"),
    [
        ({"dataset": "svhn"}, 10, 73_257),
        ({"dataset": "svhn", "data_params": "{extra: true}"}, 10, 604_388),
        ({"dataset": "flowers102", "flowers_train": "train"}, 102, 1_020),
        ({"dataset": "flowers102"}, 102, 2_040),
        ({"dataset": "fgvc_aircraft", "data_params": "{annotation: family}"}, 70, 6_667),
        ({"dataset": "cifar10", "classes": "[cat, dog]"}, 2, None),
        ({"dataset": "cifar10_pair", "classes": "[cat, dog]"}, 2, 10_000),
        ({"dataset": "adience"}, 8, None),
        ({"dataset": "image_folder"}, None, None),
        ({"dataset": "made_up", "data_params": "{like: [x]}"}, None, 80),
        ({"dataset": "made_up", "data_params": "{lik: x}"}, None, 80),
    ],
)
def test_parameters_change_what_is_known(quick, changes, classes, images):
    config = quick(**changes)
    assert (known_num_classes(config), known_num_images(config)) == (classes, images)


def test_facts_are_read_without_importing_a_set():
    code = "import sys, datasets\n[datasets.facts_of(name) for name in datasets.DATASETS]\n"
    code += "print([name for name in sys.modules if name.startswith('datasets.') or name in ('numpy', 'torch')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    for name in DATASETS:
        keys = {key for key in facts_of(name) if "=" not in key}
        assert keys <= {"num_classes", "images", "kind", "ordered", "tasks"}
    names = Path(datasets.__file__).with_name("sets") / "stanford" / "class_names.txt"
    assert facts_of("stanford_cars")["num_classes"] == len(names.read_text(encoding="utf-8").splitlines())
