"""Wrong labels count as learnt where the network tells them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.findings import NotApplicable
from evaluation.label_noise import label_noise
from tests.evaluation.made_up_subject import keep, make_subject, scramble
from utils.types import ConfigError


def test_shares_are_counted_against_both_labels(quick, monkeypatch):
    subject = make_subject(quick(label_noise=0.2, batch_size=1000))
    rows, clean = subject.data.wrong_rows, subject.data.data.train.labels
    wrong = subject.data.train_table.labels
    predicted = np.where(np.arange(len(rows)) % 4 == 0, wrong[rows], clean[rows])  # every fourth by heart

    def judge(self, scores):
        return torch.from_numpy(predicted[: len(scores)]), scores

    monkeypatch.setattr(type(subject), "judge", judge)
    found = label_noise(subject)
    assert found.numbers["wrong_labels"] == round(0.2 * len(subject.data.train_rows))
    assert found.numbers["memorised"] == np.mean(np.arange(len(rows)) % 4 == 0)
    assert found.numbers["recovered"] == np.mean(np.arange(len(rows)) % 4 != 0)
    assert found.numbers["neither"] == pytest.approx(0)
    assert "keep_epochs" in found.notes[0]


def test_kept_epochs_are_asked_one_by_one(quick):
    subject = make_subject(quick(label_noise=0.2))
    expected = []
    for epoch in range(3):
        scramble(subject, epoch)
        keep(subject, epoch)
        stream = subject.data.augmented_stream()
        positions = np.isin(subject.data.train_rows, subject.data.wrong_rows)
        answers = subject.ask(stream, "")
        right = (answers.prediction == answers.target)[torch.from_numpy(positions)]
        expected.append(float(right.double().mean()))
    subject.restore()
    found = label_noise(subject)
    assert [each["memorised"] for each in found.details["shares"]] == pytest.approx(expected)
    assert found.details["epochs"] == [0, 1, 2]
    assert label_noise(subject, epochs=[1]).details["shares"] == [found.details["shares"][1]]
    assert np.asarray(Image.open(found.pictures[0].path)).ndim == 3


def test_a_run_without_wrong_labels_has_nothing_to_say(quick):
    with pytest.raises(NotApplicable, match="no training label is wrong"):
        label_noise(make_subject(quick()))


def test_epochs_that_were_not_kept_are_refused(quick):
    with pytest.raises(ConfigError, match=r"evaluate_params\.label_noise\.epochs: must be .*\(none.*got 5"):
        label_noise(make_subject(quick(label_noise=0.2)), epochs=[5])
