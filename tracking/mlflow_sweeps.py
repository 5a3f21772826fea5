"""A sweep in MLflow: one run that represents it, the parent of all its runs in any number of processes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from configuration.schema import KEYS
from tracking import dashboard_command
from tracking.base import saved_id
from tracking.family import Family, Results
from tracking.mlflow_store import EVERY_RUN, FIRST, METRICS, PARAMS, VIEW, Store, as_key, open_store, view, view_address
from utils.secrets import without_password

PARENT = "mlflow.parentRunId"
MARK = "sweep_parent"
"""Tag of a sweep's run; its value is the sweep's name."""
PAGE = 1000


def open_parent(family: Family, config: Any) -> str:
    """Create or reopen the run of a sweep and the table that shows it; return how to open that table."""
    with open_store(config, alone=True) as store:
        parent = keep_open(store, family)
        experiment = store.experiment(family.experiment)
        store.log_params(parent, family.varied, store.client.get_run(parent).data.params)
        store.client.log_metric(parent, "runs/all", family.num_runs)
        store.client.set_experiment_tag(experiment, f"{VIEW}{family.name}", sweep_view(family))
        store.client.set_experiment_tag(experiment, f"{VIEW}{EVERY_RUN}", view())  # replaces an older version's
        if store.is_remote:
            return view_address((without_password(store.uri) or "").rstrip("/"), experiment, family.name)
        return f"{dashboard_command(config.output_path)}, which prints the address of sweep {family.name}"


def sweep_view(family: Family) -> str:
    """Return the table of a sweep: its runs, the best first; results, what varies, and the thesis's parameters."""
    keys = [axis for axis in family.varied if axis.partition(".")[0] in KEYS]  # not names of values that go together
    return view(
        ["tags.`cell`", METRICS[0], *FIRST, *METRICS, *(f"params.`{as_key(key)}`" for key in keys), *PARAMS],
        columnWidths={"tags.`cell`": 330},  # pixels
        searchFilter=f"tags.sweep = '{family.name}' and tags.cell LIKE '%'",
        orderByKey=METRICS[0],
        orderByAsc=False,
    )


def keep_open(store: Store, family: Family) -> str:
    """Return the id of a sweep's run, which is created if necessary, and set it to running.

    The store is open for this process alone. On a server, another machine may create one at the same time: the older
    one counts.
    """
    experiment = store.experiment(family.experiment)
    if not (parents := _parents(store, experiment, family)):
        tags = {**replace(family, cell="").tags, MARK: family.name}
        own = store.client.create_run(experiment, tags=tags, run_name=family.name).info.run_id
        parents = _parents(store, experiment, family)
        if parents[0].info.run_id != own:
            store.client.delete_run(own)
    parent = parents[0].info
    if parent.status != "RUNNING":
        store.client.update_run(parent.run_id, status="RUNNING")
    return parent.run_id


def close_parent(family: Family, config: Any, results: Results) -> None:
    """Count the finished and failed runs of a sweep, and end its run unless some are running elsewhere."""
    with open_store(config, alone=True) as store:
        parent = keep_open(store, family)
        children = _search(store, store.experiment(family.experiment), f"tags.`{PARENT}` = '{parent}'")
        states = {run.info.run_id: (run.data.tags.get("cell", ""), run.info.status) for run in children}
        _adopt(store, parent, family, results, states)
        cells = defaultdict[str, set[str]](set)
        for cell, status in states.values():
            cells[status].add(cell)
        finished = cells["FINISHED"] | set(results.finished)
        failed = (cells["FAILED"] | results.failed) - finished
        stopped = cells["KILLED"] - finished - results.pruned
        running = cells["RUNNING"] - finished
        store.client.log_metric(parent, "runs/finished", len(finished))
        store.client.log_metric(parent, "runs/failed", len(failed))
        if len(finished | results.pruned) >= family.num_runs:
            store.client.set_terminated(parent, "FINISHED")
        elif failed or stopped:
            if not running - failed:
                store.client.set_terminated(parent, "FAILED" if failed else "KILLED")
        elif not running:  # the rest waits for another part, or for the same command
            store.client.update_run(parent, status="SCHEDULED")


def _adopt(store: Store, parent: str, family: Family, results: Results, states: dict[str, tuple[str, str]]) -> None:
    """Make runs that were finished before, alone or in another sweep, children of this one.

    A child from when the sweep had fewer axes gets its new name.
    """
    for cell, folder in results.finished.items():
        run_id = saved_id(Path(folder), "mlflow")
        if run_id is None or states.get(run_id) == (cell, "FINISHED") or store.find_run(run_id) is None:
            continue
        store.set_tags(run_id, {**replace(family, cell=cell).tags, PARENT: parent})
        states[run_id] = (cell, "FINISHED")


def _parents(store: Store, experiment: str, family: Family) -> list[Any]:
    """Return the runs of a sweep, the oldest first: one, unless machines raced for it."""
    runs = _search(store, experiment, f"tags.{MARK} = '{family.name}'")
    return sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))


def _search(store: Store, experiment: str, text: str) -> Iterator[Any]:
    token = None
    while True:
        page = store.client.search_runs([experiment], text, max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
