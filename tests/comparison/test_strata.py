"""No mean is over runs of different devices, precisions, versions or code without a word, whatever shows it."""

from __future__ import annotations

import csv
import itertools
import json
from typing import Any

import pytest
from leaving import CE, ENVIRONMENT, FOCAL, OSM, leave, study, text_of

import compare as script
from comparison.notes import notes
from comparison.panels import Comparison
from comparison.records import run_records
from comparison.strata import NAMED_ONLY, SPLITTING
from runs.folder import TrialRecord
from utils.types import ConfigError

BASE = {"losses/base.py": "a1b2c3d4e5f6"}


def counts(comparison: Comparison) -> list[int]:
    return sorted(len(cell.group.runs) for cell in comparison.cells)


def with_fact(name: str, value: Any) -> dict[str, Any]:
    if name in ENVIRONMENT or name == "cuda":
        return {name: value}
    return {"packages": ENVIRONMENT["packages"] | {name: value}}


@pytest.mark.parametrize("name", SPLITTING)
def test_what_decides_numbers_splits_a_group(tmp_path, name):
    leave(tmp_path, "seed=0", accuracy=0.5)
    leave(tmp_path, "seed=1", accuracy=0.6, environment=with_fact(name, "another"))
    found = study(tmp_path)
    assert [cell.spread and cell.spread.mean for cell in found.cells] in ([0.5, 0.6], [0.6, 0.5])
    assert f"groups that differ only in {name} are kept apart; --pool KEY averages over them" in notes(found)
    assert "another" in text_of(found)
    assert "55.00" not in text_of(found)
    together = study(tmp_path, pool=(name,))
    assert counts(together) == [2]
    assert f"means are over runs that differ in {name} (" in text_of(together)


@pytest.mark.parametrize("name", NAMED_ONLY)
def test_what_seldom_decides_numbers_is_named(tmp_path, name):
    leave(tmp_path, "seed=0")
    leave(tmp_path, "seed=1", environment=with_fact(name, 7 if name == "threads" else "another"))
    found = study(tmp_path)
    assert counts(found) == [2]
    assert f"means are over runs that differ in {name} (" in text_of(found)
    assert notes(found)[0] == f"2 runs in 1 group; they differ in their seeds, {name}"
    assert {record[name] for record in run_records(found)} == {found.groups[0].runs[k].facts.text(name) for k in (0, 1)}


def test_runs_that_are_alike_are_one_mean_without_a_warning(tmp_path):
    for seed in range(3):
        leave(tmp_path, "seed=" + str(seed), environment={"started": f"day {seed}", "platform": f"kernel {seed}"})
    found = study(tmp_path)
    assert counts(found) == [3]
    assert "warning" not in text_of(found)


@pytest.mark.parametrize("fact", ["device", "torch"])
def test_losses_trained_in_different_strata_have_tables_or_columns_of_their_own_and_a_baseline_in_each(tmp_path, fact):
    for loss, seed, value in itertools.product((CE, OSM), range(2), (None, "another")):
        folder = tmp_path / str(value)
        leave(folder, loss, f"seed={seed}", environment={} if value is None else with_fact(fact, value))
    found = study(tmp_path)
    assert counts(found) == [2] * 4
    for cell, contrast in found.contrasts:
        baseline = contrast.baseline.runs[0].facts
        assert cell.group.runs[0].facts.text(fact) == baseline.text(fact)
    assert len(found.contrasts) == 2
    by_hand = study(tmp_path, rows=("loss_function",), columns=("architecture",))
    assert len(by_hand.panels) == 2
    assert {panel.title.partition(":")[0] for panel in by_hand.panels} == {fact}


def test_a_loss_trained_elsewhere_than_its_baseline_is_warned_of(tmp_path):
    leave(tmp_path, CE)
    leave(tmp_path, OSM, environment={"device": "NVIDIA H200"})
    told = "warning: runs also differ in device (NVIDIA H200 | cpu), which can change the numbers"
    assert told in text_of(study(tmp_path))


def test_the_same_code_is_one_stratum_whatever_its_commit(tmp_path):
    for seed in range(2):
        leave(tmp_path, f"seed={seed}", environment={"code": BASE, "git_commit": str(seed) * 40, "git_changed": True})
    found = study(tmp_path)
    assert counts(found) == [2]
    assert "warning" not in text_of(found)


def test_runs_that_recorded_no_code_are_told_apart_by_their_commits(tmp_path):
    for seed in range(2):
        leave(tmp_path, f"seed={seed}", environment={"git_commit": f"{seed}f" * 20, "git_changed": seed == 1})
    found = study(tmp_path)
    assert found.layout.rows == ("commit",)
    assert [cell.row for cell in found.cells] == ["0f0f0f0f0f", "1f1f1f1f1f with changes"]
    assert "1 run was trained with uncommitted changes to the code that were not recorded" in found.panels[0].warnings
    assert counts(study(tmp_path, pool=("commit",))) == [2]


def test_other_code_of_a_loss_is_a_row_of_its_own_beside_the_same_baseline(tmp_path):
    focal = "losses/focal.py"
    for seed in range(2):
        leave(tmp_path, CE, f"seed={seed}", environment={"code": BASE})
        for version, digest in (("one", "abcdef012345"), ("two", "fedcba543210")):
            leave(tmp_path / version, FOCAL, f"seed={seed}", environment={"code": BASE | {focal: digest}})
    found = study(tmp_path)
    (panel,) = found.panels
    labels = [f"FocalLoss({focal}={digest})" for digest in ("abcdef012345", "fedcba543210")]
    assert panel.rows == ("CrossEntropyLoss", *labels)
    assert (panel.baseline, counts(found), panel.warnings) == ("CrossEntropyLoss", [2, 2, 2], ())
    assert len(found.contrasts) == 2
    together = study(tmp_path, pool=("code",))
    (cell,) = [cell for cell in together.cells if cell.row == "FocalLoss"]
    assert len(cell.group.runs) == 2  # a seed once: the last of each
    assert len(together.selection.repeated) == 2


def test_other_code_that_all_runs_share_splits_the_table(tmp_path):
    for loss, digest in itertools.product((CE, FOCAL), ("abcdef012345", "fedcba543210")):
        leave(tmp_path / digest, loss, environment={"code": {"losses/base.py": digest}})
    found = study(tmp_path, columns=("architecture",))
    assert [panel.title for panel in found.panels] == [
        "code.losses/base.py: abcdef012345",
        "code.losses/base.py: fedcba543210",
    ]
    assert [panel.baseline for panel in found.panels] == ["CrossEntropyLoss"] * 2


def test_other_code_of_a_network_is_in_its_own_column(tmp_path):
    for loss, network in itertools.product((CE, FOCAL), ("resnet10t", "resnet18")):
        for digest in ("abcdef012345", "fedcba543210")[: 1 + (network == "resnet18")]:
            code = BASE | {f"models/networks/{network}.py": digest}
            leave(tmp_path / digest, loss, f"architecture={network}", environment={"code": code})
    (panel,) = study(tmp_path).panels
    assert panel.rows == ("CrossEntropyLoss", "FocalLoss")
    file = "models/networks/resnet18.py"
    assert panel.columns == ("resnet10t", f"resnet18({file}=abcdef012345)", f"resnet18({file}=fedcba543210)")


def test_what_fresh_trained_anew_by_other_code_is_the_one_that_counts(tmp_path):
    first = leave(tmp_path, accuracy=0.5, environment={"code": BASE}).path
    last = leave(tmp_path, accuracy=0.6, suffix="-2", environment={"code": {"losses/base.py": "f" * 12}}).path
    found = study(tmp_path)
    assert found.selection.repeated == ((last, (first,)),)
    assert [cell.spread and cell.spread.mean for cell in found.cells] == [0.6]


def test_facts_that_older_runs_lack_are_named(tmp_path):
    for seed in range(2):
        folder = leave(tmp_path, f"seed={seed}")
        folder.environment.write_text(json.dumps({"data_fingerprint": "0123456789abcdef"}))
    found = study(tmp_path)
    assert counts(found) == [2]
    told = "some runs did not record their device, precision, torch, torchvision, timm, commit, "
    assert told in text_of(found)
    leave(tmp_path, "seed=2")
    assert counts(study(tmp_path)) == [1, 2]
    assert "not recorded" in text_of(study(tmp_path))


@pytest.mark.parametrize(
    "environment", [{"device": 5}, {"packages": ["torch"]}, {"code": {"a": 1}}, {"continued": 3}, {"threads": "many"}]
)
def test_a_damaged_record_of_the_environment_is_named_and_its_run_left_out(tmp_path, capsys, environment):
    leave(tmp_path, "seed=0")
    damaged = leave(tmp_path, "seed=1", environment=environment).path
    assert script.main([str(tmp_path)]) == 0
    assert f"left out, damaged: {damaged}: environment.json is not of a run: " in capsys.readouterr().out


def test_a_run_that_was_resumed_elsewhere_is_named(tmp_path):
    changes = {"changes": {"device": ["cpu", "NVIDIA H200"]}, "started": "later"}
    leave(tmp_path, environment={"continued": [{"changes": {}}, changes]})
    told = "1 run was resumed elsewhere, with another device"
    assert told in text_of(study(tmp_path))


def test_what_cannot_be_pooled_is_told_with_the_nearest(tmp_path):
    leave(tmp_path)
    with pytest.raises(ConfigError, match=r"--pool: 'devise' is not one of device, .*; did you mean 'device'\?"):
        study(tmp_path, pool=("devise",))


def test_trials_of_a_search_are_kept_apart_as_other_runs_are(tmp_path, capsys):
    for seed, device in enumerate(("cpu", "NVIDIA H200")):
        for number, rate in enumerate((0.1, 0.2)):
            trial = TrialRecord("a search", number, {"optimizer_params.lr": rate})
            changes = ("optimizer_params.lr=" + str(rate), f"seed={seed}")
            summary = {"valid/accuracy": rate}
            leave(tmp_path, *changes, trial=trial, summary=summary, environment={"device": device})
    rows = ["--rows", "device", "--csv", str(tmp_path / "groups.csv")]
    assert script.main([str(tmp_path), "--trials", *rows]) == 0
    assert "left out" not in capsys.readouterr().out
    records = list(csv.DictReader((tmp_path / "groups.csv").read_text().splitlines()))
    assert sorted((record["row"], record["seeds"]) for record in records) == [
        *[("NVIDIA H200", "1")] * 2,
        *[("cpu", "0")] * 2,
    ]


def test_a_sweeps_runs_are_found_in_all_strata(tmp_path, capsys):
    file = tmp_path / "sweep.yml"
    grid = f"sweep: {{grid: {{loss_function: [{CE.partition('=')[2]}, {FOCAL.partition('=')[2]}]}}, seeds: 2}}"
    text = "dataset: digits\narchitecture: resnet10t\ntrackers: []\nnum_epochs: 3\n"
    file.write_text(f"{text}output_path: {tmp_path}/runs\n{grid}\n")
    for loss, seed in itertools.product((CE, FOCAL), range(2)):
        leave(tmp_path / "runs", loss, f"seed={seed}", environment={"precision": ("32-true", "bf16-mixed")[seed]})
    assert script.main([str(file)]) == 0
    told = capsys.readouterr().out
    assert "4 runs in 4 groups; they differ in loss_function (rows); precision (columns)" in told
    assert "not finished yet" not in told


def test_a_recipes_runs_of_two_precisions_have_the_papers_number_each(tmp_path):
    recipe = ("experiment_name=osm_table5", "dataset=cifar10", "architecture=torchvision/efficientnet_b0", OSM)
    for seed, precision in enumerate(("32-true", "bf16-mixed")):
        leave(tmp_path, *recipe, "select_on=test", f"seed={seed}", environment={"precision": precision})
    cells = study(tmp_path).cells
    assert [len(cell.papers) for cell in cells] == [1, 1]
    assert len({cell.papers[0].value for cell in cells}) == 1
