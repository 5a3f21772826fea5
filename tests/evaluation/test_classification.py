"""Accuracy against rejection by its definition, and means over the classes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.classification import RejectionCurve, add_balanced, classification
from evaluation.findings import Findings
from tests.evaluation.made_up_subject import make_answers, make_subject, random_answers, with_answers

images = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=1, max_size=40)


@given(images)
def test_points_of_the_curve_are_what_a_threshold_keeps(pairs):
    right, confidence = zip(*pairs, strict=True)
    curve = RejectionCurve.of(np.array(right), np.array(confidence, dtype=float))
    points = []
    for threshold in sorted(set(confidence)):
        kept = [hit for hit, sure in pairs if sure >= threshold]
        points.append((1 - len(kept) / len(pairs), sum(kept) / len(kept)))
    np.testing.assert_allclose(np.column_stack([curve.rejected, curve.accuracy]), points, atol=1e-12)
    assert curve.rejected[0] == 0


def test_areas_have_closed_forms():
    curve = RejectionCurve.of(np.array([True, True, True, False]), np.array([4.0, 3.0, 2.0, 1.0]))
    assert curve.area_above == pytest.approx(0.25 * 0.25)  # a quarter wrong while all are kept, for a quarter's width
    curve = RejectionCurve.of(np.array([True, False]), np.array([np.inf, np.inf]))  # equal confidence: one point
    assert (curve.rejected.tolist(), curve.accuracy.tolist(), curve.area_above) == ([0.0], [0.5], 0.5)
    curve = RejectionCurve.of(np.array([True, True, False, False]), np.array([4.0, 3.0, 2.0, 1.0]))
    assert [curve.accuracy_at(share) for share in (0, 0.25, 0.3, 0.5, 0.99)] == pytest.approx([0.5, 2 / 3, 1, 1, 1])


def test_a_note_says_over_which_classes_means_are_taken_if_some_have_no_image(quick):
    subject = make_subject(quick(classes=["3", "8", "0", "6"]))
    answers = random_answers(40, 4)
    kept = answers.target == 0
    few = make_answers(answers.log_probabilities[kept], answers.target[kept], answers.target[kept] * 0)
    few.prediction[0] = 2
    found = classification(with_answers(subject, few))
    assert found.notes == [
        "precision, recall and f1 are means over 2 of 4 classes; 2 occur neither as label nor as prediction; 1 are "
        "predicted but have no image here: they count as 0, but not in weighted_..."
    ]
    right = len(few.target) - 1
    assert found.numbers["recall"] == pytest.approx(right / len(few.target) / 2)
    assert found.numbers["weighted_recall"] == pytest.approx(right / len(few.target))
    whole = dataclasses.replace(answers, prediction=answers.target)
    assert classification(with_answers(subject, whole)).notes == []


def test_classes_are_judged_by_how_many_images_they_were_trained_on():
    trained = np.array([500, 101, 100, 20, 19, 1])
    target = np.repeat(np.arange(5), 4)  # of the last class there is no image
    right = np.arange(20) % 4 < np.repeat([4, 3, 2, 1, 0], 4)
    findings = Findings("classification")
    add_balanced(target, right, trained, findings)
    expected = {"balanced": 0.5, "many_shot": 0.875, "medium_shot": 0.375, "few_shot": 0.0}
    assert findings.numbers == {f"{name}_accuracy": pytest.approx(value) for name, value in expected.items()}
    assert findings.notes == ["classes by their training images: 2 few-shot, 2 medium-shot, 2 many-shot"]
    assert all(finding.better == "higher" and finding.unit == "%" for finding in findings.results.values())


def test_classes_of_one_kind_are_not_told_apart():
    findings = Findings("classification")
    add_balanced(np.array([0, 1, 1]), np.array([True, True, False]), np.array([30, 90]), findings)
    assert findings.numbers == {"balanced_accuracy": 0.75}
