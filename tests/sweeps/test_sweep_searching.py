"""A sweep's search: which trials there are, what becomes of their values, and what is given up."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import optuna
import pytest

import train
from runs.folder import RunFolder, TrialRecord
from sweeps.block import PRUNERS, SAMPLERS
from sweeps.callbacks import Pruned, Pruning
from sweeps.cells import Sweep, planned
from sweeps.description import describe
from sweeps.jobs import Job, Jobs, Outcome, Shard
from sweeps.search import FILE, SearchJobs, best_jobs, load_study, study_name
from tests.small_sweep import read_sweep
from training import runner
from utils.types import ConfigError

TEXT = """\
dataset: digits
convert_to_grayscale: true
image_size: null
architecture: test_resnet
num_epochs: 3
batch_size: 128
trackers: []
accelerator: cpu
seed: 5
sweep:
  grid:
    loss_function: [CrossEntropyLoss, FocalLoss]
  seeds: [5, 6]
  search:
    ranges:
      optimizer_params.lr: {log: [0.0001, 0.1]}
      optimizer_params.weight_decay: {uniform: [0, 0.1]}
      accumulate_batches: {int: [1, 3]}
      optimizer: {choice: [AdamW, RMSprop]}
    trials: 4
"""


@pytest.fixture
def read(tmp_path):
    path = tmp_path / "sweep.yml"
    path.write_text(f"output_path: {tmp_path}/output\nlogging_dir: {tmp_path}/logs\n{TEXT}")

    return partial(read_sweep, path)


def outcome(job: Job, sweep: Sweep, value: float | None) -> Outcome:
    name = job.cell(sweep).name
    if value is None:
        return Outcome(name, "failed", reason="loss is not finite")
    return Outcome(name, "finished", Path("folder"), {"valid/accuracy": value, "test/accuracy": 1 - value})


def judge(job: Job) -> float:
    """An accuracy that is best near a rate of 0.01."""
    return 1 / (1 + abs(job.drawn["optimizer_params.lr"] - 0.01))


def do_all(jobs: SearchJobs, sweep: Sweep, at_once: int = 1, judge=judge) -> list[Job]:
    """Do all runs, some of them side by side, and return them in the order in which they were given."""
    done, at_work = [], []
    while True:
        job = jobs.next() if len(at_work) < at_once else None
        if job is not None:
            done.append(job)
            at_work.append(job)
        elif at_work:
            first = at_work.pop(0)
            jobs.end(first, outcome(first, sweep, judge(first)))
        else:
            return done


@pytest.mark.parametrize("at_once", [1, 3])
def test_each_combination_has_its_trials_on_the_first_seed_and_its_best_values_on_the_others(read, at_once):
    sweep = read()
    jobs = SearchJobs(sweep)
    assert jobs.total == 2 * 4 + 2
    done = do_all(jobs, sweep, at_once)
    assert len(done) == 10
    for loss in ("CrossEntropyLoss", "FocalLoss"):
        mine = [job for job in done if job.cell(sweep).config.loss_function == loss]
        trials, others = [job for job in mine if job.trial is not None], [job for job in mine if job.trial is None]
        assert [job.cell(sweep).config.seed for job in trials] == [5] * 4
        (other,) = others
        assert other.cell(sweep).config.seed == 6
        assert other.drawn == max(trials, key=judge).drawn
        assert mine.index(other) == 4


def test_drawn_values_lie_in_their_ranges_and_reach_the_configuration(read):
    sweep = read()
    job = SearchJobs(sweep).next()
    assert job is not None
    config = job.cell(sweep).config
    assert config.optimizer_params == {
        "lr": job.drawn["optimizer_params.lr"],
        "weight_decay": job.drawn["optimizer_params.weight_decay"],
    }
    assert 0.0001 <= config.optimizer_params["lr"] <= 0.1
    assert 0 <= config.optimizer_params["weight_decay"] <= 0.1
    assert config.accumulate_batches in (1, 2, 3)
    assert config.optimizer in ("AdamW", "RMSprop")
    assert "optimizer_params.lr=" in job.cell(sweep).name


def test_the_same_seed_draws_the_same_values_and_another_one_others(read, tmp_path):
    first = [job.drawn for job in do_all(SearchJobs(read()), read())]
    (tmp_path / "output" / FILE).unlink()
    assert [job.drawn for job in do_all(SearchJobs(read()), read())] == first
    other = read("seed=7", "sweep.seeds=null")
    assert next(iter(do_all(SearchJobs(other), other))).drawn != first[0]


def test_a_search_that_was_killed_goes_on_with_the_trials_that_were_at_work(read):
    sweep = read()
    jobs = SearchJobs(sweep)
    ended, killed = jobs.next(), jobs.next()
    assert ended is not None
    assert killed is not None
    jobs.end(ended, outcome(ended, sweep, 0.5))

    again = SearchJobs(sweep)
    assert again.total == 10 - 1
    rest = do_all(again, sweep)
    assert [job.drawn for job in rest if job.trial == killed.trial] == [killed.drawn]
    assert ended.trial not in [job.trial for job in rest]
    assert len(rest) == 9
    assert SearchJobs(sweep).total == 2  # the other seeds, whose folders tell that they are finished


def test_trials_that_failed_count_and_are_never_the_best(read):
    sweep = read("sweep.grid=null")
    values = iter([None, 0.2, None, 0.1, 0.9])
    done = do_all(SearchJobs(sweep), sweep, judge=lambda job: next(values))
    assert done[-1].drawn == done[1].drawn


def test_where_every_trial_failed_nothing_is_trained_on_the_other_seeds(read):
    sweep = read("sweep.grid=null", "monitor=valid/loss")
    jobs = SearchJobs(sweep)
    done = do_all(jobs, sweep, judge=lambda job: None)
    assert len(done) == 4
    assert jobs.findings() == ["best of all: no trial has a result"]
    assert SearchJobs(sweep).next() is None
    assert [jobs for _, jobs in best_jobs(sweep)] == [[]]
    study = load_study(sweep, study_name(sweep, done[0].numbers))
    assert study.direction == optuna.study.StudyDirection.MINIMIZE  # a loss


def test_what_was_found_is_each_combination_with_its_best_values_on_all_seeds(read, tmp_path):
    sweep = read()
    assert [jobs for _, jobs in best_jobs(sweep)] == [[], []]
    assert not (tmp_path / "output").exists()  # to ask writes nothing
    done = do_all(SearchJobs(sweep), sweep)
    for name, jobs in best_jobs(sweep):
        (other,) = (job for job in done if job.trial is None and job.cell(sweep).config.loss_function in name)
        assert [job.cell(sweep).config.seed for job in jobs] == [5, 6]
        assert [job.drawn for job in jobs] == [other.drawn] * 2


def test_a_changed_setting_is_another_search(read):
    numbers = Jobs(read()).next()
    assert numbers is not None
    names = {study_name(read(*change), numbers.numbers) for change in ([], ["dropout=0.1"], ["sweep.search.trials=9"])}
    assert len(names) == 3
    assert study_name(read("num_workers=0"), numbers.numbers) in names


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        (["sweep.search.sampler=TPSampler"], ["sweep.search.sampler: must be one of TPESampler", "mean 'TPESampler'"]),
        (["sweep.search.pruner=Median"], ["sweep.search.pruner: must be one of MedianPruner"]),
        (["sweep.search.sampler_params.n_startup=3"], ["sweep.search.sampler_params.n_startup: unknown parameter"]),
        (
            ["sweep.search.pruner=PercentilePruner", "sweep.search.pruner_params.percentile=200"],
            ["sweep.search.pruner_params: Percentile must be between 0 and 100"],
        ),
        (["sweep.search.pruner_params.n_startup_trials=3"], ["sweep.search.pruner_params: is given without a pruner"]),
    ],
)
def test_samplers_and_pruners_that_there_are_not_are_named_with_what_there_is(read, changes, messages):
    with pytest.raises(ConfigError) as caught:
        read(*changes)
    for message in messages:
        assert message in str(caught.value)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_draws_and_a_search_that_goes_on_draws_no_values_again(read, name):
    if name == "CmaEsSampler":
        pytest.importorskip("cmaes")
    drawn = []
    for _ in range(4):
        sweep = read(f"sweep.search.sampler={name}", "sweep.grid=null")
        jobs = SearchJobs(sweep)
        job = jobs.next()
        assert job is not None
        drawn.append(job.drawn["optimizer_params.lr"])
        jobs.end(job, outcome(job, sweep, judge(job)))
    assert len(set(drawn)) == 4


@pytest.mark.parametrize("name", PRUNERS)
def test_every_pruner_can_be_asked(read, name):
    params = {"PercentilePruner": ["percentile=25.0"], "ThresholdPruner": ["lower=0.1"]}.get(name, [])
    sweep = read(f"sweep.search.pruner={name}", *(f"sweep.search.pruner_params.{each}" for each in params))
    job = SearchJobs(sweep).next()
    assert job is not None
    assert job.trial is not None
    trial = Pruning(sweep, job.trial).trial
    trial.report(0.5, 0)
    assert trial.should_prune() is False


@pytest.mark.usefixtures("plain_log")
def test_a_trial_that_does_worse_than_the_threshold_is_given_up_and_says_so(read, tmp_path, monkeypatch):
    monkeypatch.setattr("training.report.draw_augmentations", lambda *arguments: None)
    limits = ["sweep.search.pruner=ThresholdPruner", "sweep.search.pruner_params={lower: 1.01, n_warmup_steps: 1}"]
    sweep = read(*limits, "sweep.grid=null")
    jobs = SearchJobs(sweep)
    job = jobs.next()
    assert job is not None
    assert job.trial is not None
    with pytest.raises(Pruned, match=r"valid/accuracy 0\.\d{4} after 2 of 3 epochs"):
        runner.train(job.cell(sweep).config, callbacks=[Pruning(sweep, job.trial)])
    (folder,) = map(RunFolder, (tmp_path / "output").glob("digits-*"))
    assert folder.read_trial() == TrialRecord(job.trial.study, 0, job.drawn)
    with pytest.raises(Pruned, match="after 3 of 3 epochs"):  # a run that is gone on with tells no epoch twice
        runner.train(job.cell(sweep).config, callbacks=[Pruning(sweep, job.trial)])
    jobs.end(job, Outcome("", "pruned"))
    (trial,) = load_study(sweep, job.trial.study).trials
    assert trial.state == optuna.trial.TrialState.PRUNED
    assert sorted(trial.intermediate_values) == [0, 1, 2]


def test_a_sweep_without_a_search_is_read_without_optuna():
    text = "import sys, sweeps.execution, comparison.sources; sys.exit('optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", text], cwd=Path(train.__file__).parent, check=False).returncode == 0


def test_check_counts_trials_and_what_follows_them(read):
    text = describe(read(), Shard())
    for line in (
        "10 runs: 4 trials of each of 2 combinations on the first seed, then 2 with the best values on the others",
        "drawn by TPESampler: optimizer_params.lr, optimizer_params.weight_decay, accumulate_batches, optimizer",
    ):
        assert line in text
    assert planned(read()) == SearchJobs(read()).total == 10
    assert describe(read("sweep.search.trials=400"), Shard()).splitlines()[-1] != text.splitlines()[-1]  # the cost


def test_the_best_values_are_told_at_the_end(read):
    sweep = read()
    jobs = SearchJobs(sweep)
    done = do_all(jobs, sweep)
    for loss, line in zip(("CrossEntropyLoss", "FocalLoss"), jobs.findings(), strict=True):
        best = max((job for job in done if job.trial and loss in job.cell(sweep).name), key=judge)
        assert line.startswith(f"best of {loss}: optimizer_params.lr={best.drawn['optimizer_params.lr']:.4g}, ")
        assert line.endswith(f"  valid/accuracy {judge(best):.4f}")


@pytest.mark.parametrize("keep", ["best", "all"])
def test_trials_that_lost_keep_no_checkpoints_unless_all_are_kept(read, tmp_path, keep):
    sweep = read(f"keep_checkpoints={keep}")
    jobs, folders = SearchJobs(sweep), {}
    for job in iter(jobs.next, None):
        if job.trial is None:
            break
        folder = RunFolder(tmp_path / "output" / f"run-{len(folders)}")
        folder.best.parent.mkdir(parents=True)
        for path in (folder.best, folder.last):
            path.write_text("weights")
        folder.write_trial(TrialRecord(job.trial.study, job.trial.number, job.drawn))
        folders[folder.path] = job
        jobs.end(job, outcome(job, sweep, judge(job)))
    assert len(folders) == 8
    for loss in ("CrossEntropyLoss", "FocalLoss"):
        mine = {path: job for path, job in folders.items() if job.cell(sweep).config.loss_function == loss}
        best = max(mine, key=lambda path: judge(mine[path]))
        kept = [path for path in mine if RunFolder(path).best.exists()]
        assert kept == ([best] if keep == "best" else [*mine])
