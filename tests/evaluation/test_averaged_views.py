"""Test-time augmentation is the mean over an image and its views."""

from __future__ import annotations

import pytest
import torch

from evaluation.averaged_views import averaged_views, shifted
from evaluation.findings import NotApplicable
from evaluation.subject import Subject
from evaluation.views import augmented_stream
from tests.evaluation.made_up_subject import make_subject
from utils.types import ConfigError


def images_of(subject: Subject) -> torch.Tensor:
    stream = subject.part.stream
    return stream.finish(stream.__getitems__(list(range(len(stream))))).image[:, 0]


def accuracy_by_loops(subject: Subject, views: list[torch.Tensor]) -> float:
    with torch.no_grad():
        p = [subject.classifier(images).scores.double().softmax(dim=1) for images in views]
    target = subject.answers.target
    right = 0
    for row in range(len(target)):
        mean = [sum(float(each[row, k]) for each in p) / len(p) for k in range(10)]
        right += mean.index(max(mean)) == int(target[row])
    return right / len(target)


def test_flips_are_averaged_with_the_images(quick):
    subject = make_subject(quick())
    images = images_of(subject)
    found = averaged_views(subject)
    assert found.numbers["accuracy"] == float(subject.answers.right.double().mean())
    assert found.numbers["flips_accuracy"] == accuracy_by_loops(subject, [images, images.flip(-1)])
    assert found.numbers["flips_gain"] == found.numbers["flips_accuracy"] - found.numbers["accuracy"]
    assert found.numbers.keys() == {"accuracy", "nll", "flips_accuracy", "flips_nll", "flips_gain"}


def test_several_kinds_are_also_averaged_together(quick):
    subject = make_subject(quick(augment_images="true", image_augmentations="{RandomAffine: {degrees: 20}}"))
    images, stream = images_of(subject), augmented_stream(subject, 2)
    augmented = [*stream.finish(stream.__getitems__(list(range(len(stream))))).image.unbind(1)]
    moved = [*shifted(images, 1, 2).unbind(1)]
    found = averaged_views(subject, kinds=["shifts", "training"], views=2).numbers
    assert found["shifts_accuracy"] == accuracy_by_loops(subject, [images, *moved])
    assert found["training_accuracy"] == accuracy_by_loops(subject, [images, *augmented])
    assert found["together_accuracy"] == accuracy_by_loops(subject, [images, *moved, *augmented])


def test_shifts_repeat_the_border():
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    right, left, down, up, both, *_ = shifted(image, 1, 8)[0, :, 0]
    assert right.tolist() == [[0, 0, 1], [3, 3, 4], [6, 6, 7]]
    assert left.tolist() == [[1, 2, 2], [4, 5, 5], [7, 8, 8]]
    assert down.tolist() == [[0, 1, 2], [0, 1, 2], [3, 4, 5]]
    assert up.tolist() == [[3, 4, 5], [6, 7, 8], [6, 7, 8]]
    assert both.tolist() == [[0, 0, 1], [0, 0, 1], [3, 3, 4]]


def test_a_run_without_augmentation_has_none_for_the_test(quick):
    with pytest.raises(NotApplicable, match="without augmentation"):
        averaged_views(make_subject(quick()), kinds=["training"])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"kinds": []}, r"augmentation\.kinds: must hold flips, shifts or training, got nothing"),
        ({"kinds": ["shifts"], "views": 9}, r"augmentation\.views: must be <= 8 with shifts, got 9"),
        ({"kinds": ["shifts"], "shift": 8}, r"augmentation\.shift: must be less than .* 8 pixels, got 8"),
    ],
)
def test_parameters_that_cannot_be_are_refused(quick, params, message):
    with pytest.raises(ConfigError, match=message):
        averaged_views(make_subject(quick()), **params)
