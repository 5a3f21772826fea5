"""Calibration is what its formulas say, and a temperature is never fitted on what it is judged on."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from evaluation.calibration import Bins, calibration, fit_temperature, measure, plot_reliability, scale
from evaluation.evaluating import evaluate
from evaluation.findings import wilson
from evaluation.glossary import glossary
from evaluation.subject import Answers
from losses.contract import REJECTED
from tests.evaluation.made_up_subject import make_answers, make_subject, random_answers, with_answers

BINS = 15


def measured(answers: Answers, bins: int = BINS) -> dict[str, float]:
    return measure(answers.log_probabilities, answers.target, answers.prediction, bins)


def ece_by_loops(confidence: list[float], right: list[float], bins: int) -> float:
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [i for i, c in enumerate(confidence) if low < c <= high or (c == 0 and number == 0)]
        if inside:
            gap = sum(right[i] for i in inside) / len(inside) - sum(confidence[i] for i in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(gap)
    return total


def test_numbers_are_those_of_explicit_loops():
    answers = random_answers(200, 4)
    p, target = answers.log_probabilities.exp(), answers.target.tolist()
    found = measured(answers)
    confidence = [float(row.max()) for row in p]
    right = [float(row.argmax() == label) for row, label in zip(p, target, strict=True)]
    each = [ece_by_loops(p[:, label].tolist(), [float(truth == label) for truth in target], BINS) for label in range(4)]
    brier = [sum((float(row[k]) - (k == label)) ** 2 for k in range(4)) for row, label in zip(p, target, strict=True)]
    assert found["ece"] == pytest.approx(ece_by_loops(confidence, right, BINS))
    assert found["classwise_ece"] == pytest.approx(sum(each) / 4)
    assert found["brier"] == pytest.approx(sum(brier) / 200)
    assert found["nll"] == pytest.approx(-sum(math.log(row[label]) for row, label in zip(p, target, strict=True)) / 200)
    assert found["confidence"] == pytest.approx(sum(confidence) / 200)


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_ece_is_torchmetrics_where_no_confidence_is_1(bins):
    answers = random_answers(500, 5, sharpness=1.0)
    theirs = multiclass_calibration_error(answers.log_probabilities.exp(), answers.target, 5, n_bins=bins)
    assert measured(answers, bins)["ece"] == pytest.approx(float(theirs), abs=1e-6)


def test_a_confidence_of_1_falls_into_the_last_bin():
    """Torchmetrics gives 1 a bin of its own, which counts against losses whose probabilities saturate."""
    confidence, right = np.array([1.0, 0.95]), np.array([1.0, 0.0])
    assert Bins.of(confidence, right, 10).counts.tolist() == [0] * 9 + [2]
    assert Bins.of(confidence, right, 10).error == pytest.approx(0.975 - 0.5)
    assert Bins.of(np.array([0.0, 0.1, 0.1 + 1e-9]), np.zeros(3), 10).counts.tolist() == [2, 1] + [0] * 8


def test_uniform_probabilities_have_the_numbers_of_closed_forms():
    target = torch.arange(8) % 4
    found = measured(make_answers(torch.full((8, 4), 0.25, dtype=torch.float64).log(), target))
    assert found == pytest.approx(
        {"ece": 0, "confidence": 0.25, "classwise_ece": 0, "nll": math.log(4), "brier": 0.75}, abs=1e-12
    )


def test_the_fit_finds_the_temperature_of_the_labels_and_none_is_better():
    answers = random_answers(20_000, 5, sharpness=3.0)
    best = fit_temperature(answers.log_probabilities, answers.target)
    assert best == pytest.approx(3, rel=0.03)

    def cost(temperature: float) -> float:
        return float(-scale(answers.log_probabilities, temperature).gather(1, answers.target[:, None]).mean())

    assert cost(best) <= min(cost(float(other)) for other in np.geomspace(0.05, 500, 100)) + 1e-9


def test_saturated_probabilities_give_finite_numbers():
    scores = torch.tensor([[0.0, -900.0]] * 9 + [[-900.0, 0.0]], dtype=torch.float64)
    answers = make_answers(scores.log_softmax(dim=1), torch.zeros(10, dtype=torch.int64))
    found = measured(answers)
    assert found["nll"] == pytest.approx(90)
    assert found["ece"] == pytest.approx(0.1)
    temperature = fit_temperature(answers.log_probabilities, answers.target)
    assert temperature == pytest.approx(900 / math.log(9), rel=0.001)  # nine of ten right: odds of 9


@pytest.mark.parametrize("margin", [1e-3, 1.0, 5000.0])
def test_the_temperature_stays_1_where_all_images_are_right(margin):
    scores = torch.tensor([[0.0, -margin]] * 4, dtype=torch.float64)
    assert fit_temperature(scores, torch.zeros(4, dtype=torch.int64)) == 1


def test_rejected_images_have_no_confidence():
    answers = random_answers(100, 3)
    kept = answers.prediction != 0
    told = make_answers(answers.log_probabilities, answers.target, torch.where(kept, answers.prediction, REJECTED))
    rest = make_answers(answers.log_probabilities[kept], answers.target[kept])
    assert measured(told)["ece"] == pytest.approx(measured(rest)["ece"])
    assert measured(told)["nll"] == measured(answers)["nll"]
    none = make_answers(answers.log_probabilities, answers.target, torch.full((100,), REJECTED))
    assert "ece" not in measured(none)


def test_the_temperature_is_fitted_on_validation_images(quick):
    subject = with_answers(make_subject(quick()), random_answers(200, 10, 1), random_answers(300, 10, 2))
    found = calibration(subject)
    expected = fit_temperature(subject.validation.log_probabilities, subject.validation.target)
    assert found.numbers["temperature"] == pytest.approx(expected)
    scaled = scale(subject.answers.log_probabilities, expected)
    assert found.numbers["scaled_nll"] == pytest.approx(
        measure(scaled, subject.answers.target, subject.answers.prediction, BINS)["nll"]
    )
    assert found.notes == []
    assert found.figures[0].path.is_file()


@pytest.mark.parametrize(("on", "select_on"), [("valid", "valid"), ("test", "test")])
def test_each_half_is_scaled_by_the_other_if_no_images_were_held_out(quick, on, select_on):
    changes = {"select_on": "test", "valid_fraction": 0} if select_on == "test" else {}
    answers = random_answers(400, 10, 1)
    subject = with_answers(make_subject(quick(**changes), on), answers, answers)
    found = calibration(subject)
    whole = fit_temperature(answers.log_probabilities, answers.target)
    first, second = found.details["temperatures"]
    assert len({first, second, whole}) == 3
    assert found.numbers["temperature"] == pytest.approx(math.sqrt(first * second))
    assert "each half of the images is scaled by the temperature fitted on the other" in found.notes[0]


@pytest.mark.parametrize(("label", "note"), [(0, "the temperature stays 1"), (1, "the temperature is at its limit")])
def test_a_fit_without_a_minimum_is_reported(quick, label, note):
    log_p = torch.tensor([[3.0, 0.0, 0.0]], dtype=torch.float64).log_softmax(dim=1).expand(20, -1)
    answers = make_answers(log_p, torch.full((20,), label))
    found = calibration(with_answers(make_subject(quick()), answers, answers))
    assert [note in text for text in found.notes] == [True]
    if label == 0:
        assert found.numbers["scaled_ece"] == found.numbers["ece"]


def test_results_are_written_and_shown(quick):
    subject = make_subject(quick(loss_function="OneSidedMarginLoss"))
    evaluate(subject, only=["calibration"], echo=lambda text: None)
    written = json.loads((subject.output / "evaluation.json").read_text())["evaluations"]["calibration"]
    assert written["numbers"].keys() == glossary("calibration").keys()
    assert sum(written["details"]["bins"]["as it is"]["counts"]) == len(subject.part)
    assert "a convention, not a posterior" in written["notes"][0]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are drawn."""
    figures = []
    monkeypatch.setattr("evaluation.calibration.write_figure", lambda figure, path: figures.append(figure))
    return figures


def test_bins_of_few_images_are_pale_and_have_wide_intervals(drawn, tmp_path):
    confidence = [0.05] + [0.55] * 9 + [1.0] * 40
    right = [1.0] + [1.0, 0.0, 1.0] * 3 + [1.0] * 40
    plot_reliability({"one": Bins.of(np.array(confidence), np.array(right), 10)}, tmp_path / "x.png")
    upper, lower = drawn[0].axes
    alphas = {round(bar.get_x(), 1): bar.get_alpha() for bar in upper.patches}
    assert alphas == {0.0: 0.3, 0.5: 0.3, 0.9: 1.0}
    first = upper.collections[0].get_segments()[0]
    assert first[:, 1].tolist() == pytest.approx(wilson(1.0, 1))
    assert lower.get_yscale() == "log"
    assert [bar.get_height() for bar in lower.patches if bar.get_height()] == [1, 9, 40]


def test_pale_bars_are_in_the_legend_only_if_there_are_some(drawn, tmp_path):
    many = Bins.of(np.full(20, 0.5), np.ones(20), 10)
    few = Bins.of(np.full(2, 0.5), np.ones(2), 10)
    for panels, expected in (({"many": many}, False), ({"many": many, "few": few}, True)):
        plot_reliability(panels, tmp_path / "x.png")
        names = [text.get_text() for text in drawn[-1].legends[0].get_texts()]
        assert ("accuracy of fewer than 10 images" in names) == expected
        assert len(names) == len({*names})
