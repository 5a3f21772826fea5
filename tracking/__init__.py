"""Trackers: dashboards that show a run's parameters, metrics and files beside those of other runs."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from utils.lookup import Entry, load_entry
from utils.secrets import remember_secrets
from utils.signatures import read_attribute

if TYPE_CHECKING:
    from runs.folder import RunFolder
    from tracking.base import TrackedRun, Tracker
    from tracking.family import Family, Results

TRACKERS = {
    "mlflow": Entry("tracking.mlflow:MLflowTracker", "local dashboard on one SQLite file, or a server by its URI"),
    "tensorboard": Entry("tracking.tensorboard:TensorBoardTracker", "event files in the run folder"),
    "wandb": Entry("tracking.wandb:WandbTracker", "Weights & Biases, offline unless WANDB_MODE says otherwise"),
    "neptune": Entry("tracking.neptune:NeptuneTracker", "Neptune records on disk, or a server of your own"),
}


def dashboard_command(output_path: str) -> str:
    """Return the command that shows the SQLite store of an output folder in a browser."""
    quoted = shlex.quote(output_path.replace("$", "$$"))  # for the shell and for make
    return "make dashboard" + ("" if output_path == "output" else f" OUTPUT={quoted}")


def chosen_trackers(config: Any) -> list[str]:
    """Return the trackers of a configuration, `log_to_neptune` included."""
    return [*config.trackers, *(["neptune"] if config.log_to_neptune and "neptune" not in config.trackers else [])]


def know_the_end(config: Any, folder: RunFolder) -> bool:
    """Tell whether the trackers of a configuration have the end of a folder's run, if it ended."""
    return not chosen_trackers(config) or not folder.unreported.is_file()


def build_trackers(names: Iterable[str], run: TrackedRun, config: Any) -> list[Tracker]:
    """Open the named trackers for a run.

    None of them ever raises: a failure, now or later, costs one warning, and the run continues without the tracker.
    The list is as long as `names` on every rank; only rank zero tracks anything.

    Args:
        names: keys of `TRACKERS`.
        run: the run to track.
        config: has `output_path`, `experiment_name` and the `keys` that each tracker declares.

    Raises: KeyError if a name is not in `TRACKERS`.
    """
    from tracking.base import GuardedTracker

    keys = (key for entry in TRACKERS.values() for key in read_attribute(*entry.location.split(":"), "keys") or ())
    remember_secrets({key: getattr(config, key, None) for key in keys})
    return [GuardedTracker(name, TRACKERS[name], run, config) for name in dict.fromkeys(names)]


def open_family(names: Iterable[str], family: Family, config: Any) -> dict[str, str | None]:
    """Show a sweep in the named trackers, before any of its runs is opened in any process.

    This creates, once for all runs, MLflow's tables and the like. A failure costs one warning.

    Returns: for each tracker that did not fail, how to see the sweep, such as by an address, or None.
    """
    from tracking.base import attempt

    shown: dict[str, str | None] = {}

    def show(name: str, tracker: type[Tracker]) -> None:
        shown[name] = tracker.open_family(family.without_secrets(), config)

    for name in dict.fromkeys(names):
        tracker = load_entry(TRACKERS[name])
        attempt(name, tracker, partial(show, name, tracker))
    return shown


def close_family(names: Iterable[str], family: Family, config: Any, results: Results) -> None:
    """Show the results of a sweep's runs in this process in the named trackers."""
    from tracking.base import attempt

    arguments = family.without_secrets(), config, results.without_secrets()
    for name in dict.fromkeys(names):
        tracker = load_entry(TRACKERS[name])
        attempt(name, tracker, partial(tracker.close_family, *arguments))
