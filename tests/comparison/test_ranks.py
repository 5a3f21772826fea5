"""Ranks over data sets, against values by hand and scipy's own."""

from __future__ import annotations

import pytest
from leaving import CE, FOCAL, OSM, leave, study, text_of
from scipy import stats

from comparison.ranks import rank_rows

ACCURACIES = {CE: (0.80, 0.70, 0.60, 0.50), OSM: (0.85, 0.75, 0.65, 0.55), FOCAL: (0.70, 0.60, 0.61, 0.45)}


@pytest.fixture
def four_sets(tmp_path):
    for loss, values in ACCURACIES.items():
        for number, value in enumerate(values):
            for seed in range(3):
                changes = (loss, f"seed={seed}", f"image_size={16 + number}")
                leave(tmp_path, *changes, accuracy=value + 0.001 * seed, data=f"{number}" * 16)
    return tmp_path


def test_ranks_and_tests_over_data_sets(four_sets):
    found = rank_rows(study(four_sets))
    assert found is not None
    assert len(found.sets) == 4
    assert found.rows == ("OneSidedMarginLoss", "CrossEntropyLoss", "FocalLoss")
    assert found.ranks == pytest.approx((1.0, 2.25, 2.75))
    means = [[value + 0.001 for value in ACCURACIES[loss]] for loss in (CE, OSM, FOCAL)]
    assert found.friedman == pytest.approx(stats.friedmanchisquare(*means).pvalue)
    assert found.critical == pytest.approx(2.343 * (3 * 4 / (6 * 4)) ** 0.5, abs=2e-3)  # Demsar 2006, Table 5
    assert found.improvement["OneSidedMarginLoss"][0] == 1.0
    assert found.near == (4, 0, 0)
    raw, corrected = found.wilcoxon["OneSidedMarginLoss"]
    assert (raw, corrected) == (0.125, 0.25)


def test_the_table_of_ranks_is_there_for_several_sets_only(four_sets, tmp_path):
    assert "Over 4 data sets" in text_of(study(four_sets))
    leave(tmp_path / "one", CE)
    leave(tmp_path / "one", OSM)
    assert rank_rows(study(tmp_path / "one")) is None
