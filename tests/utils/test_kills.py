"""A run that is killed, at any moment and any number of times, ends as one that nothing happened to."""

from __future__ import annotations

import itertools
import random
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.utils.killing import Kill, killed, run
from tests.utils.resuming import SETUPS, differences
from utils.runs import RunFolder

COMMON = {
    "classes": "[0,1,2]",
    "batch_size": "96",
    "num_epochs": "4",
    "dropout": "0.3",
    "checkpoint_every_steps": "2",
    "image_size": "12",  # so that images are prepared, and kept on the disk
    "cache": "disk",
    "trackers": "[mlflow]",
}
"""Of `quick`: 5 steps an epoch."""

KILLED = ("plain", "online label smoothing", "mixing", "plateau")
MANY, FEW = 25, 6
LATEST = {
    "cache": 400,
    "time": 1,
    "step": 8,
    "write of a checkpoint": 200,
    "tracker": 3,
    "rename": 16,
    "optimizer": 8,
    "validation": 2,
    "read of a checkpoint": 1,
}
"""The moments, and up to which time of each one is drawn."""


def random_kills(number: int, seed: int) -> Iterator[Kill]:
    """Give kills at all moments in turn, at random times within them."""
    draw = random.Random(seed)
    for moment in itertools.islice(itertools.cycle(LATEST), number):
        yield Kill(moment, draw.randint(1, LATEST[moment]), draw.uniform(0.5, 6.0))


def mlflow_runs(folder: Path) -> list[tuple[str, dict[str, list[int]]]]:
    """Return the state of each tracked run and the epochs of each of its metrics."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its libraries
        from mlflow.tracking import MlflowClient

        client = MlflowClient(f"sqlite:///{folder / 'output' / 'mlflow.db'}")
        found = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
        return [
            (
                run.info.status,
                {key: [p.step for p in client.get_metric_history(run.info.run_id, key)] for key in run.data.metrics},
            )
            for run in found
        ]


def check(setup: str, kills: int, tmp_path: Path, seed: int) -> int:
    """Kill runs of a set-up until so many kills are spent; return how many a run died of."""
    changes = COMMON | SETUPS[setup]
    _, whole = run(changes, tmp_path / "whole", None)
    assert whole is not None
    spent: list[Kill] = []
    plans = random_kills(kills, seed)
    for number in itertools.count():
        folder = tmp_path / str(number)
        left, plans = itertools.tee(plans)
        if next(left, None) is None:
            break
        finished, died = killed(plans, lambda start: changes | {"num_workers": str(start % 3)}, folder)
        spent += died
        assert differences(whole, finished) == []
        assert epochs(finished) == [0, 1, 2, 3]
        (tracked,) = mlflow_runs(folder)
        assert tracked[0] == "FINISHED"
        assert tracked[1]["valid/accuracy"] == [0, 1, 2, 3]
        assert not list(folder.rglob(".*.tmp"))
    return len(spent)


def epochs(folder: RunFolder) -> list[float]:
    return [row["epoch"] for row in folder.read_metrics()]


def test_a_run_killed_a_few_times_ends_as_if_it_had_not_been(tmp_path):
    assert check("plain", FEW, tmp_path, seed=0) >= FEW - 2


@pytest.mark.torture
@pytest.mark.parametrize("setup", KILLED)
def test_a_run_killed_at_25_random_moments_ends_as_if_it_had_not_been(tmp_path, setup):
    assert check(setup, MANY, tmp_path, seed=KILLED.index(setup) + 1) >= MANY - 6
