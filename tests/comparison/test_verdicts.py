"""Verdicts on differences: over images, over seeds, corrected for their number."""

from __future__ import annotations

import pytest
from leaving import CE, FOCAL, OSM, contrast, leave, leave_losses, study, text_of

from comparison.records import group_records
from comparison.tables import build_tables


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
    (table,) = [table for table in build_tables(study(tmp_path)) if table.of_all]
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
    (table,) = [table for table in build_tables(study(tmp_path)) if table.of_all]
    assert table.header == ("compared with CrossEntropyLoss", "difference", "seeds: p (Holm)", "verdict")
