"""Rows, columns, tables and baselines, chosen or named, and warnings of what differs beside them."""

from __future__ import annotations

import pytest
from leaving import CE, FOCAL, OSM, contrast, leave, leave_losses, study, text_of

from comparison.notes import notes
from comparison.tables import build_tables
from configuration.schema import Configuration
from losses import BASELINES
from losses.checks import KINDS as OF_LOSSES
from training.losses import build_loss, check_loss_name
from utils.types import ConfigError


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


def test_other_data_or_another_selection_in_a_column_is_warned_of_in_the_table(tmp_path):
    leave(tmp_path, CE)
    leave(tmp_path, OSM, "select_on=test")
    leave(tmp_path, FOCAL, "valid_fraction=0.2")
    (table,) = [table for table in build_tables(study(tmp_path, tests="none")) if not table.of_all]
    assert "warning: runs differ in select_on (test | valid): not comparable" in table.notes
    assert "warning: runs differ in valid_fraction (0.1 | 0.2): not comparable" in table.notes
    assert "§ 1 of 3 groups selected their checkpoints on the TEST images" in " ".join(table.notes)
    assert sum(" §" in each.text for row in table.rows for each in row) == 1


def test_a_default_is_shown_where_others_have_another_value(tmp_path):
    leave(tmp_path, FOCAL)
    leave(tmp_path, FOCAL, "loss_params.gamma=3")
    assert {row for panel in study(tmp_path).panels for row in panel.rows} == {
        "FocalLoss(gamma=2.0)",
        "FocalLoss(gamma=3)",
    }


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
    assert set(BASELINES) == set(OF_LOSSES)
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
