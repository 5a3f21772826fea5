"""A new run names the nearest one that is there."""

from __future__ import annotations

import os

import pytest

from runs.folder import RunFolder, run_folder
from training import neighbours, runner
from training.neighbours import describe_nearest

pytestmark = pytest.mark.usefixtures("plain_log")


def leave(config, rows: int = 0, finished: bool = False, started: float = 1e9) -> RunFolder:
    """Make the folder that a run of a configuration leaves."""
    folder = run_folder(config, "data")
    folder.path.mkdir(parents=True)
    folder.config.write_text(config.to_yaml())
    os.utime(folder.config, (started, started))
    if rows:
        folder.write_metrics([{"epoch": float(epoch)} for epoch in range(rows)])
    if finished:
        folder.summary.write_text("{}")
    return folder


def nearest(config) -> str | None:
    return describe_nearest(config, run_folder(config, "data"))


def test_an_interrupted_run_is_named_with_how_far_it_is_and_what_differs(quick):
    old = leave(quick(num_epochs=20), rows=5)
    assert nearest(quick(num_epochs=30)) == (
        f"new run; the nearest one, {old.path} (interrupted after epoch 5 of 20), differs in: num_epochs 20 -> 30"
    )


def test_the_run_with_the_fewest_changes_is_named_and_of_equals_the_latest(quick):
    leave(quick(num_epochs=3, batch_size=64), finished=True)
    leave(quick(optimizer_params__lr=0.1), finished=True)
    late = leave(quick(optimizer_params__lr=0.2), finished=True, started=2e9)
    found = nearest(quick(lr_scheduler="CosineAnnealingLR", optimizer_params__lr=0.2))
    changes = "lr_scheduler null -> CosineAnnealingLR"
    assert found == f"new run; the nearest one, {late.path} (finished), differs in: {changes}"
    found = nearest(quick(optimizer_params__lr=0.3))
    assert found is not None
    assert found.endswith(f"{late.path} (finished), differs in: optimizer_params.lr 0.2 -> 0.3")


def test_keys_without_influence_other_data_and_runs_of_which_nothing_was_saved_do_not_count(quick):
    leave(quick(num_epochs=3), rows=0)
    leave(quick(dataset="image_folder", data_path="there"), finished=True)
    assert nearest(quick(notes="other", num_workers=3)) is None
    old = leave(quick(seed=1, notes="a note"), finished=True)
    assert nearest(quick()) == f"new run; the nearest one, {old.path} (finished), differs in: seed 1 -> 0"


def test_a_run_of_another_loss_or_architecture_may_be_the_nearest(quick):
    other = leave(quick(loss_function="FocalLoss"), finished=True)
    told = nearest(quick())
    assert told == (
        f"new run; the nearest one, {other.path} (finished), differs in: loss_function FocalLoss -> CrossEntropyLoss"
    )
    leave(quick(architecture="ghostnet", seed=1), finished=True)
    assert nearest(quick()) == told


def test_of_many_keys_the_first_are_told_with_their_values(quick):
    old = leave(quick(batch_size=64, num_epochs=9, dropout=0.1, seed=3), finished=True)
    told = nearest(quick())
    assert told is not None
    assert told.startswith(f"new run; the nearest one, {old.path} (finished), differs in: ")
    values, _, more = told.partition("differs in: ")[2].partition(", and 1 more: ")
    assert len(values.split(", ")) == 3
    keys = {value.split(" ")[0] for value in values.split(", ")} | {more}
    assert keys == {"batch_size", "num_epochs", "dropout", "seed"}


def test_a_run_that_was_saved_in_its_first_epoch_is_named(quick):
    old = leave(quick(seed=1))
    assert nearest(quick()) is None
    old.last.parent.mkdir()
    old.last.write_bytes(b"")
    assert f"{old.path} (interrupted in its first epoch), differs in: seed 1 -> 0" in (nearest(quick()) or "")


def test_a_check_names_it_too(quick):
    old = leave(quick(seed=1), finished=True)
    assert f"(new)\nnew run; the nearest one, {old.path} (finished), differs in: seed 1 -> 0" in runner.check(quick())


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[1, 2]", None])
def test_damaged_folders_are_passed_over(quick, content):
    damaged = leave(quick(seed=1), finished=True)
    damaged.config.unlink() if content is None else damaged.config.write_bytes(content)
    unread = leave(quick(seed=2), rows=1)
    unread.metrics.write_text("epoch\nx\n")
    assert nearest(quick()) is None
    leave(quick(seed=4), finished=True)
    assert "differs in: seed 4 -> 0" in (nearest(quick()) or "")


def test_a_number_that_is_spelled_otherwise_is_the_same_run(quick):
    old = leave(quick(optimizer_params__lr="1"), finished=True)
    assert run_folder(quick(optimizer_params__lr="1.0"), "data") == old
    assert nearest(quick(optimizer_params__lr="1.0")) is None


def test_a_file_without_a_younger_key_has_its_default(quick):
    old = leave(quick(seed=1), finished=True)
    lines = [line for line in old.config.read_text().splitlines() if not line.startswith("gradient_clip_norm")]
    old.config.write_text("\n".join(lines))
    assert (nearest(quick()) or "").endswith("differs in: seed 1 -> 0")


def test_no_more_than_so_many_folders_are_looked_into(quick, monkeypatch):
    leave(quick(seed=1), finished=True)
    assert nearest(quick()) is not None
    monkeypatch.setattr(neighbours, "MOST_FOLDERS", 0)
    assert nearest(quick()) is None


def test_a_new_run_says_so_once_and_one_that_goes_on_does_not(quick, caplog):
    leave(quick(seed=7), finished=True)
    config = quick(num_epochs=1)
    for _ in range(2):
        runner.train(config)
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("new run; ")]
    assert len(told) == 1
    assert told[0].endswith("differs in: seed 7 -> 0, num_epochs 2 -> 1")


def test_a_run_whose_data_has_changed_is_told_from_one_that_is_trained_anew(quick):
    old = leave(quick(), rows=2)
    anew = run_folder(quick(), "data", fresh=True)
    assert anew.path.name == f"{old.path.name}-2"
    assert describe_nearest(quick(), anew) is None
    told = describe_nearest(quick(), run_folder(quick(), "other data"))
    assert told is not None
    assert told.startswith(f"new run; the nearest one, {old.path} (interrupted after epoch 2 of ")
    assert told.endswith("differs in: what its files hold: the data, or weights")
