"""Papers' numbers beside ours: whose they are, in what runs differ from a recipe, improvements."""

from __future__ import annotations

from pathlib import Path

import pytest
from leaving import OSM, leave, study, text_of
from msgspec import structs

from comparison.tables import build_tables
from sweeps.cells import expand
from sweeps.reference import belongs, recipes, reference_of
from tests.small_sweep import read_sweep

ROOT = Path(__file__).resolve().parents[2]


def test_the_papers_number_stands_beside_ours(tmp_path):
    recipe = "experiment_name=osm_table5"
    network = "torchvision/efficientnet_b0"
    leave(tmp_path, recipe, "dataset=cifar10", f"architecture={network}", OSM, "select_on=test", accuracy=0.9)
    (cell,) = study(tmp_path).cells
    (paper,) = cell.papers
    assert 0.5 < paper.value < 1
    assert f"paper {100 * paper.value:.2f}, {90 - 100 * paper.value:+.2f}" in text_of(study(tmp_path)).replace("*", "")
    assert "num_epochs 300 -> 3" in paper.departures
    assert not any(each.startswith(("architecture ", "loss_function ", "select_on ")) for each in paper.departures)
    assert "warning: these are not the recipe's runs, they differ in " in text_of(study(tmp_path))


def test_the_recipes_own_runs_depart_in_nothing(tmp_path):
    recipe = ROOT / "experiments" / "osm_table4.yml"
    config = next(expand(read_sweep(recipe))).config
    leave(tmp_path, "seed=0").config.write_text(config.to_yaml())
    (cell,) = study(tmp_path).cells
    assert [paper.departures for paper in cell.papers] == [()]


WITH_IMPROVEMENTS = sorted(
    name
    for name in recipes()
    if (reference := reference_of(name)).metric == "test/accuracy"
    and any(number.improvement_over for number in reference.numbers)
)


@pytest.mark.parametrize("recipe", WITH_IMPROVEMENTS)
def test_improvements_that_a_paper_prints_stand_beside_ours(tmp_path, recipe):
    """Each loss is as much better than the other in all its runs as the paper says, and a point more."""
    reference = reference_of(recipe)
    sweep = read_sweep(ROOT / "experiments" / f"{recipe}.yml")
    numbers = [each for each in reference.numbers if each.improvement_over and each.metric in (None, "test/accuracy")]
    assert numbers
    sign = -1 if reference.printed == "error" else 1
    first = sweep.block.seed_list[:1]
    for place, cell in enumerate(cell for cell in expand(sweep) if cell.config.seed in (first or [sweep.base.seed])):
        gains = [sign * each.value / 100 for each in numbers if belongs(each.cell, cell.config.values())]
        accuracy = 0.5 + max(gains, default=-0.01) + 0.01
        folder = leave(tmp_path, f"seed={cell.config.seed}", suffix=f"-{place + 2}", accuracy=accuracy)
        folder.config.write_text(cell.config.to_yaml())
    found = study(tmp_path, tests="none")
    assert len(found.improvements) == len(numbers)
    for each, number in zip(found.improvements, numbers, strict=True):
        assert each.printed.value == pytest.approx(sign * number.value / 100)
        assert each.difference == pytest.approx(each.printed.value + 0.01)
        assert each.pairs >= 1
        assert each.printed.departures == ()
    (table,) = [table for table in build_tables(found) if table.title.startswith("Improvements that papers print")]
    assert {row[3].text for row in table.rows} == {"+1.00"}
    assert table.title.endswith("test/accuracy, %")
    assert reference.source in " ".join(table.notes)


@pytest.mark.parametrize(
    ("ours", "theirs", "shown"),
    [({0: 0.6, 7: 0.1}, {0: 0.5, 8: 0.9}, "+10.00 (1)"), ({0: 0.6, 7: 0.1}, {8: 0.9}, "-55.00 ¶ (1)")],
)
def test_improvements_beside_a_papers_are_over_shared_seeds(tmp_path, ours, theirs, shown):
    recipe = "ols_table6"
    configs = [cell.config for cell in expand(read_sweep(ROOT / "experiments" / f"{recipe}.yml"))]
    number = next(each for each in reference_of(recipe).numbers if each.improvement_over)
    for cell, accuracies in ((number.cell, ours), (number.improvement_over, theirs)):
        side = next(each for each in configs if belongs(cell or {}, each.values()))
        for seed, accuracy in accuracies.items():
            folder = leave(tmp_path, f"seed={seed}", suffix=f"-{len(list(tmp_path.glob('*'))) + 2}", accuracy=accuracy)
            folder.config.write_text(structs.replace(side, seed=seed).to_yaml())
    (table,) = [each for each in build_tables(study(tmp_path, tests="none")) if "papers" in each.title]
    assert [row[1].text for row in table.rows] == [shown]
    assert any("¶" in note for note in table.notes) == ("¶" in shown)


def test_runs_that_are_no_recipes_have_no_paper(tmp_path):
    leave(tmp_path / "a", "dataset=cifar10", "architecture=torchvision/efficientnet_b0", OSM)
    leave(tmp_path / "b", "experiment_name=osm_table5", "smoke=true", "dataset=cifar10", OSM)
    assert [cell.papers for name in "ab" for cell in study(tmp_path / name).cells] == [(), ()]
