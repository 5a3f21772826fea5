"""MLflow: the default dashboard, on one SQLite file below the output folder or on a server."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracking.base import TrackedRun, Tracker, files_to_copy, save_id, saved_id
from tracking.family import Family, Results
from tracking.mlflow_store import as_key, open_store
from tracking.mlflow_sweeps import PARENT, close_parent, keep_open, open_parent

STATUS = {"success": "FINISHED", "finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


class MLflowTracker(Tracker):
    """A run in an MLflow store.

    Metrics have the epoch as their step. A run folder keeps the id of its MLflow run in `trackers.json`, so that a
    resumed run continues it; a point that is stored already is not stored again. Parameters of an MLflow run cannot
    change: those that differ after resuming are listed in the tag `changed_params`.

    The runs of a sweep are children of one run that represents it.
    """

    package = "mlflow"
    keys = ("mlflow_uri",)
    remedy = (
        "check that the server of mlflow_uri answers or, without one, that mlflow.db is whole and its disk has room "
        "(if you move it away, a new one is created), or remove mlflow from the trackers"
    )

    def __init__(self, run: TrackedRun, config: Any) -> None:
        super().__init__(run, config)
        self._params: dict[str, str] = {}
        self._logged: dict[tuple[str, int], float] = {}
        with open_store(config, alone=run.family is not None) as self._store:
            self._client = self._store.client
            self._run_id = self._resume() or self._start()
            tags = dict(run.tags)
            if run.family is not None:
                tags[PARENT] = keep_open(self._store, run.family)
        if run.labels:
            tags["tags"] = ", ".join(run.labels)
        if run.description:
            tags["mlflow.note.content"] = run.description
        self._store.set_tags(self._run_id, tags)
        self.log_hyperparams(run.params)

    @property
    def version(self) -> str:
        return self._run_id

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        from mlflow.entities import Metric

        points = {(as_key(name), step or 0): _storable(value) for name, value in metrics.items()}
        new = {point: value for point, value in points.items() if not _same(self._logged.get(point), value)}
        if new:
            now = int(time.time() * 1000)
            self._client.log_batch(self._run_id, [Metric(key, value, now, at) for (key, at), value in new.items()])
            self._logged.update(new)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self._params = self._store.log_params(self._run_id, params, self._params)

    def log_files(self, folder: Path) -> None:
        for file in files_to_copy(folder):
            below = file.parent.relative_to(folder).as_posix()
            self._client.log_artifact(self._run_id, str(file), None if below == "." else below)

    def finalize(self, status: str) -> None:
        self._client.set_terminated(self._run_id, STATUS.get(status, "FINISHED"))

    @classmethod
    def open_family(cls, family: Family, config: Any) -> str | None:
        return open_parent(family, config)

    @classmethod
    def close_family(cls, family: Family, config: Any, results: Results) -> None:
        close_parent(family, config, results)

    def _resume(self) -> str | None:
        """Reopen the MLflow run of this run folder; None if there is none or it was deleted."""
        run_id = saved_id(self.run.folder, "mlflow")
        stored = None if run_id is None else self._store.find_run(run_id)
        if run_id is None or stored is None or stored.info.lifecycle_stage == "deleted":
            return None
        self._client.update_run(run_id, status="RUNNING")
        self._params = dict(stored.data.params)
        for key in stored.data.metrics:
            history = self._client.get_metric_history(run_id, key)
            history.sort(key=lambda point: point.timestamp)
            self._logged.update({(key, point.step): point.value for point in history})
        return run_id

    def _start(self) -> str:
        experiment = self.config.experiment_name if self.run.family is None else self.run.family.experiment
        run_id = self._client.create_run(self._store.experiment(experiment), run_name=self.run.name).info.run_id
        save_id(self.run.folder, "mlflow", run_id)
        return run_id


def _storable(value: float) -> float:
    """Return the value as a store returns it: infinities become the largest numbers."""
    return value if math.isnan(value) else max(-sys.float_info.max, min(value, sys.float_info.max))


def _same(old: float | None, new: float) -> bool:
    return old == new or (old is not None and math.isnan(old) and math.isnan(new))
