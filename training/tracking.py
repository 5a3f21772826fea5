"""A run in its trackers: opened, told how it ended, closed. What they may have missed, the next start tells."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from configuration.schema import Configuration
from runs import lock as run_lock
from runs.folder import DamagedFile, RunFolder
from tracking import build_trackers, chosen_trackers
from tracking.base import Scalar, TrackedRun, Tracker
from tracking.family import Family
from utils.files import CannotWrite, write_atomically

LOG = logging.getLogger("lossbench")


def open_trackers(
    config: Configuration,
    folder: RunFolder,
    params: dict[str, Scalar],
    facts: Mapping[str, Any],
    family: Family | None,
) -> list[Tracker]:
    """Open a run in the trackers of its configuration.

    Args:
        params: the configuration and what follows from it, flat.
        facts: what `environment.json` holds.
        family: the sweep that it is shown in, None for a run by itself.
    """
    names = chosen_trackers(config)
    if names:
        write_atomically(folder.untold, "")
    tags = {name: str(facts.get(name) or "") for name in ("runtime", "device", "git_commit")}
    tags |= {} if family is None else family.tags
    name = config.run_name or folder.path.name
    run = TrackedRun(folder.path, name, params, tags, tuple(config.tags), config.notes, family)
    trackers = build_trackers(names, run, config)
    for tracker in trackers:
        tracker.log_hyperparams(params)
    return trackers


def tell_epoch(trackers: Sequence[Tracker], row: Mapping[str, float]) -> None:
    """Tell the numbers of an epoch. Args: row: of metrics.csv."""
    for tracker in trackers:
        tracker.log_metrics({name: value for name, value in row.items() if name != "epoch"}, int(row["epoch"]))


def tell_end(trackers: Sequence[Tracker], last: Mapping[str, float], summary: Mapping[str, Any], folder: RunFolder):
    """Tell the numbers of the summary that are no epoch's, and copy what the run left.

    Args: last: the last row of metrics.csv.
    """
    final = {name: value for name, value in summary.items() if isinstance(value, (int, float)) and name not in last}
    for tracker in trackers:
        tracker.log_metrics(final, int(last["epoch"]))
        tracker.log_files(folder.path)


def close_trackers(trackers: Sequence[Tracker], folder: RunFolder, status: str) -> None:
    """Close a run in its trackers; after a success none is owed anything, unless it failed.

    Args: status: "success", "failed" or "interrupted".
    """
    for tracker in trackers:
        tracker.finalize(status)
    if trackers and status == "success" and not any(tracker.missed_something for tracker in trackers):
        folder.untold.unlink(missing_ok=True)


def catch_up(
    config: Configuration,
    folder: RunFolder,
    params: dict[str, Scalar],
    summary: Mapping[str, Any],
    family: Family | None,
) -> None:
    """Tell the trackers of a finished run again that may not know all of it.

    Its process died or was stopped behind the summary, or one of them failed, such as one whose server was away. Not
    while another process does so. What prevents it costs a warning.
    """
    trackers: list[Tracker] = []
    status, lock = "interrupted", None
    try:
        lock = run_lock.lock(folder)
        rows = folder.read_metrics()
        if not rows:
            raise DamagedFile(f"{folder.metrics.name} is missing")
        trackers += open_trackers(config, folder, params, folder.read_environment(), family)
        for row in rows:
            tell_epoch(trackers, row)
        tell_end(trackers, rows[-1], summary, folder)
        status = "success"
        LOG.info("told again to %s, which may have missed some of it", ", ".join(chosen_trackers(config)))
    except run_lock.Busy:
        pass
    except (DamagedFile, CannotWrite) as error:
        LOG.warning("the trackers cannot be told how this run ended: %s", error)
    finally:
        close_trackers(trackers, folder, status)
        if lock is not None:
            lock.release()
