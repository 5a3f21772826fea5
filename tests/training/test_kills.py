"""A run that is killed, at any moment and any number of times, ends as one that nothing happened to."""

from __future__ import annotations

import itertools
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from runs.folder import RunFolder
from tests.training.killing import Kill, killed, run
from tests.training.resuming import SETUPS, differences

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
    "tracker's copies": 1,
    "tracker's close": 1,
}
"""The moments, and up to which time of each one is drawn."""


def random_kills(number: int, seed: int) -> Iterator[Kill]:
    """Give kills at all moments in turn, at random times within them."""
    draw = random.Random(seed)
    for moment in itertools.islice(itertools.cycle(LATEST), number):
        yield Kill(moment, draw.randint(1, LATEST[moment]), draw.uniform(0.5, 6.0))


class Tracked(NamedTuple):
    """A run in MLflow.

    Args:
        epochs: of each of its metrics. files: below it.
    """

    state: str
    epochs: dict[str, list[int]]
    files: set[str]


def mlflow_runs(folder: Path) -> list[Tracked]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its libraries
        from mlflow.tracking import MlflowClient

        client = MlflowClient(f"sqlite:///{folder / 'output' / 'mlflow.db'}")
        found = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
        return [_tracked(client, run) for run in found]


def _tracked(client: Any, run: Any) -> Tracked:
    identity = run.info.run_id
    epochs = {key: [point.step for point in client.get_metric_history(identity, key)] for key in run.data.metrics}
    return Tracked(run.info.status, epochs, {file.path for file in client.list_artifacts(identity)})


def check_tracked(finished: RunFolder, folder: Path) -> None:
    """Check that MLflow has one run, with all that is known of it, once, whatever its process died of."""
    (tracked,) = mlflow_runs(folder)
    assert tracked.state == "FINISHED"
    assert tracked.epochs["valid/accuracy"] == [0, 1, 2, 3]
    assert tracked.epochs["test/accuracy"] == [3]
    left = {path.name for path in finished.path.iterdir() if not path.name.startswith(".")}
    assert tracked.files == left - {"checkpoints"}


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
        check_tracked(finished, folder)
        assert not list(folder.rglob(".*.tmp"))
    return len(spent)


def epochs(folder: RunFolder) -> list[float]:
    return [row["epoch"] for row in folder.read_metrics()]


def test_a_run_killed_a_few_times_ends_as_if_it_had_not_been(tmp_path):
    assert check("plain", FEW, tmp_path, seed=0) >= FEW - 2


def test_a_run_killed_after_its_summary_is_told_whole_at_the_next_start(tmp_path):
    plans = [Kill("tracker", 5), Kill("tracker's copies", 1), Kill("tracker's close", 1)]  # the fifth: how it ended
    finished, died = killed(iter(plans), lambda start: COMMON, tmp_path)
    assert died == plans
    check_tracked(finished, tmp_path)
    assert not finished.unreported.exists()


@pytest.mark.torture
@pytest.mark.parametrize("setup", KILLED)
def test_a_run_killed_at_25_random_moments_ends_as_if_it_had_not_been(tmp_path, setup):
    assert check(setup, MANY, tmp_path, seed=KILLED.index(setup) + 1) >= MANY - 6
