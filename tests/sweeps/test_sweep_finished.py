"""Runs of a sweep that are finished: passed over by what their folders say, without Ray."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import pytest

import train
from configuration.reading import read_configuration
from evaluation.catalogue import NAME_CHECKS
from runs.folder import RunFolder
from sweeps import earlier_runs
from sweeps.cells import Sweep, expand, load_sweep
from sweeps.earlier_runs import FinishedRuns
from sweeps.jobs import Jobs, Outcome
from sweeps.mistakes import find_mistakes
from sweeps.search import SearchJobs
from sweeps.worker import train_cell

pytestmark = pytest.mark.usefixtures("plain_log", "no_processes", "quiet_runs")

TEXT = """\
dataset: digits
convert_to_grayscale: true
image_size: null
architecture: test_resnet
num_epochs: 1
batch_size: 512
trackers: []
accelerator: cpu
sweep:
  grid:
    loss_function: [CrossEntropyLoss, FocalLoss]
  seeds: 2
"""
SEARCH = "{ranges: {optimizer_params.lr: {log: [0.001, 0.01]}}, trials: 2}"


def read(file: Path, *changes: str) -> Sweep:
    return load_sweep(read_configuration(str(file), changes, NAME_CHECKS, find_mistakes))


def folder(outcome: Outcome | None) -> RunFolder:
    assert outcome is not None
    assert outcome.folder is not None
    return RunFolder(outcome.folder)


def test_a_finished_sweep_is_told_a_line_a_run_without_ray(file, capsys, caplog, no_processes):
    assert train.main([str(file), "--shard", "1/1"]) == 0
    done = [line for line in capsys.readouterr().out.splitlines() if line.startswith("run ") and " of " in line]
    caplog.clear()
    for words in ([], ["--shard", "1/1"]):
        assert train.main([str(file), *words]) == 0
        told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("run ") and " of " in line]
        assert told == [line.replace(": finished", ": skipped ") for line in done]
    assert caplog.records == []
    with pytest.raises(no_processes):
        train.main([str(file), "--fresh"])
    with pytest.raises(no_processes):
        train.main([str(file), "sweep.seeds=3"])
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("run ") and " of " in line]
    assert [line.split(": ")[0] for line in told] == [f"run {number} of 6" for number in range(1, 5)]


def test_a_run_counts_as_finished_for_its_own_data_and_settings_only(file, monkeypatch):
    cell, other = list(expand(read(file)))[:2]
    known = folder(train_cell(cell))
    assert folder(FinishedRuns().find(cell)) == known
    assert FinishedRuns().find(other) is None
    for change in ("batch_size=256", "data_params={}", "label_noise=0.1"):
        found = FinishedRuns().find(next(expand(read(file, change))))
        assert (found is None) == (change != "data_params={}")
    assert FinishedRuns().find(next(expand(read(file, "num_workers=0", "notes=x")))) is not None
    known.summary.write_text("{}")
    assert FinishedRuns().find(cell) is None


def test_a_finished_run_that_its_trackers_do_not_know_whole_is_looked_into(file):
    cell = next(expand(read(file, "trackers=[tensorboard]")))
    known = folder(train_cell(cell))
    assert FinishedRuns().find(cell) is not None
    known.unreported.touch()
    assert FinishedRuns().find(cell) is None
    assert FinishedRuns().find(next(expand(read(file)))) is not None  # without a tracker
    assert train_cell(cell).state == "skipped"
    assert not known.unreported.exists()


def test_data_that_are_not_here_leave_it_to_the_run(file, tmp_path):
    cell = next(expand(read(file, "dataset=image_folder", f"data_path={tmp_path}/none")))
    (tmp_path / "output" / f"image_folder-test_resnet-CrossEntropyLoss-s0-{'0' * 10}").mkdir(parents=True)
    assert FinishedRuns().find(cell) is None


def test_data_are_read_once_and_not_where_no_run_can_be_finished(file, monkeypatch):
    loaded = []
    real = earlier_runs.load_data_set
    monkeypatch.setattr(earlier_runs, "load_data_set", lambda config: loaded.append(config) or real(config))
    runs = FinishedRuns()
    cells = list(expand(read(file)))
    assert [runs.find(cell) for cell in cells] == [None] * 4
    assert loaded == []
    for cell in cells[:2]:
        train_cell(cell)
    runs = FinishedRuns()
    assert [runs.find(cell) is not None for cell in cells] == [True, True, False, False]
    assert len(loaded) == 1


def do_all(jobs: SearchJobs | Jobs, sweep: Sweep) -> None:
    while (job := jobs.next()) is not None:
        jobs.end(job, train_cell(job.cell(sweep)))


def test_a_finished_search_is_told_without_ray_with_what_it_found(file, capsys, no_processes):
    words = ["sweep.grid=null", f"sweep.search={SEARCH}"]
    sweep = read(file, *words)
    jobs = SearchJobs(sweep)
    do_all(jobs, sweep)
    capsys.readouterr()
    assert train.main([str(file), *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 run to be looked at"
    assert lines[1].startswith("run 1 of 1: skipped   seed=1, optimizer_params.lr=")
    assert lines[2:] == jobs.findings()
    with pytest.raises(no_processes):
        train.main([str(file), *words, "sweep.seeds=3"])


def test_a_trial_that_finished_unheard_counts_when_its_turn_comes(file, capsys, no_processes):
    words = ["sweep.grid=null", f"sweep.search={SEARCH}"]
    sweep = read(file, *words)
    job = SearchJobs(sweep).next()
    assert job is not None
    outcome = train_cell(job.cell(sweep))
    assert outcome.summary is not None
    assert SearchJobs(sweep).total == 3
    with pytest.raises(no_processes):
        train.main([str(file), *words])
    assert f"run 1 of 3: skipped   {outcome.name}" in capsys.readouterr().out
    (study,) = SearchJobs(sweep).studies
    assert study.study.best_value == outcome.summary["valid/accuracy"]


def test_trials_that_were_given_up_before_are_shown_as_ends_by_a_search_that_goes_on(file, monkeypatch):
    words = ["sweep.grid=null", "sweep.seeds=1", f"sweep.search={SEARCH}"]
    sweep = read(file, *words)
    jobs = SearchJobs(sweep)
    first, second = jobs.next(), jobs.next()
    assert first is not None
    assert second is not None
    assert jobs.given_up == []
    name = first.cell(sweep).name
    jobs.end(first, Outcome(name, "pruned", reason="worse than others"))
    jobs.end(second, train_cell(second.cell(sweep)))
    shown: list[tuple[str, str]] = []

    @contextmanager
    def keep(sweep, outcomes):
        yield
        shown.extend((each.name, each.state) for each in outcomes)

    monkeypatch.setattr("sweeps.execution.shown_as_one", keep)
    assert train.main([str(file), *words]) == 0
    assert shown == [(name, "pruned")]
