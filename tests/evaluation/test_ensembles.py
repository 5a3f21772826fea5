"""An ensemble is the mean of its members' probabilities, read by the loss's own rule."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.ensembles import ensembles
from evaluation.findings import NotApplicable
from evaluation.subject import Subject
from evaluation.together import Together
from tests.evaluation.made_up_subject import keep, make_subject, random_answers, scramble
from utils.types import REJECTED, ConfigError


def subject_of(config, epochs: int) -> Subject:
    subject = make_subject(config)
    for epoch in range(epochs):
        scramble(subject, epoch)
        keep(subject, epoch)
    subject.restore()
    return subject


def together_of(*members) -> Together:
    together = Together()
    for member in members:
        together.add(member.prediction, member.log_probabilities)
    return together


def test_probabilities_are_the_mean_of_explicit_loops():
    members = [random_answers(20, 3, seed) for seed in range(4)]
    together = together_of(*members)
    for row in range(20):
        mean = [sum(math.exp(each.log_probabilities[row, k]) for each in members) / 4 for k in range(3)]
        assert together.log_probabilities[row].exp().tolist() == pytest.approx(mean)
        assert int(together.prediction[row]) == mean.index(max(mean))
    target = members[0].target
    assert together.nll(target) == pytest.approx(
        -sum(float(together.log_probabilities[row, target[row]]) for row in range(20)) / 20
    )


def test_one_member_is_itself():
    member = random_answers(50, 4)
    together = together_of(member, member)
    assert torch.equal(together.prediction, member.prediction)
    torch.testing.assert_close(together.log_probabilities, member.log_probabilities)


def test_saturated_members_vote():
    sure = torch.tensor([[0.0, -2000.0, -2000.0], [-2000.0, 0.0, -2000.0]]).log_softmax(dim=1)
    together = Together()
    for rows in ([0, 1], [0, 1], [1, 1]):
        together.add(sure[rows].argmax(dim=1), sure[rows])
    assert together.prediction.tolist() == [0, 1]
    assert together.log_probabilities.exp()[0].tolist() == pytest.approx([2 / 3, 1 / 3, 0])


@pytest.mark.parametrize(("rejecting", "expected"), [(1, 0), (2, 0), (3, REJECTED), (4, REJECTED)])
def test_more_than_half_must_reject(rejecting, expected):
    together = Together()
    for member in range(4):
        prediction = torch.tensor([REJECTED if member < rejecting else 0])
        together.add(prediction, torch.tensor([[0.9, 0.1]]).log())
    assert together.prediction.tolist() == [expected]


def test_the_ensemble_is_of_the_kept_weights(quick):
    subject = subject_of(quick(), 3)
    said = [subject.at_epoch(epoch).answers for epoch in range(3)]
    subject.restore()
    found = ensembles(subject)
    target = said[0].target
    together = together_of(*said)
    assert found.numbers["accuracy"] == together.accuracy(target)
    assert found.details["accuracy"] == [float(each.right.double().mean()) for each in said]
    assert found.details["growing"][0] == found.details["accuracy"][0]
    assert found.numbers["best_member"] == max(found.details["accuracy"])
    assert found.numbers["gain"] == found.numbers["accuracy"] - float(subject.answers.right.double().mean())
    assert np.asarray(Image.open(found.pictures[0].path)).ndim == 3


def test_the_network_has_the_selected_weights_afterwards(quick):
    subject = subject_of(quick(), 2)
    before = {name: value.clone() for name, value in subject.classifier.state_dict().items()}
    ensembles(subject)
    after = subject.classifier.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_sizes_take_evenly_spaced_epochs(quick):
    subject = subject_of(quick(num_epochs=6), 6)
    found = ensembles(subject, sizes=[1, 2, 3])
    assert found.details["sizes"] == [[5], [2, 5], [1, 3, 5]]
    assert found.numbers["accuracy_of_1"] == found.details["accuracy"][5]
    two = together_of(*(subject.at_epoch(epoch).answers for epoch in (2, 5)))
    assert found.numbers["accuracy_of_2"] == two.accuracy(subject.answers.target)


def test_epochs_choose_the_members(quick):
    subject = subject_of(quick(), 3)
    found = ensembles(subject, epochs=[2, 0])
    assert found.details["epochs"] == [0, 2]
    assert [row[0] for row in found.tables[0].rows] == ["1", "3"]  # a reader counts from 1


def test_epochs_that_were_not_kept_are_refused(quick):
    subject = subject_of(quick(), 2)
    with pytest.raises(ConfigError, match=r"evaluate_params\.ensembles\.epochs: must be epochs .* \(0, 1\), got 7"):
        ensembles(subject, epochs=[0, 7])
    with pytest.raises(ConfigError, match=r"evaluate_params\.ensembles\.sizes: must be >= 1 and .* \(0, 1\).*got 3"):
        ensembles(subject, sizes=[2, 3])


def test_a_run_without_kept_epochs_has_no_ensemble(quick):
    with pytest.raises(NotApplicable, match="keep_epochs"):
        ensembles(subject_of(quick(), 1))
