"""Ensembles of kept epochs and of views are means of probabilities; wrong labels are counted against both labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from evaluation.averaged_views import averaged_views, shifted
from evaluation.ensembles import Ensemble, ensembles
from evaluation.findings import NotApplicable
from evaluation.images import augmented_stream
from evaluation.label_noise import label_noise
from evaluation.subject import Subject
from losses.contract import REJECTED
from tests.evaluation.made_up_subject import keep, make_subject, random_answers, restore, scramble
from utils.types import ConfigError


def subject_of(config, epochs: int) -> Subject:
    subject = make_subject(config)
    for epoch in range(epochs):
        scramble(subject, epoch)
        keep(subject, epoch)
    restore(subject)
    return subject


def ensemble_of(*members) -> Ensemble:
    ensemble = Ensemble()
    for member in members:
        ensemble.add(member.prediction, member.log_probabilities)
    return ensemble


def images_of(subject: Subject) -> torch.Tensor:
    stream = subject.part.stream
    return stream.finish(stream.__getitems__(list(range(len(stream))))).image[:, 0]


def accuracy_by_loops(subject: Subject, views: list[torch.Tensor]) -> float:
    with torch.no_grad():
        p = [subject.classifier(images).scores.double().softmax(dim=1) for images in views]
    target = subject.answers.target
    right = 0
    for row in range(len(target)):
        mean = [sum(float(of_view[row, k]) for of_view in p) / len(p) for k in range(10)]
        right += mean.index(max(mean)) == int(target[row])
    return right / len(target)


def test_probabilities_are_the_mean_of_explicit_loops():
    members = [random_answers(20, 3, seed) for seed in range(4)]
    ensemble = ensemble_of(*members)
    for row in range(20):
        mean = [sum(math.exp(member.log_probabilities[row, k]) for member in members) / 4 for k in range(3)]
        assert ensemble.log_probabilities[row].exp().tolist() == pytest.approx(mean)
        assert int(ensemble.prediction[row]) == mean.index(max(mean))
    target = members[0].target
    assert ensemble.nll(target) == pytest.approx(
        -sum(float(ensemble.log_probabilities[row, target[row]]) for row in range(20)) / 20
    )
    twice = ensemble_of(members[0], members[0])
    torch.testing.assert_close(twice.log_probabilities, members[0].log_probabilities)


def test_saturated_members_vote():
    sure = torch.tensor([[0.0, -2000.0, -2000.0], [-2000.0, 0.0, -2000.0]]).log_softmax(dim=1)
    ensemble = Ensemble()
    for rows in ([0, 1], [0, 1], [1, 1]):
        ensemble.add(sure[rows].argmax(dim=1), sure[rows])
    assert ensemble.prediction.tolist() == [0, 1]
    assert ensemble.log_probabilities.exp()[0].tolist() == pytest.approx([2 / 3, 1 / 3, 0])


@pytest.mark.parametrize(("rejecting", "expected"), [(2, 0), (3, REJECTED)])
def test_more_than_half_must_reject(rejecting, expected):
    ensemble = Ensemble()
    for member in range(4):
        prediction = torch.tensor([REJECTED if member < rejecting else 0])
        ensemble.add(prediction, torch.tensor([[0.9, 0.1]]).log())
    assert ensemble.prediction.tolist() == [expected]


def test_the_ensemble_is_of_the_kept_weights_and_the_network_has_the_selected_ones_afterwards(quick):
    subject = subject_of(quick(), 3)
    before = {name: value.clone() for name, value in subject.classifier.state_dict().items()}
    with subject.at_epochs(range(3)) as members:
        answers = [member.answers for member in members]
    found = ensembles(subject)
    target = answers[0].target
    assert found.numbers["accuracy"] == ensemble_of(*answers).accuracy(target)
    assert found.details["accuracy"] == [float(member.right.double().mean()) for member in answers]
    assert found.details["growing"][0] == found.details["accuracy"][0]
    assert found.numbers["best_member"] == max(found.details["accuracy"])
    assert found.numbers["gain"] == found.numbers["accuracy"] - float(subject.answers.right.double().mean())
    assert found.figures[0].path.is_file()
    assert all(torch.equal(subject.classifier.state_dict()[name], value) for name, value in before.items())
    found = ensembles(subject, epochs=[2, 0])
    assert found.details["epochs"] == [0, 2]
    assert [row[0] for row in found.tables[0].rows] == ["1", "3"]  # a reader counts from 1


def test_sizes_take_evenly_spaced_epochs(quick):
    subject = subject_of(quick(num_epochs=6), 6)
    found = ensembles(subject, sizes=[1, 2, 3])
    assert found.details["sizes"] == [[5], [2, 5], [1, 3, 5]]
    assert found.numbers["accuracy_of_1"] == found.details["accuracy"][5]
    with subject.at_epochs([2, 5]) as members:
        two = ensemble_of(*(member.answers for member in members))
    assert found.numbers["accuracy_of_2"] == two.accuracy(subject.answers.target)


def test_epochs_that_were_not_kept_are_refused(quick):
    subject = subject_of(quick(), 2)
    with pytest.raises(
        ConfigError, match=r"evaluate_params\.ensembles\.epochs: must be kept epochs .* \(0, 1\), got 7"
    ):
        ensembles(subject, epochs=[0, 7])
    with pytest.raises(ConfigError, match=r"evaluate_params\.ensembles\.sizes: must fit .* \(0, 1\).*got 3"):
        ensembles(subject, sizes=[2, 3])
    with pytest.raises(NotApplicable, match="keep_epochs"):
        ensembles(subject_of(quick(seed=1), 1))
    with pytest.raises(ConfigError, match=r"evaluate_params\.label_noise\.epochs: must be .*\(none.*got 5"):
        label_noise(make_subject(quick(label_noise=0.2)), epochs=[5])


def test_flips_are_averaged_with_the_images(quick):
    subject = make_subject(quick())
    images = images_of(subject)
    numbers = averaged_views(subject).numbers
    assert numbers["accuracy"] == float(subject.answers.right.double().mean())
    assert numbers["flips_accuracy"] == accuracy_by_loops(subject, [images, images.flip(-1)])
    assert numbers["flips_gain"] == numbers["flips_accuracy"] - numbers["accuracy"]
    assert numbers.keys() == {"accuracy", "nll", "flips_accuracy", "flips_nll", "flips_gain"}


def test_several_kinds_are_also_averaged_together(quick):
    subject = make_subject(quick(augment_images="true", image_augmentations="{RandomAffine: {degrees: 20}}"))
    images, stream = images_of(subject), augmented_stream(subject, 2)
    augmented = [*stream.finish(stream.__getitems__(list(range(len(stream))))).image.unbind(1)]
    moved = [*shifted(images, 1, 2).unbind(1)]
    numbers = averaged_views(subject, kinds=["shifts", "training"], views=2).numbers
    assert numbers["shifts_accuracy"] == accuracy_by_loops(subject, [images, *moved])
    assert numbers["training_accuracy"] == accuracy_by_loops(subject, [images, *augmented])
    assert numbers["together_accuracy"] == accuracy_by_loops(subject, [images, *moved, *augmented])


def test_shifts_repeat_the_border():
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    right, left, down, up, both, *_ = shifted(image, 1, 8)[0, :, 0]
    assert right.tolist() == [[0, 0, 1], [3, 3, 4], [6, 6, 7]]
    assert left.tolist() == [[1, 2, 2], [4, 5, 5], [7, 8, 8]]
    assert down.tolist() == [[0, 1, 2], [0, 1, 2], [3, 4, 5]]
    assert up.tolist() == [[3, 4, 5], [6, 7, 8], [6, 7, 8]]
    assert both.tolist() == [[0, 0, 1], [0, 0, 1], [3, 3, 4]]


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"kinds": ["training"]}, NotApplicable, "without augmentation"),
        ({"kinds": []}, ConfigError, r"augmentation\.kinds: must hold flips, shifts or training, got nothing"),
        ({"kinds": ["shifts"], "views": 9}, ConfigError, r"augmentation\.views: must be <= 8 with shifts, got 9"),
        ({"kinds": ["shifts"], "shift": 8}, ConfigError, r"augmentation\.shift: must be less than .* 8 pixels, got 8"),
    ],
)
def test_impossible_views_are_refused(quick, params, error, message):
    with pytest.raises(error, match=message):
        averaged_views(make_subject(quick()), **params)


def test_wrong_labels_are_counted_against_both_labels(quick, monkeypatch):
    subject = make_subject(quick(label_noise=0.2, batch_size=1000))
    rows, clean = subject.data.wrong_rows, subject.data.data.train.labels
    memorised = np.arange(len(rows)) % 4 == 0
    predicted = np.where(memorised, subject.data.train_table.labels[rows], clean[rows])
    monkeypatch.setattr(type(subject), "judge", lambda self, scores: (torch.from_numpy(predicted), scores))
    found = label_noise(subject)
    assert found.numbers == {
        "wrong_labels": round(0.2 * len(subject.data.train_rows)),
        "memorised": memorised.mean(),
        "recovered": pytest.approx(1 - memorised.mean()),
        "neither": pytest.approx(0),
    }
    assert "keep_epochs" in found.notes[0]
    with pytest.raises(NotApplicable, match="no training label is wrong"):
        label_noise(make_subject(quick()))


def test_wrong_labels_are_counted_at_every_kept_epoch(quick):
    subject = make_subject(quick(label_noise=0.2))
    expected = []
    for epoch in range(3):
        scramble(subject, epoch)
        keep(subject, epoch)
        positions = np.isin(subject.data.train_rows, subject.data.wrong_rows)
        answers = subject.ask(subject.data.augmented_stream(), "")
        right = (answers.prediction == answers.target)[torch.from_numpy(positions)]
        expected.append(float(right.double().mean()))
    restore(subject)
    found = label_noise(subject)
    assert [shares["memorised"] for shares in found.details["shares"]] == pytest.approx(expected)
    assert found.details["epochs"] == [0, 1, 2]
    assert label_noise(subject, epochs=[1]).details["shares"] == [found.details["shares"][1]]
    assert found.figures[0].path.is_file()
