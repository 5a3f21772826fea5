"""Groups, tables and tests of runs that lie in folders."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from leaving import leave
from msgspec import structs

from comparison.formats import to_markdown, to_terminal
from comparison.latex import to_latex
from comparison.notes import notes
from comparison.page.writing import write_page
from comparison.panels import Comparison, Options, compare
from comparison.records import group_records, run_records
from comparison.significance import Contrast
from comparison.sources import find_runs
from comparison.tables import build_tables
from configuration.reading import read_configuration
from configuration.schema import Configuration
from configuration.settings import short_labels, shown
from losses import BASELINES, build_loss, check_loss_name
from metrics import KINDS
from runs.identity import content_of
from sweeps.cells import expand, load_sweep
from sweeps.reading import find_mistakes
from sweeps.reference import belongs, recipes, reference_of
from utils.types import ConfigError

ROOT = Path(__file__).resolve().parents[2]
CE, OSM, FOCAL = "loss_function=CrossEntropyLoss", "loss_function=OneSidedMarginLoss", "loss_function=FocalLoss"


def study(output: Path, **options) -> Comparison:
    return compare(find_runs([str(output)]), Options(**options))


def text_of(comparison: Comparison) -> str:
    return to_terminal(build_tables(comparison), notes(comparison))


def contrast(comparison: Comparison, row: str) -> Contrast:
    (found,) = [tested for cell, tested in comparison.contrasts if cell.row == row]
    assert found is not None
    return found


def leave_losses(output: Path, seeds: int = 3) -> None:
    """Cross entropy right on 80 of 100 images, the other loss on these and 8 to 10 more."""
    for seed in range(seeds):
        leave(output, CE, f"seed={seed}", right=[k < 80 for k in range(100)])
        leave(output, OSM, f"seed={seed}", right=[k < 88 + seed for k in range(100)])


# --------------------------------------------------------------------------------------------------- groups, layout


def test_runs_that_differ_in_their_seed_are_a_group_with_mean_and_spread(tmp_path):
    for seed, accuracy in enumerate((0.90, 0.92, 0.94)):
        leave(tmp_path, f"seed={seed}", "notes=x", accuracy=accuracy)
    leave(tmp_path, "seed=3", "notes=y", "num_workers=3", accuracy=0.96)
    (cell,) = study(tmp_path).cells
    assert cell.spread is not None
    assert (cell.spread.mean, cell.spread.std, cell.spread.count) == pytest.approx((0.93, 0.0258199, 4))
    assert "93.00 ± 2.58 (4)" in text_of(study(tmp_path))


def test_rows_and_columns_are_chosen_from_what_differs(tmp_path):
    for network in ("resnet10t", "resnet18"):
        for loss in (CE, OSM):
            leave(tmp_path, loss, f"architecture={network}", f"dropout={0.1 if network == 'resnet18' else 0.2}")
    found = study(tmp_path)
    assert (found.layout.rows, found.layout.columns, found.layout.panels) == (
        *(("loss_function",), ("architecture",)),
        (),
    )
    assert found.layout.beside == {"dropout": "architecture"}
    told = "they differ in loss_function (rows); architecture (columns)"
    assert notes(found)[:2] == [f"4 runs in 4 groups; {told}", "dropout varies together with architecture"]


def test_what_differs_beyond_rows_and_columns_splits_the_table(tmp_path):
    for loss in (CE, OSM):
        for rate in (0.1, 0.01):
            leave(tmp_path, loss, f"optimizer_params.lr={rate}", accuracy=rate)
            leave(tmp_path, loss, f"optimizer_params.lr={rate}", "batch_size=8", accuracy=rate)
    found = study(tmp_path, columns=("batch_size",))
    assert [panel.title for panel in found.panels] == ["optimizer_params.lr: 0.01", "optimizer_params.lr: 0.1"]
    assert [len(panel.cells) for panel in found.panels] == [4, 4]
    assert {cell.spread.mean for cell in found.panels[0].cells.values() if cell.spread} == {0.01}


def test_a_losss_parameters_stand_in_its_row(tmp_path):
    leave(tmp_path, CE)
    for alpha in (0.1, 0.5):
        leave(tmp_path, OSM, f"loss_params.alpha={alpha}")
    (panel,) = study(tmp_path).panels
    assert panel.rows == ("CrossEntropyLoss", "OneSidedMarginLoss(alpha=0.1)", "OneSidedMarginLoss(alpha=0.5)")


DRAWN = (0.013292918943162165, 0.0013292918943162165, 0.5)


def test_numbers_of_many_digits_have_short_labels_and_stay_exact_in_files(tmp_path):
    for rate in DRAWN:
        leave(tmp_path, CE, f"optimizer_params.lr={rate}", accuracy=rate)
    found = study(tmp_path, rows=("optimizer_params.lr",), baseline="0.5")
    labels = ["0.5", "0.001329", "0.01329"]
    assert list(found.panels[0].rows) == labels
    for text in (text_of(found), to_markdown(build_tables(found), notes(found)), to_latex(build_tables(found), [])):
        assert all(label in text for label in labels)
        assert not any(str(rate) in text for rate in DRAWN[:2])
    for records in (group_records(found), run_records(found)):
        assert {record["optimizer_params.lr"] for record in records} == set(map(str, DRAWN))
    for name in labels[1], str(DRAWN[1]):
        assert study(tmp_path, rows=("optimizer_params.lr",), baseline=name).panels[0].baseline == labels[1]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.013292918943162165, 0.01], ["0.01329", "0.01"]),
        ([0.013292918943162165, 0.013292918943162166 + 1e-9], ["0.013292919", "0.01329292"]),
        ([0.013292918943162165, 0.01329], ["0.013293", "0.01329"]),
        ([0.9999, 0.99995, 123456.0], ["0.9999", "0.99995", "123456.0"]),
        ([1.2345678901e-05, -3.1415926535], ["1.235e-05", "-3.142"]),
        ([None, True, "0.013292918943162165", 12345678901], ["null", "true", "'0.013292918943162165'", "12345678901"]),
        ([0.1, 0.1], ["0.1"]),
    ],
)
def test_labels_have_few_digits_where_these_tell_the_values_apart(values, labels):
    found = short_labels(values)
    assert list(found) == list(dict.fromkeys(map(shown, values)))
    assert list(found.values()) == labels


def test_the_order_of_the_folders_does_not_matter(tmp_path):
    leave_losses(tmp_path)
    leave(tmp_path, FOCAL, right=[k > 15 for k in range(100)])
    words = [str(path) for path in tmp_path.iterdir()]
    texts = set()
    for seed in range(4):
        random.Random(seed).shuffle(words)
        texts.add(text_of(compare(find_runs(words), Options())))
    assert len(texts) == 1


def test_the_best_of_each_column_is_marked_and_the_smaller_one_where_that_is_better(tmp_path):
    leave(tmp_path, CE, accuracy=0.8)
    leave(tmp_path, OSM, accuracy=0.9)
    for metric in ("test/accuracy", "test/cross_entropy"):
        assert [cell.row for cell in study(tmp_path, metric=metric).cells if cell.best] == ["OneSidedMarginLoss"]
    (panel,) = study(tmp_path).panels
    row, difference = panel.improvements[""]
    assert (row, difference.value) == ("OneSidedMarginLoss", pytest.approx(0.1))
    assert "**90.00 (1)**" in to_markdown(build_tables(study(tmp_path)), [])
    assert r"\textbf{90.00 (1)}" in to_latex(build_tables(study(tmp_path)), [])


# ------------------------------------------------------------------------------------------------------------ tests


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


def test_multiply_adds_of_older_runs_are_read(tmp_path):
    leave(tmp_path, CE)
    old = leave(tmp_path, OSM)
    old.summary.write_text(old.summary.read_text().replace("multiply_adds", "flops"))
    assert "flops" in old.summary.read_text()
    assert [row["multiply_adds mean"] for row in group_records(study(tmp_path))] == [20, 20]
    assert old.read_summary()["multiply_adds"] == 20


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


def test_runs_of_other_texts_are_not_paired(tmp_path):
    leave(tmp_path, CE, right=[True] * 3, targets=["A1", "B2", "C"])
    leave(tmp_path, OSM, right=[True] * 3, targets=["A1", "B2", "CD"])
    assert contrast(study(tmp_path), "OneSidedMarginLoss").reason == "other test images"


def test_more_than_noise_needs_images_and_seeds(tmp_path):
    leave_losses(tmp_path, seeds=6)
    assert contrast(study(tmp_path), "OneSidedMarginLoss").verdict == "more than noise"


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
    ("other", "reason"),
    [
        ({"right": [True] * 99}, "other test images"),
        ({"right": [True] * 100, "targets": [1] * 100}, "other test images"),
        ({"accuracy": 0.9}, "no predictions"),
    ],
)
def test_runs_of_other_images_are_not_paired(tmp_path, other, reason):
    leave(tmp_path, CE, right=[True] * 100)
    leave(tmp_path, OSM, **other)
    found = contrast(study(tmp_path), "OneSidedMarginLoss")
    assert found.over_images is None
    assert (found.reason, found.verdict) == (reason, "not testable")
    assert f" not testable: n = 1, {reason}\n" in text_of(study(tmp_path))
    assert f"no test over images in 1 of 1: {found.detail}" in text_of(study(tmp_path))
    assert "-s0-" in found.detail
    assert f" has {reason}" in found.detail


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
def test_what_no_test_can_tell_is_not_called_noise_in_any_format(tmp_path, seeds, others, told):
    """Two seeds have a p of 0.5 at best, so "within noise" would be said whatever the networks do."""
    for seed in range(seeds):
        for loss in (CE, OSM, FOCAL)[: others + 1]:
            leave(tmp_path, loss, f"seed={seed}", accuracy=0.1 if loss == CE else 0.9)
    found = study(tmp_path)
    verdicts = {contrast.verdict for _, contrast in found.contrasts}
    tables = build_tables(found)
    texts = (text_of(found), to_markdown(tables, []), to_latex(tables, []), write_page(found))
    assert verdicts == {"more than noise" if told is None else "not testable"}
    assert [f"not testable: {told}, no predictions" in text for text in texts] == [told is not None] * 4
    assert not any("within noise" in text for text in texts)
    assert {row.get("verdict") for row in group_records(found)} == {None, *verdicts}


def test_damaged_predictions_are_named(tmp_path):
    leave(tmp_path, CE, right=[True] * 10)
    leave(tmp_path, OSM, right=[True] * 10).predictions.write_bytes(b"PAR1")
    found = contrast(study(tmp_path), "OneSidedMarginLoss")
    assert found.reason == "unreadable predictions"
    assert "cannot be read" in found.detail


def zeros(rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.nulls(rows, pa.int32()).fill_null(0), [0]).dictionary_decode()


def words(rows: int, length: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.nulls(rows, pa.int32()).fill_null(0), ["x" * length])


def reason_of(tmp_path: Path, columns: dict[str, pa.Array]) -> str:
    """Compare a sound run with one of such predictions, and return why they are not paired."""
    leave(tmp_path, CE, right=[True] * 10)
    file = leave(tmp_path, OSM, right=[True] * 10).predictions
    pq.write_table(pa.table(columns), file, compression="zstd")
    assert file.stat().st_size < 200_000
    found = contrast(study(tmp_path), "OneSidedMarginLoss")
    assert (found.over_images, found.reason) == (None, "unreadable predictions")
    return found.detail.removeprefix(f"{file}: ")


def test_a_small_file_of_more_predictions_than_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    rows = 4_000_000  # stored once, with how often
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PHYS_PAGES": 100 << 20, "SC_PAGE_SIZE": 1}[name])
    monkeypatch.setattr(pq.ParquetFile, "read", refuse_many(pq.ParquetFile.read, rows))
    told = reason_of(tmp_path, {name: zeros(rows) for name in ("index", "target", "prediction")})
    assert told == "0.2 GB, more than this machine's memory of 0.1 GB"


def refuse_many(read: Callable[..., pa.Table], rows: int) -> Callable[..., pa.Table]:
    def reading(self: pq.ParquetFile, *arguments: Any, **options: Any) -> pa.Table:
        assert self.metadata.num_rows < rows, "was read"
        return read(self, *arguments, **options)

    return reading


def test_texts_are_refused_that_would_each_take_what_the_longest_takes(tmp_path):
    rows, length = 40_000, 10**7
    columns = {"index": pa.array(range(rows)), "target": words(rows, length), "prediction": words(rows, length)}
    assert reason_of(tmp_path, columns).startswith("3,200.0 GB, more than this machine's memory of ")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"index": [0], "target": [1]}, "has not one column each of index, target, prediction"),
        ({"index": [0], "target": [1.5], "prediction": [1.5]}, "no predictions of classes or texts"),
        ({"index": [0], "target": [1], "prediction": ["a"]}, "no predictions of classes or texts"),
        ({"index": [0], "target": [[1]], "prediction": [[1]]}, "no predictions of classes or texts"),
        ({"index": [0, 0], "target": [1, 1], "prediction": [1, 1]}, "an image stands twice"),
    ],
)
def test_what_is_no_table_of_predictions_is_named(tmp_path, columns, told):
    assert reason_of(tmp_path, {name: pa.array(values) for name, values in columns.items()}) == told


def test_bytes_that_are_no_text_are_named(tmp_path):
    texts = pa.array([b"\xff"]).view(pa.string())
    told = reason_of(tmp_path, {"index": pa.array([0]), "target": texts, "prediction": texts})
    assert told.startswith("cannot be read: ")
    assert "Invalid UTF8" in told


def test_predictions_that_are_a_pipe_are_not_waited_for(tmp_path):
    leave(tmp_path, CE, right=[True] * 10)
    os.mkfifo(leave(tmp_path, OSM).predictions)
    assert contrast(study(tmp_path), "OneSidedMarginLoss").detail.endswith("cannot be read: no regular file")


def test_predictions_are_not_read_where_no_test_of_them_is_asked_for(tmp_path, monkeypatch):
    leave_losses(tmp_path)
    monkeypatch.setattr("comparison.significance.read_rightness", lambda run: pytest.fail("predictions were read"))
    for options in ({"tests": "seeds"}, {"tests": "none"}, {"metric": "test/cross_entropy"}):
        assert len(study(tmp_path, **options).cells) == 2
    monkeypatch.setattr("comparison.panels.MOST_AUTOMATIC", 0)
    assert study(tmp_path).not_tested.startswith("1 comparisons, so tested over seeds only")


def test_losses_of_each_kind_of_data_have_their_own_default_baseline(tmp_path):
    ctc, margins = "loss_function=ConnectionistTemporalLoss", "loss_function=OneSidedMarginCTCLoss"
    texts = ("dataset=plates", "architecture=lprnet")
    for loss in (CE, OSM):
        leave(tmp_path, loss, right=[True, loss == CE])
    for loss in (margins, ctc):
        leave(tmp_path, loss, *texts, right=[True, loss == ctc], targets=["A1", "B2"], data="f" * 16)
    found = study(tmp_path)
    assert [(panel.title, panel.baseline) for panel in found.panels] == [
        ("dataset: digits", "CrossEntropyLoss"),
        ("dataset: plates", "ConnectionistTemporalLoss"),
    ]
    assert contrast(found, "OneSidedMarginCTCLoss").baseline.settings["dataset"] == "plates"
    row, difference = found.panels[1].improvements[""]
    assert (row, difference.value) == ("OneSidedMarginCTCLoss", pytest.approx(-0.5))
    assert (found.not_tested, len(found.contrasts)) == ("", 2)


def test_every_kind_of_data_has_a_loss_to_compare_with():
    assert BASELINES.keys() == KINDS.keys()
    assert [check_loss_name(name) for name in BASELINES.values()] == [None] * len(BASELINES)
    assert [build_loss(name).kind for name in BASELINES.values()] == list(BASELINES)
    assert Configuration.default("loss_function") in BASELINES.values()


def test_images_and_texts_of_one_folder_have_each_their_own_baseline(tmp_path):
    for data in ("digits", "svhn"):
        for loss in (CE, OSM):
            leave(tmp_path, loss, f"dataset={data}", data=data * 4)
    for network in ("lprnet", "lprnet_small"):
        for loss in ("ConnectionistTemporalLoss", "OneSidedMarginLoss"):
            leave(tmp_path, f"loss_function={loss}", "dataset=plates", f"architecture={network}", data="f" * 16)
    found = study(tmp_path)
    assert {panel.title: (panel.columns, panel.baseline) for panel in found.panels} == {
        "dataset: digits": (("resnet10t",), "CrossEntropyLoss"),
        "dataset: plates": (("lprnet", "lprnet_small"), "ConnectionistTemporalLoss"),
        "dataset: svhn": (("resnet10t",), "CrossEntropyLoss"),
    }
    assert len(found.contrasts) == 4


def test_another_baseline_and_one_that_is_none(tmp_path):
    leave_losses(tmp_path)
    assert contrast(study(tmp_path, baseline="OneSidedMarginLoss"), "CrossEntropyLoss").over_seeds is not None
    with pytest.raises(ConfigError, match="no row is called 'OneSidedMargin'; did you mean 'OneSidedMarginLoss'"):
        study(tmp_path, baseline="OneSidedMargin")
    with pytest.raises(ConfigError, match=r"no row is called 'x' \(CrossEntropyLoss \| OneSidedMarginLoss\)"):
        study(tmp_path, baseline="x")


# ----------------------------------------------------------------------------------- epochs, costs, papers, files


def test_the_epoch_that_reached_an_accuracy_is_the_median_over_seeds(tmp_path):
    for seed, epochs in enumerate(([0.5, 0.9, 0.8], [0.9], [0.1, 0.2, 0.3, 0.95])):
        leave(tmp_path, CE, f"seed={seed}", epochs=epochs)
        leave(tmp_path, OSM, f"seed={seed}", epochs=epochs if seed == 0 else [0.1])
    (panel,) = study(tmp_path, reach=0.9, cost=True).panels
    reached = [cell.reached for cell in panel.cells.values()]
    assert [(each.median, each.runs) for each in reached if each] == [(1.0, 3), (None, 1)]
    text = text_of(study(tmp_path, reach=0.9, cost=True))
    assert "2 (3 of 3)" in text  # the second epoch, 1 in metrics.csv
    assert "not reached (1 of 3)" in text
    assert [word in text for word in ("images/s", "parameters", "multiply-adds")] == [True] * 3


def test_costs_say_of_which_table_they_are_where_there_are_several(tmp_path):
    for dataset in ("digits", "cifar10"):
        for loss in (CE, OSM):
            for network in ("test_resnet", "resnet10t"):
                leave(tmp_path, loss, f"dataset={dataset}", f"architecture={network}")
    comparison = study(tmp_path, rows=("loss_function",), columns=("architecture",), cost=True)
    assert len(comparison.panels) == 2
    (costs,) = (table for table in build_tables(comparison) if table.title == "Cost")
    assert costs.header[:3] == ("loss_function", "dataset", "architecture")
    assert len({tuple(text.text for text in row[:3]) for row in costs.rows}) == 8


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
    config = next(expand(load_sweep(read_configuration(str(recipe), check_sweep=find_mistakes)))).config
    leave(tmp_path, "seed=0").config.write_text(config.to_yaml())
    (cell,) = study(tmp_path).cells
    assert [paper.departures for paper in cell.papers] == [()]


WITH_IMPROVEMENTS = sorted(
    name for name in recipes() if any(number.improvement_over for number in reference_of(name).numbers)
)


@pytest.mark.parametrize("recipe", WITH_IMPROVEMENTS)
def test_improvements_that_a_paper_prints_stand_beside_ours(tmp_path, recipe):
    """Each loss is as much better than the other in all its runs as the paper says, and a point more."""
    reference = reference_of(recipe)
    config = read_configuration(str(ROOT / "experiments" / f"{recipe}.yml"), check_sweep=find_mistakes)
    numbers = [each for each in reference.numbers if each.improvement_over and each.metric in (None, "test/accuracy")]
    assert numbers
    sign = -1 if reference.printed == "error" else 1
    for place, cell in enumerate(expand(load_sweep(config))):
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
    config = read_configuration(str(ROOT / "experiments" / f"{recipe}.yml"), check_sweep=find_mistakes)
    configs = [cell.config for cell in expand(load_sweep(config))]
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


def test_files_have_every_number(tmp_path):
    leave_losses(tmp_path)
    groups = group_records(study(tmp_path, cost=True, reach=0.5))
    assert [row["row"] for row in groups] == ["CrossEntropyLoss", "OneSidedMarginLoss"]
    assert groups[1]["test/accuracy mean"] == pytest.approx(0.89)
    assert groups[1]["p_seeds"] == 0.25
    assert groups[1]["seeds"] == "0 1 2"
    runs = run_records(study(tmp_path))
    assert [row["seed"] for row in runs] == [0, 1, 2] * 2
    assert sum(row["test/accuracy"] for row in runs) == pytest.approx(3 * 0.8 + 3 * 0.89)


def test_characters_that_formats_obey_are_escaped(tmp_path):
    leave(tmp_path, CE)
    leave(tmp_path, CE, "loss_params.label_smoothing=0.1")
    tables = build_tables(study(tmp_path))
    assert r"CrossEntropyLoss(label\_smoothing=0.1)" in to_latex(tables, [])
    assert r"CrossEntropyLoss(label\_smoothing=0.1)" in to_markdown(tables, [])


# -------------------------------------------------------------------------------------------------------- warnings


def test_other_data_or_another_selection_in_a_column_is_warned_of_in_the_table(tmp_path):
    leave(tmp_path, CE)
    leave(tmp_path, OSM, "select_on=test")
    leave(tmp_path, FOCAL, "valid_fraction=0.2")
    (table,) = [table for table in build_tables(study(tmp_path, tests="none")) if not table.of_all]
    assert "warning: runs differ in select_on (test | valid): not comparable" in table.notes
    assert "warning: runs differ in valid_fraction (0.1 | 0.2): not comparable" in table.notes
    assert "§ 1 of 3 groups selected their checkpoints on the TEST images" in " ".join(table.notes)
    assert sum(" §" in each.text for row in table.rows for each in row) == 1


@pytest.mark.parametrize(
    ("first", "second", "titles"),
    [
        ([], ["dataset=svhn"], ["dataset: digits", "dataset: svhn"]),
        ([], ["dataset=svhn", "architecture=resnet18"], ["dataset: digits", "dataset: svhn"]),
        (["classes=['1', '2']"], ["classes=['1', '3']"], ["classes: ['1', '2']", "classes: ['1', '3']"]),
        ([], [], ["data: 0123456789", "data: ffffffffff"]),
        (["label_noise=0.2"], ["label_noise=0.3"], [""]),
    ],
)
def test_losses_of_different_data_do_not_share_a_table(tmp_path, first, second, titles):
    leave(tmp_path, CE, *first)
    leave(tmp_path, OSM, *second, data="f" * 16)
    assert [panel.title for panel in study(tmp_path).panels] == titles
    by_hand = study(tmp_path, rows=("loss_function",), columns=("architecture",))
    assert [panel.title for panel in by_hand.panels] == titles


def test_a_data_set_is_a_column_where_losses_have_several_and_networks_follow_it(tmp_path):
    for loss in (CE, OSM):
        leave(tmp_path, loss)
        leave(tmp_path, loss, "dataset=svhn", "architecture=resnet18", "batch_size=8", data="f" * 16)
    found = study(tmp_path)
    assert [(panel.title, panel.columns) for panel in found.panels] == [("", ("digits", "svhn"))]
    assert "\narchitecture, batch_size, data vary together with dataset\n" in text_of(found)


def test_columns_that_find_no_room_in_a_terminal_stand_below(tmp_path):
    for network in ("resnet10t", "resnet18", "resnet34"):
        for loss in (CE, OSM):
            leave(tmp_path, loss, f"architecture={network}")
    tables = [table for table in build_tables(study(tmp_path, tests="none")) if not table.of_all]
    wide, narrow, tiny = (to_terminal(tables, (), width).splitlines() for width in (None, 64, 1))
    assert max(map(len, wide)) > 64 >= max(map(len, narrow))
    heads = [line.split() for line in narrow if line.startswith("loss_function")]
    assert heads == [["loss_function", "resnet10t", "resnet18"], ["loss_function", "resnet34"]]
    assert sum(line.startswith("loss_function") for line in tiny) == 3
    assert [" ".join(text).count("90.00 (1)*") for text in (wide, narrow, tiny)] == [6, 6, 6]
    assert sum(line.startswith("OneSidedMarginLoss  ") for line in narrow) == 2


def test_each_block_of_a_table_says_what_its_rows_are_about(tmp_path):
    for seed in range(2):
        for network in ("resnet10t", "resnet18"):
            for loss in (CE, OSM):
                leave(tmp_path, loss, f"architecture={network}", f"seed={seed}", right=[loss == CE, True])
    found = study(tmp_path, cost=True)
    tables = [table for table in build_tables(found) if table.of_all]
    for text in to_terminal(tables, (), 60).split("\n\n"):
        rows = [line for line in text.splitlines() if line.startswith(("CrossEntropyLoss ", "OneSidedMarginLoss "))]
        assert all("resnet1" in row for row in rows)
        assert rows or not text.strip()


def test_square_images_are_the_same_by_one_side_and_by_two(tmp_path):
    leave(tmp_path, "seed=0", "image_size=32")
    leave(tmp_path, "seed=1", "image_size=[32, 32]")
    leave(tmp_path, "seed=1", "image_size=[32, 24]")
    assert sorted(len(cell.group.runs) for cell in study(tmp_path).cells) == [1, 2]


def leave_seeds(output: Path, baseline: dict[int, float], other: dict[int, float]) -> None:
    for loss, accuracies in ((CE, baseline), (OSM, other)):
        for seed, accuracy in accuracies.items():
            leave(output, loss, f"seed={seed}", accuracy=accuracy)


SHARED = "difference: in 1 of 1 over the seeds that both groups have"
UNSHARED = "¶ no seed in common: the difference of two means over different seeds, not paired"


@pytest.mark.parametrize(
    ("baseline", "other", "shown", "seeds", "note"),
    [
        ({0: 0.8, 1: 0.9}, {0: 0.81, 1: 0.92}, "+1.50", "0 1", None),
        ({0: 0.8, 1: 0.9}, {1: 0.92, 0: 0.81, 2: 0.3}, "+1.50", "0 1", SHARED),
        ({0: 0.8, 1: 0.9, 2: 0.4}, {1: 0.92, 3: 0.1}, "+2.00", "1", SHARED),
        ({0: 0.8, 1: 0.9}, {2: 0.3, 3: 0.4}, "-50.00 ¶", "none in common", UNSHARED),
    ],
    ids=["the same seeds", "one seed more", "one seed shared", "no seed shared"],
)
@pytest.mark.parametrize("tests", ["auto", "none"])
def test_a_difference_is_over_the_seeds_that_both_have_in_every_output(
    tmp_path, baseline, other, shown, seeds, note, tests
):
    leave_seeds(tmp_path, baseline, other)
    found = study(tmp_path, tests=tests)
    tables = build_tables(found)
    assert [row[1].text for row in tables[0].rows][-1] == shown
    for table in tables:
        told = [each for each in (SHARED, UNSHARED) if any(line.startswith(each) for line in table.notes)]
        assert told == [each for each in (SHARED, UNSHARED) if each == note]
    texts = [text_of(found), to_markdown(tables, []), write_page(found)]
    texts.append(to_latex(tables, []).replace("$-$", "-"))
    for text in texts:
        assert text.count(shown) == len(tables)
    if tests == "auto":
        assert tables[1].rows[0][1].text == shown
        (record,) = [each for each in group_records(found) if each["row"] == "OneSidedMarginLoss"]
        assert f"{100 * record['difference']:+.2f}" == shown.removesuffix(" ¶")
        assert record["difference_seeds"] == seeds


def test_the_difference_to_the_baseline_is_that_of_the_best_mean_of_its_column(tmp_path):
    leave_seeds(tmp_path, {0: 0.8, 1: 0.6}, {0: 0.7})
    leave(tmp_path, FOCAL, accuracy=0.65)
    assert build_tables(study(tmp_path))[0].rows[-1][1].text == "-10.00 (OneSidedMarginLoss)"


def test_columns_say_of_which_key_their_values_are(tmp_path):
    for momentum in (0.0, 0.9):
        for optimizer in ("SGD", "RMSprop"):
            leave(tmp_path, CE, f"optimizer_params={{momentum: {momentum}}}", f"optimizer={optimizer}")
    found = study(tmp_path, rows=("optimizer",), columns=("optimizer_params.momentum",))
    assert "optimizer  momentum 0  momentum 0.9\n" in text_of(found)
    found = study(tmp_path, rows=("optimizer_params.momentum",), columns=("optimizer", "dropout"))
    assert "optimizer_params.momentum  RMSprop, dropout null  SGD, dropout null\n" in text_of(found)


def test_all_keys_that_differ_are_named_and_those_that_no_place_tells_are_warned_of(tmp_path):
    many = ["image_augmentations={RandomCrop: {size: 32, padding: 4}, RandomHorizontalFlip: {p: 0.3}}"]
    many += ["augment_images=true", "batch_size=8", "num_epochs=9", "dropout=0.3", "precision=bf16-mixed"]
    leave(tmp_path, CE)
    leave(tmp_path, OSM, "optimizer_params={lr: 0.5, momentum: 0.5}")
    leave(tmp_path, FOCAL, *many)
    leave(tmp_path, FOCAL.replace("Focal", "Hinge"), *many, "optimizer=SGD")
    told = notes(study(tmp_path, columns=("dataset",)))[1]
    assert " more" not in told
    assert told.endswith(" vary together with loss_function")
    for loss in (CE, OSM):
        leave(tmp_path, loss, "architecture=resnet18", *many)
    (warning,) = [note for note in notes(study(tmp_path)) if note.startswith("warning: groups also differ in ")]
    assert "image_augmentations (RandomCrop.padding, RandomCrop.size, RandomHorizontalFlip.p)" in warning
    assert all(change.partition("=")[0] in warning for change in many)


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


def test_label_noise_that_each_seed_draws_is_no_other_data(tmp_path):
    for seed in range(2):
        leave(tmp_path, "label_noise=0.2", f"seed={seed}", data=f"{seed}" * 16)
    assert len(study(tmp_path).cells) == 1


def test_runs_of_one_configuration_on_other_data_are_not_merged(tmp_path):
    leave(tmp_path, "seed=0")
    leave(tmp_path, "seed=1", data="f" * 16)
    assert len(study(tmp_path).panels) == 2


# --------------------------------------------------------------------------------------- one definition of the same run


def write_facts(folder, **facts) -> None:
    known = json.loads(folder.environment.read_text())
    folder.environment.write_text(json.dumps(known | facts))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("architecture=ghost", "architecture=ghostnet"),
        ("loss_function=FocalLoss", "loss_function=FocalLoss loss_params.gamma=2.0"),
        ("lr_scheduler=null", "lr_scheduler_params.gamma=0.5"),
        ("optimizer_params.weight_decay=1", "optimizer_params.weight_decay=1.0"),
        ("precision=auto accelerator=cpu", "precision=32-true"),
    ],
)
def test_runs_that_are_the_same_but_for_their_seed_are_one_group(tmp_path, one, other):
    leave(tmp_path, *one.split(), "seed=0")
    leave(tmp_path, *other.split(), "seed=1")
    (cell,) = study(tmp_path).cells
    assert len(cell.group.runs) == 2


def test_a_transform_without_parameters_makes_another_group(tmp_path):
    leave(tmp_path, "augment_images=true", "image_augmentations={RandomVerticalFlip: {}}")
    leave(tmp_path, "augment_images=true", "image_augmentations={RandomVerticalFlip: {}, RandomHorizontalFlip: {}}")
    leave(tmp_path, "augment_images=true", "image_augmentations={RandomHorizontalFlip: {}, RandomVerticalFlip: {}}")
    assert len(study(tmp_path).groups) == 3


def test_weights_are_the_same_by_what_they_hold(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    runs = tmp_path / "output"
    for seed, name in enumerate("aabc"):
        folder = leave(runs, f"weights_path={tmp_path / name}", f"seed={seed}")
        write_facts(folder, weights={"weights_path": content_of(str(tmp_path / name))})
    sizes = sorted(len(cell.group.runs) for cell in study(runs).cells)
    assert sizes == [1, 3]
    for name in "abc":
        (tmp_path / name).unlink()
    assert sorted(len(cell.group.runs) for cell in study(runs).cells) == sizes


def test_runs_of_other_precision_are_never_one_mean_and_auto_is_what_it_was(tmp_path):
    for seed, precision in enumerate(("32-true", "bf16-mixed")):
        write_facts(leave(tmp_path, f"seed={seed}"), precision=precision)
    leave(tmp_path, "seed=2", "precision=32-true")
    assert sorted(len(group.runs) for group in study(tmp_path).groups) == [1, 2]
    assert "precision" in text_of(study(tmp_path))


def test_a_sweep_s_runs_are_found_whatever_their_machine_made_of_auto(tmp_path):
    for seed, precision in enumerate(("32-true", "bf16-mixed")):
        write_facts(leave(tmp_path / "output", f"seed={seed}", CE), precision=precision)
    file = tmp_path / "sweep.yml"
    common = "dataset: digits\narchitecture: resnet10t\ntrackers: []\nnum_epochs: 3\n"
    file.write_text(f"{common}output_path: {tmp_path}/output\nsweep: {{seeds: 3}}\n")
    found = find_runs([str(file)])
    assert [run.seed for run in found.runs] == [0, 1]
    assert found.missing == ("seed=2",)


def test_a_default_is_shown_where_others_have_another_value(tmp_path):
    leave(tmp_path, FOCAL)
    leave(tmp_path, FOCAL, "loss_params.gamma=3")
    assert {row for panel in study(tmp_path).panels for row in panel.rows} == {
        "FocalLoss(gamma=2.0)",
        "FocalLoss(gamma=3)",
    }
