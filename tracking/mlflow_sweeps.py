"""A sweep in MLflow: one run that stands for it, the parent of all its runs, however many processes run them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from configuration.schema import KEYS
from tracking import dashboard_command
from tracking.base import saved_id
from tracking.family import Family, Results
from tracking.mlflow_store import EVERY_RUN, METRICS, PARAMS, VIEW, Store, as_key, open_store, view, view_address
from utils.secrets import without_password

PARENT = "mlflow.parentRunId"
MARK = "sweep_parent"
"""The tag by which the run of a sweep is found again; its value is the sweep's name."""
PAGE = 1000


def open_parent(family: Family, config: Any) -> str:
    """Let the run of a sweep be there, with the table that shows it; return how that table is opened."""
    with open_store(config, alone=True) as store:
        parent = keep_open(store, family)
        experiment = store.experiment(family.experiment)
        store.log_params(parent, family.varied, store.client.get_run(parent).data.params)
        store.client.log_metric(parent, "runs/all", family.num_runs)
        store.client.set_experiment_tag(experiment, f"{VIEW}{family.name}", sweep_view(family))
        store.client.set_experiment_tag(experiment, f"{VIEW}{EVERY_RUN}", view())  # an older experiment has another
        if store.is_remote:
            return view_address((without_password(store.uri) or "").rstrip("/"), experiment, family.name)
        return f"{dashboard_command(config.output_path)}, which prints the address of sweep {family.name}"


def sweep_view(family: Family) -> str:
    """Return the table of a sweep: its runs, the best first; results, what varies, and the thesis's parameters."""
    keys = [axis for axis in family.varied if axis.partition(".")[0] in KEYS]  # not names of values that go together
    return view(
        ["tags.`cell`", *METRICS, *(f"params.`{as_key(key)}`" for key in keys), *PARAMS],
        columnWidths={"tags.`cell`": 330},  # pixels
        searchFilter=f"tags.sweep = '{family.name}' and tags.cell LIKE '%'",
        orderByKey=METRICS[0],
        orderByAsc=False,
    )


def keep_open(store: Store, family: Family) -> str:
    """Return the id of the run of a sweep, which is created if there is none, and is running from now on.

    The store is open for this process alone. With a server, another machine may create one at the same time: the older
    one counts.
    """
    experiment = store.experiment(family.experiment)
    if not (known := _parents(store, experiment, family)):
        tags = {**replace(family, cell="").tags, MARK: family.name}
        mine = store.client.create_run(experiment, tags=tags, run_name=family.name).info.run_id
        known = _parents(store, experiment, family)
        if known[0].info.run_id != mine:
            store.client.delete_run(mine)
    parent = known[0]
    if parent.info.status != "RUNNING":
        store.client.update_run(parent.info.run_id, status="RUNNING")
    return parent.info.run_id


def close_parent(family: Family, config: Any, results: Results) -> None:
    """Count the runs of a sweep that are finished and failed, and end its run unless some are running elsewhere."""
    with open_store(config, alone=True) as store:
        parent = keep_open(store, family)
        children = _search(store, store.experiment(family.experiment), f"tags.`{PARENT}` = '{parent}'")
        known = {run.info.run_id: (run.data.tags.get("cell", ""), run.info.status) for run in children}
        known |= _adopt(store, parent, family, results, known)
        states: dict[str, set[str]] = {}
        for cell, status in known.values():
            states.setdefault(status, set()).add(cell)
        finished = states.get("FINISHED", set()) | set(results.finished)
        failed = (states.get("FAILED", set()) | results.failed) - finished
        stopped = states.get("KILLED", set()) - finished - results.pruned
        for name, value in {"runs/finished": len(finished), "runs/failed": len(failed)}.items():
            store.client.log_metric(parent, name, value)
        if len(finished | results.pruned) >= family.num_runs:
            store.client.set_terminated(parent, "FINISHED")
        elif failed or stopped:
            if not states.get("RUNNING", set()) - failed - finished:
                store.client.set_terminated(parent, "FAILED" if failed else "KILLED")
        elif not states.get("RUNNING", set()) - finished:  # the others wait for another part, or for the same command
            store.client.update_run(parent, status="SCHEDULED")


def _adopt(
    store: Store, parent: str, family: Family, results: Results, known: Mapping[str, tuple[str, str]]
) -> dict[str, tuple[str, str]]:
    """Let runs that were finished before, by themselves or in another sweep, be children of this one.

    One that was a child under another name, as the sweep had fewer axes, gets its new one.
    """
    from mlflow.exceptions import MlflowException

    adopted = {}
    for cell, folder in results.finished.items():
        run_id = saved_id(Path(folder), "mlflow")
        if run_id is None or known.get(run_id) == (cell, "FINISHED"):
            continue
        try:
            store.set_tags(run_id, {**replace(family, cell=cell).tags, PARENT: parent})
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        else:
            adopted[run_id] = (cell, "FINISHED")
    return adopted


def _parents(store: Store, experiment: str, family: Family) -> list[Any]:
    """Return the runs of a sweep, the oldest first: one, unless machines raced for it."""
    found = _search(store, experiment, f"tags.{MARK} = '{family.name}'")
    return sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))


def _search(store: Store, experiment: str, text: str) -> Iterator[Any]:
    token = None
    while True:
        page = store.client.search_runs([experiment], text, max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
