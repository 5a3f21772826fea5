"""Trials of a search beside the runs that it led to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from leaving import leave
from test_script import said

from comparison.panels import Options, compare
from comparison.sources import find_runs
from configuration.reading import read_configuration
from evaluation.catalogue import NAME_CHECKS
from runs.folder import RunFolder, TrialRecord
from sweeps.cells import load_sweep
from sweeps.jobs import Job, Outcome
from sweeps.mistakes import find_mistakes
from sweeps.search import SearchJobs

RATES = (0.03, 0.001234567890123, 0.01)
"""Of the trials of a loss, the second of them the best."""
ACCURACIES = (0.5, 0.9, 0.7)
LEFT_OUT = "5 trials of a search left out; --trials shows them"


def leave_trial(output: Path, loss: str, number: int, accuracy: float | None = None) -> RunFolder:
    rate = RATES[number]
    record = TrialRecord(f"{loss} 0123456789", number, {"optimizer_params.lr": rate})
    changes = (f"loss_function={loss}", f"optimizer_params.lr={rate}", "seed=0")
    # accuracies of the test are the other way round: they choose nothing
    known = None if accuracy is None else 1 - accuracy
    return leave(output, *changes, accuracy=known, summary={"valid/accuracy": accuracy}, trial=record)


@pytest.fixture
def searched(tmp_path) -> Path:
    """Three trials of two losses, one of them given up, the best values on two more seeds, and a run of neither."""
    for loss in ("CrossEntropyLoss", "FocalLoss"):
        for number, accuracy in enumerate(ACCURACIES):
            pruned = loss == "FocalLoss" and number == 2
            leave_trial(tmp_path, loss, number, None if pruned else accuracy)
        for seed in (1, 2):
            rate = RATES[1]
            leave(tmp_path, f"loss_function={loss}", f"optimizer_params.lr={rate}", f"seed={seed}", accuracy=0.2)
    return tmp_path


def test_trials_are_left_out_but_for_those_with_the_values_that_were_found(searched, capsys):
    leave_trial(searched, "HingeLoss", 0, 0.1)
    leave_trial(searched, "HingeLoss", 1, 0.2)
    told = said(capsys, searched)
    assert "7 runs in 3 groups; they differ in loss_function (rows)" in told
    assert LEFT_OUT in told
    assert "unfinished" not in told
    assert "Tests; 2 comparisons" in told
    assert re.search(r"CrossEntropyLoss +16\.67 ± 5\.77 \(3\)", told)
    told = said(capsys, searched, "--trials")
    assert "11 runs in 7 groups" in told
    assert "left out, trials that were pruned or are not finished: " in told
    assert "left out, unfinished" not in told
    assert "trials of a search" not in told


def test_a_trial_whose_folder_is_named_is_shown(searched, capsys):
    folder = leave_trial(searched, "HingeLoss", 0, 0.1)
    worse = leave_trial(searched, "HingeLoss", 2, 0.05)
    assert "1 run in 1 group" in said(capsys, worse.path)
    assert "1 run in 1 group" in said(capsys, f"{searched}/*HingeLoss*")  # a pattern names none of its own
    assert "2 runs in 2 groups" in said(capsys, folder.path, worse.path)


def test_the_values_that_were_found_are_told(searched, capsys):
    (line,) = [line for line in said(capsys, searched).splitlines() if line.startswith("found by a search")]
    values = "optimizer_params.lr=0.001235"
    assert line == f"found by a search: 2: CrossEntropyLoss: {values}; FocalLoss: {values}"


def test_of_equally_good_trials_the_first_is_the_result(tmp_path):
    for number in (2, 1):
        leave_trial(tmp_path, "FocalLoss", number, 0.5)
    (run,) = find_runs([str(tmp_path)]).runs
    assert run.trial is not None
    assert run.trial.number == 1


def test_a_damaged_record_of_a_trial_is_named(searched, capsys):
    damaged = leave_trial(searched, "HingeLoss", 0, 0.1)
    for content, reason in {"{": "is not JSON", "{}": "is not of a trial", "[]": "holds no mapping"}.items():
        damaged.trial.write_text(content)
        assert f"left out, damaged: {damaged.path}: trial.json {reason}" in said(capsys, searched)


def test_a_search_of_before_trials_were_recorded_tells_its_values_by_its_file(tmp_path, capsys):
    file = tmp_path / "search.yml"
    file.write_text(
        f"output_path: {tmp_path}/output\ndataset: digits\narchitecture: resnet10t\ntrackers: []\nnum_epochs: 3\n"
        "sweep: {seeds: 2, search: {ranges: {dropout: {uniform: [0, 0.5]}}, trials: 2}}\n"
    )
    sweep = load_sweep(read_configuration(str(file), [], NAME_CHECKS, find_mistakes))
    jobs = SearchJobs(sweep)
    accuracies = {}
    while isinstance(job := jobs.next(), Job):
        dropout, seed = job.drawn["dropout"], job.cell(sweep).config.seed
        accuracies[dropout] = accuracies.get(dropout, 0.5 + 0.1 * len(accuracies))
        summary = {"valid/accuracy": accuracies[dropout]}
        leave(tmp_path / "output", f"dropout={dropout}", f"seed={seed}", summary=summary)
        jobs.end(job, Outcome("", "finished", Path(), summary))
    best = max(accuracies, key=lambda value: accuracies[value])
    told = said(capsys, file)
    assert "2 runs in 1 group" in told
    assert f"found by a search: CrossEntropyLoss: dropout={best:.4g}" in told


def test_test_images_choose_no_trial(searched):
    found = compare(find_runs([str(searched)]), Options())
    assert {run.trial.number for run in found.selection.runs if run.trial is not None} == {1}
    assert {cell.group.settings["optimizer_params.lr"] for cell in found.cells} == {RATES[1]}
