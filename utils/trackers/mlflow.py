"""MLflow: the default dashboard, on one SQLite file below the output folder or on a server."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from utils.trackers.base import TrackedRun, Tracker, files_to_copy, quiet, save_id, saved_id, shorten

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds; the client's own defaults let a dead server hold a run for minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}
STATUS = {"success": "FINISHED", "finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
MAX_KEY, MAX_PARAM, MAX_TAG = 250, 6000, 8000  # characters, of a server with its defaults
MAX_BATCH = 100

VIEW = "mlflow.sharedViewState.lossbench"
"""Where the dashboard looks for the table's columns when its address ends in viewStateShareKey=lossbench."""
COLUMNS = {
    "attributes": ("Description",),
    "params": (
        *("runtime", "architecture", "image_size", "batch_size", "num_parameters"),
        *("convert_to_grayscale", "normalize", "crop_to_bboxes", "erase_background", "augment_images"),
        *("loss_function", "optimizer", "lr", "weight_decay", "lr_scheduler"),
        *("dropout", "last_layer_size", "seed"),
    ),
    "metrics": (
        *("test/accuracy", "best/valid_accuracy", "best/train_accuracy", "best/valid_loss", "best/train_loss"),
        *("epochs_run", "seconds"),
    ),
    "tags": ("tags",),
}


class MLflowTracker(Tracker):
    """A run in an MLflow store.

    Metrics carry the epoch as their step. A run folder keeps its MLflow run in `trackers.json`, so that a resumed run
    goes on in the same one; there a point that is already stored with the same value is not stored twice. Parameters of
    an MLflow run cannot change: those that differ on resuming are listed in the tag `changed_params`.
    """

    package = "mlflow"
    remedy = "check mlflow_uri and that its server answers, or take mlflow out of the trackers"

    def __init__(self, run: TrackedRun, config: Any) -> None:
        super().__init__(run, config)
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self._output = Path(config.output_path).resolve()
        self.uri = config.mlflow_uri or f"sqlite:///{(self._output / 'mlflow.db').as_posix()}"
        self._params: dict[str, str] = {}
        self._logged: dict[tuple[str, int], float] = {}
        with quiet("mlflow", "mlflow.store.db.utils", "alembic"), one_at_a_time(self.uri):
            from mlflow.tracking import MlflowClient

            self._client = MlflowClient(self.uri)
            self._run_id = self._continue() or self._start()
        self._set_tags(
            {
                **run.tags,
                **({"tags": ", ".join(run.labels)} if run.labels else {}),
                **({"mlflow.note.content": run.description} if run.description else {}),
            }
        )
        self.log_hyperparams(run.params)

    @property
    def version(self) -> str:
        return self._run_id

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        from mlflow.entities import Metric

        points = {(_key(name), step or 0): _storable(value) for name, value in metrics.items()}
        new = {point: value for point, value in points.items() if not _same(self._logged.get(point), value)}
        if new:
            now = int(time.time() * 1000)
            self._client.log_batch(self._run_id, [Metric(key, value, now, at) for (key, at), value in new.items()])
            self._logged.update(new)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        from mlflow.entities import Param

        texts = {_key(name): shorten(str(value), MAX_PARAM) for name, value in params.items()}
        new = [Param(name, text) for name, text in texts.items() if name not in self._params]
        for start in range(0, len(new), MAX_BATCH):
            self._client.log_batch(self._run_id, params=new[start : start + MAX_BATCH])
        self._params = {**texts, **self._params}
        changed = [
            f"{name}: {self._params[name]} -> {text}" for name, text in texts.items() if text != self._params[name]
        ]
        if changed:
            self._set_tags({"changed_params": "; ".join(changed)})

    def log_files(self, folder: Path) -> None:
        for file in files_to_copy(folder):
            below = file.parent.relative_to(folder).as_posix()
            self._client.log_artifact(self._run_id, str(file), None if below == "." else below)

    def finalize(self, status: str) -> None:
        self._client.set_terminated(self._run_id, STATUS.get(status, "FINISHED"))

    def _set_tags(self, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        texts = [RunTag(_key(name), shorten(value, MAX_TAG)) for name, value in tags.items()]
        for start in range(0, len(texts), MAX_BATCH):
            self._client.log_batch(self._run_id, tags=texts[start : start + MAX_BATCH])

    def _continue(self) -> str | None:
        """Re-open the MLflow run of this run folder; None if there is none or it was deleted."""
        from mlflow.exceptions import MlflowException

        run_id = saved_id(self.run.folder, "mlflow")
        if run_id is None:
            return None
        try:
            found = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        if found.info.lifecycle_stage == "deleted":
            return None
        self._client.update_run(run_id, status="RUNNING")
        self._params = dict(found.data.params)
        for key in found.data.metrics:
            history = self._client.get_metric_history(run_id, key)
            history.sort(key=lambda point: point.timestamp)
            self._logged.update({(key, point.step): point.value for point in history})
        return run_id

    def _start(self) -> str:
        run_id = self._client.create_run(self._experiment(), run_name=self.run.name).info.run_id
        save_id(self.run.folder, "mlflow", run_id)
        return run_id

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        name = self.config.experiment_name
        if found := self._client.get_experiment_by_name(name):
            return found.experiment_id
        remote = self.uri.startswith(("http://", "https://"))
        artifacts = None if remote else (self._output / "mlartifacts").as_uri()
        try:
            return self._client.create_experiment(name, artifact_location=artifacts, tags={VIEW: dashboard_columns()})
        except MlflowException:  # another run created it in between
            if found := self._client.get_experiment_by_name(name):
                return found.experiment_id
            raise


@contextmanager
def one_at_a_time(uri: str) -> Iterator[None]:
    """Keep other runs out while an SQLite store is opened: the first to open it creates its folder and tables."""
    if not uri.startswith("sqlite:///"):
        yield
        return
    from filelock import FileLock

    database = Path(uri.removeprefix("sqlite:///"))
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock", timeout=120):
        yield


def dashboard_columns() -> str:
    """Return the columns of the runs table beside state and duration, in the form in which MLflow shares a view."""
    return json.dumps({"selectedColumns": [f"{kind}.`{name}`" for kind, names in COLUMNS.items() for name in names]})


def _key(name: str) -> str:
    """Return a name of the letters and length that MLflow takes."""
    return shorten(re.sub(r"[^\w./ -]", "_", name, flags=re.ASCII), MAX_KEY)


def _storable(value: float) -> float:
    """Return the value as a store gives it back: infinities become the largest numbers."""
    return value if math.isnan(value) else max(-sys.float_info.max, min(value, sys.float_info.max))


def _same(old: float | None, new: float) -> bool:
    return old == new or (old is not None and math.isnan(old) and math.isnan(new))
