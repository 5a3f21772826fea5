"""A run in its trackers, from opening to close; the next start reports again what they may have missed."""

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
        facts: of `environment.json`.
        family: the sweep to show it in, None for a single run.
    """
    names = chosen_trackers(config)
    if names:
        write_atomically(folder.unreported, "")
    tags = {name: str(facts.get(name) or "") for name in ("runtime", "device", "git_commit")}
    tags |= {} if family is None else family.tags
    name = config.run_name or folder.path.name
    run = TrackedRun(folder.path, name, params, tags, tuple(config.tags), config.notes, family)
    trackers = build_trackers(names, run, config)
    for tracker in trackers:
        tracker.log_hyperparams(params)
    return trackers


def report_epoch(trackers: Sequence[Tracker], row: Mapping[str, float]) -> None:
    """Report the numbers of an epoch. Args: row: of metrics.csv."""
    for tracker in trackers:
        tracker.log_metrics({name: value for name, value in row.items() if name != "epoch"}, int(row["epoch"]))


def report_end(trackers: Sequence[Tracker], last: Mapping[str, float], summary: Mapping[str, Any], folder: RunFolder):
    """Report the numbers of the summary that are no epoch's, and copy the run's files.

    Args: last: the last row of metrics.csv.
    """
    final = {name: value for name, value in summary.items() if isinstance(value, (int, float)) and name not in last}
    for tracker in trackers:
        tracker.log_metrics(final, int(last["epoch"]))
        tracker.log_files(folder.path)


def close_trackers(trackers: Sequence[Tracker], folder: RunFolder, status: str) -> None:
    """Close a run in its trackers; after a success nothing is left to report, unless a tracker failed.

    Args: status: "success", "failed" or "interrupted".
    """
    for tracker in trackers:
        tracker.finalize(status)
    if trackers and status == "success" and not any(tracker.missed_something for tracker in trackers):
        folder.unreported.unlink(missing_ok=True)


def catch_up(
    config: Configuration,
    folder: RunFolder,
    params: dict[str, Scalar],
    summary: Mapping[str, Any],
    family: Family | None,
) -> None:
    """Report a finished run again to trackers that may have missed some of it.

    Its process died or was stopped after the summary, or a tracker failed, such as one whose server was away. Skipped
    while another process does so; failures cost a warning.
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
            report_epoch(trackers, row)
        report_end(trackers, rows[-1], summary, folder)
        status = "success"
        LOG.info("reported again to %s, which may have missed some of it", ", ".join(chosen_trackers(config)))
    except run_lock.Busy:
        pass
    except (DamagedFile, CannotWrite) as error:
        LOG.warning("the end of this run cannot be reported to its trackers: %s", error)
    finally:
        close_trackers(trackers, folder, status)
        if lock is not None:
            lock.release()
