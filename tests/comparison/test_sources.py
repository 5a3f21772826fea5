"""Which runs compare.py finds: folders, patterns, sweeps and trials of searches, and what it says of the others."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from leaving import leave
from test_script import said

from comparison.panels import Options, compare
from comparison.sources import find_runs
from runs.folder import RunFolder, TrialRecord
from sweeps.jobs import Job, Outcome
from sweeps.search import SearchJobs
from tests.small_sweep import read_sweep

SWEEP = """\
dataset: digits
architecture: resnet10t
trackers: []
num_epochs: 3
sweep:
  grid:
    loss_function: [CrossEntropyLoss, FocalLoss]
  seeds: 2
"""


OF_A_RUN = b"dataset: digits\narchitecture: test_resnet\nloss_function: FocalLoss\nnum_epochs: 1\n"


def test_copies_that_mlflow_keeps_are_no_runs(tmp_path, capsys):
    run = leave(tmp_path, "seed=0")
    shutil.copytree(run.path, tmp_path / "mlartifacts" / "0f" / "artifacts")
    assert "trained more than once" not in said(capsys, tmp_path)
    assert "1 run in" in said(capsys, tmp_path / "mlartifacts" / "0f")


def test_folders_patterns_and_single_runs_are_found_once(tmp_path, capsys):
    first = leave(tmp_path / "a", "seed=0")
    leave(tmp_path / "b" / "deeper", "seed=1")
    assert "2 runs in 1 group;" in said(capsys, tmp_path, first.path, tmp_path / "*")
    assert "1 run in" in said(capsys, first.path)
    assert "1 run in" in said(capsys, f"{tmp_path}/b/*/*-s1-*")


def test_the_output_folder_is_the_default(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "output: no such folder or file" in said(capsys, status=2)
    leave(Path("output"))
    assert "1 run in" in said(capsys)


def test_no_runs_and_words_that_name_nothing_are_refused(tmp_path, capsys):
    leave(tmp_path / "some", accuracy=None)
    (tmp_path / "none").mkdir()
    (tmp_path / "x.txt").touch()
    assert f"no finished run in {tmp_path}/some; 1 unfinished" in said(capsys, tmp_path / "some", status=2)
    assert "no finished run in" in said(capsys, tmp_path / "none", status=2)
    told = said(capsys, tmp_path / "x.txt", "gone", "seed=1", status=2)
    assert [line.partition(": ")[2].split(",")[0] for line in told.splitlines()] == [
        "neither a folder nor a configuration file (.yml)",
        "no such folder or file",
        "changes the configuration file of a sweep",
    ]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("summary.json", b"{", "summary.json is not JSON"),
        ("summary.json", b"[]", "summary.json holds no mapping"),
        ("summary.json", b"\xff\xfe", "summary.json is not text"),
        ("summary.json", b"", "summary.json is not JSON: Expecting value in line 1"),
        ("environment.json", b"nothing", "environment.json is not JSON"),
        ("environment.json", b"[]", "environment.json holds no mapping"),
        ("config.yml", None, "config.yml is missing"),
        ("config.yml", b"a: [", "config.yml is not YAML"),
        ("config.yml", b"- 1", "config.yml cannot be read: no configuration"),
        ("config.yml", b"", "config.yml cannot be read: no configuration"),
        (
            "config.yml",
            b"seed: 1\ndataset: digits",
            "config.yml cannot be read: it lacks architecture, loss_function, n",
        ),
        ("config.yml", OF_A_RUN + b"seed: x", "config.yml cannot be read: seed: must be a whole number >= 0"),
        ("config.yml", b"\xff\xfe", "config.yml is not text"),
        ("config.yml", b"\x00", "config.yml is not YAML"),
    ],
)
def test_a_damaged_folder_is_named_and_left_out(tmp_path, capsys, name, content, reason):
    leave(tmp_path, "seed=0")
    damaged = leave(tmp_path, "seed=1").path
    (damaged / name).unlink() if content is None else (damaged / name).write_bytes(content)
    told = said(capsys, tmp_path)
    assert "1 run in" in told
    assert f"left out, damaged: {damaged}: {reason}" in told


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"epoch\nx\n", "is no table of numbers"),
        (b"epoch,a\n0\n", "is no table of numbers"),
        (b"epoch\n0,1\n", "is no table of numbers"),
        (b"\x93\xff\x00\x80", "is not text"),
        (b"\x00\x01\x02", "has no rows"),
        (b"", "has no rows"),
        (b"epoch,a\n", "has no rows"),
        (b"a\n0\n", "has rows without an epoch"),
        (None, "is missing"),
    ],
)
def test_a_record_of_epochs_that_is_damaged_counts_where_it_is_needed(tmp_path, capsys, content, reason):
    leave(tmp_path, "seed=0", epochs=[0.5])
    damaged = leave(tmp_path, "seed=1", epochs=[0.5])
    damaged.metrics.unlink() if content is None else damaged.metrics.write_bytes(content)
    assert "2 runs" in said(capsys, tmp_path)
    told = said(capsys, tmp_path, "--reach", "0.4")
    assert f"left out, damaged: {damaged.path}: metrics.csv {reason}\n" in told
    page = tmp_path / "page.html"
    said(capsys, tmp_path, "--html", page)
    assert f"no curves: {damaged.path.name}: metrics.csv {reason}" in page.read_text()


def test_unfinished_runs_are_counted_and_named(tmp_path, capsys):
    leave(tmp_path, "seed=0")
    folders = [leave(tmp_path, f"seed={seed}", accuracy=None).path for seed in (1, 2)]
    assert f"left out, unfinished: 2: {', '.join(sorted(map(str, folders)))}" in said(capsys, tmp_path)


def test_of_runs_trained_anew_the_last_is_taken_and_named(tmp_path, capsys):
    folders = [leave(tmp_path, accuracy=0.1 * k, suffix=suffix).path for k, suffix in enumerate(("", "-2", "-10"))]
    told = said(capsys, tmp_path)
    assert f"{folders[2]} is used, the latest; left out 2: {folders[0]}, {folders[1]}" in told
    assert "20.00 (1)" in told


def test_a_sweeps_runs_are_found_and_the_missing_ones_named(tmp_path, capsys):
    output = tmp_path / "output"
    file = tmp_path / "sweep.yml"
    file.write_text(f"output_path: {output}\n{SWEEP}")
    told = said(capsys, file, status=2)
    assert f"no finished run in the runs of {file}; " in told
    assert " are meant (smoke=true after the file means those of made-up images)" in told
    leave(output, "loss_function=CrossEntropyLoss", "seed=0", "notes=by hand")
    leave(output, "loss_function=FocalLoss", "seed=1")
    leave(output, "loss_function=FocalLoss", "seed=0", accuracy=None)
    leave(output, "loss_function=FocalLoss", "seed=2")
    leave(output, "loss_function=HingeLoss", "seed=0")
    told = said(capsys, file)
    assert "3 runs in 2 groups" in told
    assert "1 run of further seeds than the file's, too" in told
    missing = "loss_function=FocalLoss, seed=0; loss_function=CrossEntropyLoss, seed=1"
    assert f"runs of the sweep that are not finished yet: 2: {missing}" in told
    assert "1 run in" in said(capsys, file, "sweep.seeds=[2]", "loss_function=FocalLoss")


def test_what_a_sweep_calls_values_that_go_together_can_be_rows(tmp_path, capsys):
    plain, focused = "loss_function: CrossEntropyLoss", "loss_function: FocalLoss, loss_params.gamma: 3"
    methods = f"method: [{{name: plain, {plain}}}, {{name: focused, {focused}}}]"
    text = SWEEP.replace("loss_function: [CrossEntropyLoss, FocalLoss]", methods)
    (tmp_path / "sweep.yml").write_text(f"output_path: {tmp_path}/runs\n{text}")
    for seed in (0, 1):
        leave(tmp_path / "runs", "loss_function=CrossEntropyLoss", f"seed={seed}", accuracy=0.8)
        leave(tmp_path / "runs", "loss_function=FocalLoss", "loss_params.gamma=3", f"seed={seed}")
    told = said(capsys, tmp_path / "sweep.yml", "--rows", "method")
    assert "method (rows)" in told
    assert "loss_function, loss_params.gamma vary together with method" in told
    rows = [line.split()[0] for line in told.splitlines() if "(2)" in line]
    assert rows == ["plain", "focused"]
    assert "focused \N{MINUS SIGN} plain" in told
    near = "--rows: no run has the key 'methods'; did you mean 'method'?"
    assert near in said(capsys, tmp_path / "sweep.yml", "--rows", "methods", status=2)
    assert "no run has the key 'method'" in said(capsys, tmp_path / "runs", "--rows", "method", status=2)


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
    assert "Verdicts: test/accuracy" in told
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
    sweep = read_sweep(file)
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
