"""Runs of a sweep that are finished: passed over by what their folders say, without starting a process."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

import train
from runs.folder import RunFolder
from sweeps import earlier_runs
from sweeps.cells import expand
from sweeps.earlier_runs import FinishedRuns
from sweeps.jobs import Outcome
from sweeps.search import SearchJobs
from sweeps.worker import train_cell
from tests.small_sweep import BASE, HERE, ended, read_sweep

pytestmark = pytest.mark.usefixtures("plain_log", "no_processes", "quiet_runs")

TEXT = BASE + "sweep: {grid: {loss_function: [CrossEntropyLoss, FocalLoss]}, seeds: 2}\n"
SEARCH = "sweep.search={ranges: {optimizer_params.lr: {log: [0.001, 0.01]}}, trials: 2}"


def folder(outcome: Outcome | None) -> RunFolder:
    assert outcome is not None
    assert outcome.folder is not None
    return RunFolder(outcome.folder)


def test_finished_runs_are_a_line_each_and_count_for_their_own_data_and_settings_only(
    file, capsys, caplog, monkeypatch, no_processes
):
    loaded, real = [], earlier_runs.load_data_set
    monkeypatch.setattr(earlier_runs, "load_data_set", lambda config: loaded.append(config) or real(config))
    cells = list(expand(read_sweep(file)))
    finished = FinishedRuns()
    assert [finished.find(cell) for cell in cells] == [None] * 4
    assert loaded == []  # where no run can be finished
    assert train.main([str(file), "--shard", "1/2"]) == 0
    loaded.clear()
    finished = FinishedRuns()
    assert [finished.find(cell) is not None for cell in cells] == [True, False, True, False]
    assert len(loaded) == 1
    assert train.main([str(file), *HERE]) == 0
    capsys.readouterr()
    caplog.clear()
    for words in ([], HERE):
        assert train.main([str(file), *words]) == 0
        assert [line.split("  ")[0] for line in ended(capsys)] == [f"run {n} of 4: skipped" for n in (1, 2, 3, 4)]
    assert caplog.records == []
    with pytest.raises(no_processes):
        train.main([str(file), "--fresh"])
    with pytest.raises(no_processes):
        train.main([str(file), "sweep.seeds=3"])
    assert [line.split(": ")[0] for line in ended(capsys)] == [f"run {number} of 6" for number in range(1, 5)]

    for change in ("batch_size=256", "data_params={}", "label_noise=0.1"):
        found = FinishedRuns().find(next(expand(read_sweep(file, change))))
        assert (found is None) == (change != "data_params={}")
    assert FinishedRuns().find(next(expand(read_sweep(file, "num_workers=0", "notes=x")))) is not None
    folder(FinishedRuns().find(cells[0])).summary.write_text("{}")
    assert FinishedRuns().find(cells[0]) is None


def test_a_finished_run_that_its_trackers_do_not_know_whole_is_looked_into(file):
    cell = next(expand(read_sweep(file, "trackers=[tensorboard]")))
    known = folder(train_cell(cell))
    assert FinishedRuns().find(cell) is not None
    known.unreported.touch()
    assert FinishedRuns().find(cell) is None
    assert FinishedRuns().find(next(expand(read_sweep(file)))) is not None  # without a tracker
    assert train_cell(cell).state == "skipped"
    assert not known.unreported.exists()


def test_data_that_are_not_here_leave_it_to_the_run(file, tmp_path):
    cell = next(expand(read_sweep(file, "dataset=image_folder", f"data_path={tmp_path}/none")))
    (tmp_path / "output" / f"image_folder-test_resnet-CrossEntropyLoss-s0-{'0' * 10}").mkdir(parents=True)
    assert FinishedRuns().find(cell) is None


def test_a_search_goes_on_with_a_trial_that_finished_unheard_and_is_finished_once_its_runs_are(
    file, capsys, no_processes
):
    words = ["sweep.grid=null", SEARCH]
    sweep = read_sweep(file, *words)
    job = SearchJobs(sweep).next()
    assert job is not None
    outcome = train_cell(job.cell(sweep))
    assert outcome.summary is not None
    assert SearchJobs(sweep).total == 3
    with pytest.raises(no_processes):
        train.main([str(file), *words])
    assert f"run 1 of 3: skipped   {outcome.name}" in capsys.readouterr().out
    jobs = SearchJobs(sweep)
    (study,) = jobs.studies
    assert study.study.best_value == outcome.summary["valid/accuracy"]
    while (job := jobs.next()) is not None:
        jobs.end(job, train_cell(job.cell(sweep)))
    capsys.readouterr()
    assert train.main([str(file), *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 run to be looked at"
    assert lines[1].startswith("run 1 of 1: skipped   seed=1, optimizer_params.lr=")
    assert lines[2:] == jobs.findings()
    with pytest.raises(no_processes):
        train.main([str(file), *words, "sweep.seeds=3"])


def test_trials_that_were_given_up_before_are_shown_as_ends_by_a_search_that_goes_on(file, monkeypatch):
    words = ["sweep.grid=null", "sweep.seeds=1", SEARCH]
    sweep = read_sweep(file, *words)
    jobs = SearchJobs(sweep)
    first, second = jobs.next(), jobs.next()
    assert first is not None
    assert second is not None
    assert jobs.given_up == []
    names = [job.cell(sweep).name for job in (first, second)]
    for job, name in zip((first, second), names, strict=True):
        jobs.end(job, Outcome(name, "pruned", reason="worse than others"))
    shown: list[tuple[str, str]] = []

    @contextmanager
    def keep(sweep, outcomes):
        yield
        shown.extend((each.name, each.state) for each in outcomes)

    monkeypatch.setattr("sweeps.execution.shown_as_one", keep)
    assert train.main([str(file), *words]) == 0
    assert shown == [(name, "pruned") for name in names]
