"""Trackers: where a run's parameters, metrics and files are shown beside those of other runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from utils.lookup import Entry
from utils.secrets import remember_secrets

if TYPE_CHECKING:
    from utils.trackers.base import TrackedRun, Tracker

TRACKERS = {
    "mlflow": Entry(
        "utils.trackers.mlflow:MLflowTracker", "local dashboard on one SQLite file, or a server by its URI"
    ),
    "tensorboard": Entry("utils.trackers.tensorboard:TensorBoardTracker", "event files in the run folder"),
    "wandb": Entry("utils.trackers.wandb:WandbTracker", "Weights & Biases, offline unless WANDB_MODE says otherwise"),
    "neptune": Entry("utils.trackers.neptune:NeptuneTracker", "Neptune records on disk, or a server of your own"),
}


def build_trackers(names: Iterable[str], run: TrackedRun, config: Any) -> list[Tracker]:
    """Open the named trackers for a run.

    None of them ever raises: one that fails, now or later, is told in one warning, and the run goes on without it. The
    list is as long as `names` on every rank; only rank zero tracks anything.

    Args:
        names: keys of `TRACKERS`.
        run: what is tracked.
        config: read for `output_path`, `experiment_name`, `mlflow_uri`, `neptune_mode`, `neptune_username`,
            `neptune_project_name` and `neptune_api_token`, each only by the tracker that it concerns.

    Raises: KeyError if a name is not in `TRACKERS`.
    """
    from utils.trackers.base import GuardedTracker

    remember_secrets(getattr(config, "neptune_api_token", None), getattr(config, "mlflow_uri", None))
    return [GuardedTracker(name, TRACKERS[name], run, config) for name in dict.fromkeys(names)]
