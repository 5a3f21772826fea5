"""A network is compared with people by the divergence from their labels, and only on the images they saw."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec import structs

from evaluation import human_agreement as module
from evaluation.findings import NotApplicable
from evaluation.human_agreement import divergences, human_agreement, read_people
from evaluation.subject import Subject
from losses.contract import REJECTED
from tests.evaluation.made_up_subject import make_answers, make_subject, with_answers
from utils.types import ConfigError

FLOOR = module.FLOOR


@pytest.fixture
def subject(quick, monkeypatch, tmp_path) -> Subject:
    """A run on digits that takes them for CIFAR-10's, whose labels lie in tmp_path."""
    made = make_subject(quick())
    monkeypatch.setattr(module, "SHAPE", (len(made.part), 10))
    config = structs.replace(made.config, dataset="cifar10", data_path=str(tmp_path))
    return dataclasses.replace(made, config=config)


def ask_people(subject: Subject, folder: Path, sure: float = 0.8) -> np.ndarray:
    """Write labels of people who are sure to this degree, and else take the next class."""
    labels = subject.data.data.test.labels
    shares = np.zeros((len(labels), 10))
    shares[np.arange(len(labels)), labels] = sure
    shares[np.arange(len(labels)), (labels + 1) % 10] = 1 - sure
    np.save(folder / "cifar10h-probs.npy", shares)
    return shares


def test_divergence_is_that_of_explicit_loops():
    random = np.random.default_rng(0)
    people = random.dirichlet(np.ones(4) / 2, size=30)
    people[:5] = np.eye(4)[[0, 1, 2, 3, 0]]  # 0 log 0
    network = random.dirichlet(np.ones(4), size=30)
    expected = [
        sum(h * (math.log(h) - math.log(p)) for h, p in zip(human, told, strict=True) if h > 0)
        for human, told in zip(people, network, strict=True)
    ]
    found = divergences(torch.from_numpy(people), torch.from_numpy(network).log())
    assert found.tolist() == pytest.approx(expected)


def test_saturated_probabilities_cost_what_the_floor_says():
    people = torch.tensor([[0.9, 0.1]], dtype=torch.float64)
    expected = 0.9 * math.log(0.9) + 0.1 * math.log(0.1) - 0.1 * math.log(FLOOR)
    for log_p in (-600.0, -1e6, -math.inf):
        assert float(divergences(people, torch.tensor([[0.0, log_p]], dtype=torch.float64))) == pytest.approx(expected)


def test_numbers_are_of_all_images_and_of_the_correct_ones(subject, tmp_path):
    people = torch.from_numpy(ask_people(subject, tmp_path))
    labels = torch.from_numpy(subject.data.data.test.labels)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:200]
    log_p = torch.randn(200, 10, dtype=torch.float64).log_softmax(dim=1)
    prediction = torch.where(torch.arange(200) % 4 == 0, labels[order], (labels[order] + 1) % 10)
    prediction[1] = REJECTED
    answers = make_answers(log_p, labels[order], prediction, index=order)
    found = human_agreement(with_answers(subject, answers))
    each = divergences(people[order], log_p)
    assert found.numbers == pytest.approx(
        {
            "kl": float(each.mean()),
            "kl_right": float(each[::4].mean()),
            "right": 50,
            "top1_agreement": 0.25,
            "human_entropy": -0.8 * math.log(0.8) - 0.2 * math.log(0.2),
        }
    )
    assert ["rejected" in note for note in found.notes] == [True]


def test_a_note_reports_the_floor(subject, tmp_path):
    ask_people(subject, tmp_path)
    log_p = torch.tensor([[0.0] + [-900.0] * 9] * len(subject.part)).log_softmax(dim=1)
    labels = torch.from_numpy(subject.data.data.test.labels)
    found = human_agreement(with_answers(subject, make_answers(log_p, labels)))
    assert f"{len(labels):,} images have a probability below 1.2e-38" in found.notes[0]
    assert math.isfinite(found.numbers["kl"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda shares: shares[:-1], r"must hold floating-point numbers of shape \(\d+, 10\), got float64 of shape"),
        (lambda shares: (shares * 50).round().astype(int), "must hold floating-point numbers"),
        (lambda shares: shares * 50, "rows are not shares that sum to 1, the first is row 0"),
        (lambda shares: shares * np.nan, "rows are not shares"),
        (lambda shares: shares[::-1], "most people agree with only .* of the labels: another order"),
    ],
)
def test_a_file_of_something_else_is_refused(subject, tmp_path, damage, message):
    np.save(tmp_path / "other.npy", damage(ask_people(subject, tmp_path)))
    with pytest.raises(ConfigError, match=rf"^evaluate_params\.human_agreement\.labels_path: .*other.npy: .*{message}"):
        human_agreement(subject, labels_path=str(tmp_path / "other.npy"))


def test_a_file_that_is_missing_or_no_array_is_refused(subject, tmp_path):
    with pytest.raises(ConfigError, match=r"labels_path: .*cifar10h-probs\.npy: cannot be read: No such file"):
        human_agreement(subject)
    (tmp_path / "text.npy").write_text("no numbers")
    with pytest.raises(ConfigError, match=r"labels_path: .*text\.npy: not a \.npy file of numbers, or damaged"):
        human_agreement(subject, labels_path=str(tmp_path / "text.npy"))


def test_the_real_labels_are_accepted():
    real = Path(__file__).resolve().parents[3] / "shared" / "data" / "cifar10h" / "cifar10h-probs.npy"
    if not real.is_file():
        pytest.skip(f"{real} is absent")
    labels = np.load(real).argmax(axis=1)  # of most people, which the official ones are for 99.2 %
    people = read_people(real, labels)
    assert float(torch.special.entr(people).sum(dim=1).mean()) == pytest.approx(0.15446, abs=1e-5)


def test_other_images_were_not_shown_to_people(quick, subject):
    changes = ({"dataset": "digits"}, {"classes": ["0", "1"]})
    others = [dataclasses.replace(subject, config=structs.replace(subject.config, **change)) for change in changes]
    valid = make_subject(quick(), on="valid")
    others.append(dataclasses.replace(valid, config=structs.replace(valid.config, dataset="cifar10")))
    for other in others:
        with pytest.raises(NotApplicable, match="10,000 test images of cifar10 only"):
            human_agreement(other)
