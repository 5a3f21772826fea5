"""Verdicts: estimates against closed forms and other packages, decisions on made-up runs, seeds that would decide."""

from __future__ import annotations

import numpy as np
import pytest
from leaving import CE, FOCAL, OSM, leave, leave_losses, study, text_of
from scipy import stats

from comparison.noise import (
    Parts,
    half_width,
    image_parts,
    leading_rows,
    moderate,
    p_difference,
    p_same,
    row_variances,
)
from comparison.panels import Comparison
from comparison.power import chance_to_decide, needed_seeds
from comparison.records import group_records
from comparison.verdicts import Verdict

RANDOM = np.random.default_rng(5)


def parts(images: float, seeds: float, both: float, df: float, count: int) -> Parts:
    return Parts(*map(np.array, (images, seeds, both, df, count)))


def verdict(comparison: Comparison, row: str) -> Verdict:
    (found,) = [cell.verdict for cell in comparison.cells if cell.row == row]
    assert found is not None
    return found


def test_two_rows_without_images_are_the_paired_t_test():
    values = RANDOM.normal(size=(2, 7))
    variances, df = moderate(*row_variances(values))
    variance = variances.sum() / 7
    expected = stats.ttest_rel(values[0], values[1])
    assert df.tolist() == pytest.approx([6, 6])
    difference = values[0].mean() - values[1].mean()
    assert float(p_difference(difference, variance, df[0])) == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert float(half_width(variance, df[0])) == pytest.approx((interval.high - interval.low) / 2)


def test_the_mean_squares_of_images_and_seeds_are_those_of_the_analysis_of_variance():
    values = RANDOM.integers(-1, 2, size=(4, 30)).astype(float)
    of_images, both = image_parts(values)
    centred = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    assert of_images == pytest.approx(values.mean(0).var(ddof=1) / 30)
    assert both == pytest.approx((centred**2).sum() / (3 * 29) / (4 * 30))
    assert image_parts(np.ones((3, 1))) == (0.0, 0.0)


def test_a_missing_seed_leaves_the_rest_of_a_table_as_it_was():
    values = RANDOM.normal(size=(3, 6))
    full, df = row_variances(values)
    values[2, 5] = np.nan
    partly, fewer = row_variances(values)
    assert fewer.sum() == pytest.approx(df.sum() - 1)
    assert fewer[2] < fewer[0] < df[0]
    assert partly == pytest.approx(full, rel=1.5)


def test_rows_that_agree_share_their_variance_and_rows_that_do_not_keep_their_own():
    alike, df = moderate(np.full(6, 2.0), np.full(6, 4.0))
    assert alike.tolist() == pytest.approx([2.0] * 6)
    assert df.tolist() == pytest.approx([24.0] * 6)
    apart, fewer = moderate(np.array([0.01, 0.1, 1, 10, 100, 1000.0]), np.full(6, 10.0))
    assert apart[0] < 0.1
    assert apart[-1] > 500
    assert (fewer < 13).all()


def test_two_one_sided_tests_are_the_larger_of_the_two():
    variance, df, rope = np.array(0.01), np.array(8.0), 0.3
    found = float(p_same(np.array(0.1), variance, df, rope))
    sides = [stats.t.sf((rope - 0.1) / 0.1, 8), stats.t.sf((rope + 0.1) / 0.1, 8)]
    assert found == pytest.approx(max(sides))
    assert float(p_same(np.array(0.0), np.array(0.0), df, rope)) == 0.0
    assert float(p_difference(np.array(0.0), np.array(0.0), df)) == 1.0


def test_the_leading_group_is_the_best_and_those_that_are_not_worse():
    means = np.array([0.9, 0.895, 0.5])
    variance = np.full((3, 3), 1e-4)
    same = Parts(np.zeros((3, 3)), variance, np.zeros((3, 3)), np.full((3, 3), 10.0), np.full((3, 3), 5))
    assert leading_rows(means[:, None] - means, same).tolist() == [True, True, False]


def test_more_seeds_decide_more_surely_and_none_where_images_are_too_few():
    noise = parts(1e-6, 1e-4, 0.0, 8.0, 4)
    chances = chance_to_decide(0.02, noise, np.array([5, 10, 20, 50]), 0.003, 0.05)
    assert (np.diff(chances) > 0).all()
    need = needed_seeds(0.02, noise, 0.003, 0.05)
    assert need.low is not None
    assert need.seeds is not None
    assert need.low <= need.seeds
    assert chance_to_decide(0.02, noise, np.array([need.seeds]), 0.003, 0.05)[0] >= 0.8
    few = needed_seeds(0.001, parts(1e-3, 1e-4, 0.0, 8.0, 4), 0.003, 0.05)
    assert (few.seeds, few.ever) == (None, False)


def leave_rows(output, gaps, seeds: int = 6, images: int = 2000) -> None:
    """Runs whose baseline is right on 80 % of the images; others on more or fewer, with a spread over seeds."""
    random = np.random.default_rng(1)
    ease = random.random(images)
    for seed in range(seeds):
        for loss, gap in gaps.items():
            limit = 0.8 + gap + 0.002 * random.standard_normal()
            leave(output, loss, f"seed={seed}", right=(ease < limit).tolist())


def test_a_row_is_better_worse_the_same_or_undecided(tmp_path):
    leave_rows(tmp_path, {CE: 0.0, OSM: 0.05, FOCAL: -0.05, "loss_function=HingeLoss": 0.0})
    found = study(tmp_path, rope=1.5)
    names = ("OneSidedMarginLoss", "FocalLoss", "HingeLoss")
    assert [verdict(found, name).decision for name in names] == ["better", "worse", "same"]
    assert verdict(found, "OneSidedMarginLoss").images == 2000
    assert {cell.row for cell in found.cells if cell.leading} == {"OneSidedMarginLoss"}
    narrow = verdict(study(tmp_path, rope=0.01), "HingeLoss")
    assert narrow.decision == "undecided"
    assert narrow.low < 0 < narrow.high
    text = text_of(found)
    assert "same within 1.5" in text
    assert max(map(len, text.partition("Verdicts")[2].partition("Tests")[0].splitlines())) <= 100
    record = {row["row"]: row for row in group_records(found)}["HingeLoss"]
    assert (record["decision"], record["rope"], record["verdict"]) == ("same", 0.015, "images only")
    assert record["p_same_holm"] >= record["p_same"]


def test_where_smaller_is_better_a_larger_number_is_worse(tmp_path):
    for seed in range(5):
        leave(tmp_path, CE, f"seed={seed}", accuracy=0.9 + 0.001 * seed)
        leave(tmp_path, OSM, f"seed={seed}", accuracy=0.5 + 0.002 * seed)
    found = study(tmp_path, metric="test/cross_entropy")
    assert verdict(found, "OneSidedMarginLoss").decision == "worse"
    assert {cell.row for cell in found.cells if cell.leading} == {"CrossEntropyLoss"}
    assert "test/cross_entropy is not known for each image" in text_of(found)


@pytest.mark.parametrize(
    ("seeds", "other", "reason"),
    [((0,), (0,), "one seed"), ((0,), (1,), "no seed in common"), ((0, 1), (1, 2), "one seed")],
)
def test_what_cannot_be_judged_says_why_and_the_table_stands(tmp_path, seeds, other, reason):
    for seed in seeds:
        leave(tmp_path, CE, f"seed={seed}", accuracy=0.9)
    for seed in other:
        leave(tmp_path, OSM, f"seed={seed}", accuracy=0.8)
    found = study(tmp_path)
    assert (verdict(found, "OneSidedMarginLoss").decision, verdict(found, "OneSidedMarginLoss").reason) == (
        "undecided",
        reason,
    )
    assert f"undecided: {reason}" in text_of(found)


def test_without_a_common_seed_both_spreads_count(tmp_path):
    first, second = [0.80, 0.82, 0.81], [0.90, 0.93, 0.91]
    for seed, (ours, theirs) in enumerate(zip(first, second, strict=True)):
        leave(tmp_path, CE, f"seed={seed}", accuracy=ours)
        leave(tmp_path, OSM, f"seed={seed + 10}", accuracy=theirs)
    found = verdict(study(tmp_path), "OneSidedMarginLoss")
    assert found.p_difference == pytest.approx(stats.ttest_ind(first, second, equal_var=False)[1])
    assert found.decision == "better"


def test_runs_that_are_the_same_are_the_same_and_named(tmp_path):
    for seed in range(3):
        for loss in (CE, OSM):
            leave(tmp_path, loss, f"seed={seed}", right=[True] * 8 + [False] * 2)
    found = study(tmp_path)
    assert verdict(found, "OneSidedMarginLoss").decision == "same"
    assert "differ by the same amount in each run" in text_of(found)


def test_other_images_are_not_counted_and_said(tmp_path):
    for seed in range(4):
        leave(tmp_path, CE, f"seed={seed}", right=[k < 60 + seed for k in range(100)])
        leave(tmp_path, OSM, f"seed={seed}", right=[k < 61 for k in range(90)])
    found = verdict(study(tmp_path), "OneSidedMarginLoss")
    assert (found.images, found.reason) == (0, "other test images")


def test_several_metrics_stand_in_one_table(tmp_path):
    leave_losses(tmp_path, seeds=4)
    found = study(tmp_path, more_metrics=("test/cross_entropy",))
    text = text_of(found)
    assert "test/accuracy, %" in text
    assert [other.options.metric for other in found.others] == ["test/cross_entropy"]
    assert text.count("Verdicts: ") == 2
