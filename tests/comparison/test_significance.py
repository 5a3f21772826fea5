"""The paired tests, against scipy's, closed forms and enumeration; and the verdicts on differences that follow."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from leaving import CE, FOCAL, OSM, contrast, leave, leave_losses, study, text_of
from scipy import stats

from comparison.groups import Spread
from comparison.noise import holm
from comparison.records import group_records
from comparison.significance import EXACT_IMAGES, EXACT_SEEDS, bootstrap_interval, image_test, seed_test
from comparison.tables import build_tables


def images(*counts: tuple[int, int]) -> np.ndarray:
    """(difference, number of images) -> [N]."""
    return np.concatenate([np.full(number, difference) for difference, number in counts])


@pytest.mark.parametrize(("plus", "minus"), [(0, 1), (1, 0), (3, 3), (12, 2), (1, 25), (40, 60), (500, 420)])
def test_one_seed_is_the_mid_p_mcnemar_test(plus, minus):
    exact = stats.binomtest(plus, plus + minus, 0.5).pvalue
    expected = exact - stats.binom.pmf(min(plus, minus), plus + minus, 0.5)
    if plus == minus:
        expected = 1 - stats.binom.pmf(plus, plus + minus, 0.5) / 2
    assert image_test(images((1, plus), (-1, minus), (0, 50))) == pytest.approx(expected, rel=1e-9)


def test_a_value_of_mcnemars_mid_p_from_the_literature():
    # Fagerland et al. 2013, table 1 (Bentur et al. 2009): 1 against 7 of 21; exact 0.0703, mid-p 0.0391
    assert image_test(images((1, 1), (-1, 7), (0, 13))) == pytest.approx(0.0391, abs=5e-5)
    assert image_test(images((1, 1), (-1, 7), (0, 13)), exact=True) == pytest.approx(0.0703, abs=5e-5)


@pytest.mark.parametrize(("plus", "minus"), [(5, 0), (9, 2), (3, 3), (0, 0), (500, 420)])
def test_the_exact_test_of_one_seed_is_the_binomial_one(plus, minus):
    expected = stats.binomtest(plus, plus + minus, 0.5).pvalue if plus + minus else 1.0
    found = image_test(images((1, plus), (-1, minus), (0, 50)), exact=True)
    assert found == pytest.approx(expected, rel=1e-9)
    assert found >= image_test(images((1, plus), (-1, minus), (0, 50)))


def test_several_seeds_are_the_enumeration_of_all_signs():
    differences = np.array([2, 1, -1, 3, 1, 0, 2, -2, 1, 1])
    moved = differences[differences != 0]
    sums = [
        abs(sum(s * d for s, d in zip(signs, moved, strict=True))) for signs in itertools.product((1, -1), repeat=9)
    ]
    seen = abs(differences.sum())
    expected = np.mean([(each > seen) + (each == seen) / 2 for each in sums])
    assert image_test(differences) == pytest.approx(expected, rel=1e-12)


def test_very_many_images_are_tested_by_the_limit_of_the_exact_test():
    below, above = (images((1, half + 150), (-1, half - 150)) for half in (EXACT_IMAGES // 2, EXACT_IMAGES // 2 + 1))
    assert len(below) == EXACT_IMAGES < len(above)
    assert image_test(above) == pytest.approx(image_test(below), rel=0.01)


def test_methods_that_are_right_on_the_same_images_do_not_differ():
    assert image_test(np.zeros(100, dtype=int)) == 1.0
    assert bootstrap_interval(np.zeros(100)) == (0.0, 0.0)


@pytest.mark.parametrize("values", [[0.3, 0.1], [0.5, -0.5, 0.2], [1.0, 2.0, 3.0, 4.0, -5.0], [0.1] * 6, "random"])
def test_few_seeds_are_the_enumeration_of_all_signs(values):
    values = np.random.default_rng(3).normal(0.5, 1, 9).tolist() if values == "random" else values
    sums = [
        abs(sum(sign * value for sign, value in zip(signs, values, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    expected = np.mean([each >= abs(sum(values)) - 1e-12 for each in sums])
    found = seed_test(values)
    assert found is not None
    assert found.p_value == pytest.approx(expected, rel=1e-12)
    assert found.method == "exact sign-flip"


def test_the_least_p_of_few_seeds_is_that_of_all_differences_of_one_sign():
    for number in range(2, EXACT_SEEDS + 1):
        found = seed_test([0.1 + 0.01 * k for k in range(number)])
        assert found is not None
        assert found.p_value == found.smallest == 2 / 2**number
    assert seed_test([0.1]) is None


def test_more_seeds_are_students_paired_t():
    values = np.random.default_rng(0).normal(0.3, 1, EXACT_SEEDS + 1)
    found = seed_test(values.tolist())
    t = values.mean() / (values.std(ddof=1) / np.sqrt(len(values)))
    assert found is not None
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(t), len(values) - 1), rel=1e-9)
    assert [seed_test([x] * 13).p_value for x in (0.0, 0.1)] == [1.0, 0.0]  # type: ignore[union-attr]


def test_signs_and_order_do_not_matter():
    values = [0.3, -0.1, 0.25, 0.4]
    assert seed_test(values) == seed_test([-x for x in reversed(values)])
    differences = images((2, 5), (-1, 9), (1, 3))
    assert image_test(differences) == image_test(-differences[::-1])


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.6])).tolist() == [1.0, 1.0]
    assert holm(np.array([])).tolist() == []


def test_the_interval_is_seeded_and_close_to_that_of_the_normal_distribution():
    differences = images((1, 120), (-1, 60), (0, 820)).astype(float)
    low, high = bootstrap_interval(differences)
    half = 1.96 * differences.std() / np.sqrt(len(differences))
    assert (low, high) == pytest.approx((0.06 - half, 0.06 + half), abs=0.003)
    assert bootstrap_interval(differences[::-1]) == (low, high)


def test_95_percent_of_the_intervals_hold_the_truth(monkeypatch):
    monkeypatch.setattr("comparison.significance.RESAMPLES", 1000)
    random = np.random.default_rng(1)
    chances = [0.15, 0.75, 0.1]  # of -1, 0 and 1: the truth is -0.05
    samples = (random.choice([-1.0, 0.0, 1.0], size=300, p=chances) for _ in range(300))
    held = sum(low <= -0.05 <= high for low, high in map(bootstrap_interval, samples))
    assert 0.91 <= held / 300 <= 0.98


def test_spread_is_of_a_sample():
    assert Spread.of([0.9, 0.92, 0.94]) == Spread(pytest.approx(0.92), pytest.approx(0.02), 3)  # type: ignore[arg-type]
    assert Spread.of([0.9]) == Spread(0.9, None, 1)
    assert Spread.of([]) is None


def test_a_difference_on_images_and_seeds_is_tested(tmp_path):
    leave_losses(tmp_path)
    found = contrast(study(tmp_path), "OneSidedMarginLoss")
    assert found.over_images is not None
    assert found.over_seeds is not None
    assert found.over_images.difference == pytest.approx(0.09)
    assert found.over_images.low < 0.09 < found.over_images.high
    # eight images that all seeds, one that two and one that one has more: signs all alike; mid-p
    assert found.over_images.p_value == pytest.approx(1 / 2**10)
    assert found.over_seeds.p_value == 0.25
    assert found.verdict == "images only"
    told = "with 3 seeds no test over seeds can reach 0.05: p (Holm) is at least 0.250; 6 seeds can"
    assert told in text_of(study(tmp_path))
    leave_losses(tmp_path / "three more", seeds=6)
    assert contrast(study(tmp_path / "three more"), "OneSidedMarginLoss").verdict == "more than noise"


def test_the_test_over_images_is_called_what_it_is_and_can_be_exact(tmp_path):
    leave(tmp_path, CE, right=[k < 80 for k in range(100)])
    leave(tmp_path, OSM, right=[k < 85 for k in range(100)])
    for exact, expected, name in (
        (False, 0.03125, "the mid-p McNemar test"),
        (True, 0.0625, "McNemar's exact test, an"),
    ):
        found = study(tmp_path, exact=exact)
        tested = contrast(found, "OneSidedMarginLoss").over_images
        assert tested is not None
        assert tested.p_value == pytest.approx(expected)
        assert name in text_of(found)
        assert "exact test (mid-p)" not in text_of(found)


def test_texts_are_paired_as_classes_are(tmp_path):
    texts = [f"皖A{k:05}" for k in range(100)]
    for seed in range(6):
        leave(tmp_path, CE, f"seed={seed}", right=[k < 80 for k in range(100)], targets=texts)
        leave(tmp_path, OSM, f"seed={seed}", right=[k < 89 for k in range(100)], targets=texts)
    found = contrast(study(tmp_path), "OneSidedMarginLoss")
    assert found.over_images is not None
    assert found.over_images.difference == pytest.approx(0.09)
    assert found.over_images.p_value == pytest.approx(1 / 2**9)
    assert found.verdict == "more than noise"


def test_a_group_beside_its_equal_has_no_difference(tmp_path):
    for seed in range(6):
        for loss in (CE, FOCAL):
            leave(tmp_path, loss, f"seed={seed}", right=[k % 3 > 0 for k in range(60)])
    found = contrast(study(tmp_path), "FocalLoss")
    assert found.over_images is not None
    assert found.over_seeds is not None
    assert (found.over_images.difference, found.over_images.p_value, found.over_seeds.p_value) == (0.0, 1.0, 1.0)
    assert (found.over_images.low, found.over_images.high) == (0.0, 0.0)
    assert found.verdict == "within noise"


def test_p_values_are_corrected_over_all_tables(tmp_path):
    for rate in (0.1, 0.2, 0.3):
        leave(tmp_path, CE, f"optimizer_params.lr={rate}", right=[k < 80 for k in range(100)])
        leave(tmp_path, OSM, f"optimizer_params.lr={rate}", right=[k < 84 for k in range(100)])
    contrasts = study(tmp_path, columns=("dropout",)).contrasts
    tested = [contrast.over_images for _, contrast in contrasts if contrast.over_images]
    assert [each.p_value for each in tested] == [pytest.approx(0.0625)] * 3
    assert [each.adjusted for each in tested] == [pytest.approx(0.1875)] * 3


@pytest.mark.parametrize(
    ("seeds", "others", "told"),
    [
        (1, 1, "n = 1"),
        (2, 1, "n = 2"),
        (5, 1, "n = 5"),
        (6, 1, None),
        (6, 2, "n = 6 for so many comparisons"),
        (7, 2, None),
    ],
)
def test_what_no_test_can_tell_is_not_called_noise(tmp_path, seeds, others, told):
    """Two seeds have a p of 0.5 at best, so "within noise" would be said whatever the networks do."""
    for seed in range(seeds):
        for loss in (CE, OSM, FOCAL)[: others + 1]:
            leave(tmp_path, loss, f"seed={seed}", accuracy=0.1 if loss == CE else 0.9)
    found = study(tmp_path)
    verdicts = {contrast.verdict for _, contrast in found.contrasts}
    assert verdicts == {"more than noise" if told is None else "not testable"}
    assert (f"not testable: {told}, no predictions" in text_of(found)) == (told is not None)
    assert "within noise" not in text_of(found)
    assert {row.get("verdict") for row in group_records(found)} == {None, *verdicts}


def test_tests_that_nothing_had_take_no_column(tmp_path):
    for loss in (CE, OSM):
        leave(tmp_path, loss, right=[True, loss == CE])
    (table,) = [table for table in build_tables(study(tmp_path)) if table.title.startswith("Tests")]
    assert table.header == (
        "compared with CrossEntropyLoss",
        "difference",
        "95 % interval",
        "images: p (Holm)",
        "verdict",
    )
    assert [len(row) for row in table.rows] == [5]
    leave(tmp_path, CE, "seed=1")
    leave(tmp_path, OSM, "seed=1")
    (table,) = [table for table in build_tables(study(tmp_path)) if table.title.startswith("Tests")]
    assert table.header == ("compared with CrossEntropyLoss", "difference", "seeds: p (Holm)", "verdict")
