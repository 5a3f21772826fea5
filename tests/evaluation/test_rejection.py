"""Accuracy against rejection, by its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.rejection import RejectionCurve

images = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=1, max_size=40)


def curve_of(pairs: list[tuple[bool, int]]) -> RejectionCurve:
    right, confidence = zip(*pairs, strict=True)
    return RejectionCurve.of(np.array(right), np.array(confidence, dtype=float))


@given(images)
def test_each_point_is_what_a_threshold_keeps(pairs):
    curve = curve_of(pairs)
    points = []
    for threshold in sorted({confidence for _, confidence in pairs}):
        kept = [right for right, confidence in pairs if confidence >= threshold]
        points.append((1 - len(kept) / len(pairs), sum(kept) / len(kept)))
    np.testing.assert_allclose(np.column_stack([curve.rejected, curve.accuracy]), points, atol=1e-12)


@given(images)
def test_nothing_is_rejected_at_the_start(pairs):
    assert curve_of(pairs).rejected[0] == 0
    assert curve_of(pairs).accuracy[0] == pytest.approx(np.mean([right for right, _ in pairs]))


def test_area_of_a_perfect_order_counts_the_wrong_at_its_end_only():
    curve = RejectionCurve.of(np.array([True, True, True, False]), np.array([4.0, 3.0, 2.0, 1.0]))
    assert curve.area_above == pytest.approx(0.25 * 0.25)  # a quarter wrong while all are kept, for a quarter's width


def test_equal_confidence_leaves_one_point():
    curve = RejectionCurve.of(np.array([True, False]), np.array([np.inf, np.inf]))
    assert (curve.rejected.tolist(), curve.accuracy.tolist()) == ([0.0], [0.5])
    assert curve.area_above == 0.5


def test_the_accuracy_at_a_share_rejects_no_less():
    curve = RejectionCurve.of(np.array([True, True, False, False]), np.array([4.0, 3.0, 2.0, 1.0]))
    assert [curve.accuracy_at(share) for share in (0, 0.25, 0.3, 0.5, 0.99)] == pytest.approx([0.5, 2 / 3, 1, 1, 1])
