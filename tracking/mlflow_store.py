"""An MLflow store: one SQLite file below the output folder, or a server."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from runs.folder import MLFLOW_COPIES
from tracking.base import quiet
from utils.types import ConfigError, shorten

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds; the client's own defaults let a dead server hold a run for minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}
MAX_KEY, MAX_PARAM, MAX_TAG = 250, 6000, 8000  # characters, of a server with its defaults
MAX_BATCH = 100

VIEW = "mlflow.sharedViewState."
"""Tag of an experiment that holds a table's state, for addresses that end in viewStateShareKey=<rest of the tag>."""
EVERY_RUN = "lossbench"
"""The view of all runs of an experiment; each sweep has its own."""
RESULTS = (
    *("test/accuracy", "best/valid_accuracy", "best/train_accuracy", "best/valid_loss", "best/train_loss"),
    *("epochs_run", "seconds"),
)
SETTINGS = (
    *("runtime", "architecture", "image_size", "batch_size", "num_parameters"),
    *("convert_to_grayscale", "normalize", "crop_to_bboxes", "erase_background", "augment_images"),
    *("loss_function", "optimizer", "lr", "weight_decay", "lr_scheduler"),
    *("dropout", "last_layer_size", "seed"),
)
METRICS = tuple(f"metrics.`{name}`" for name in RESULTS)
PARAMS = tuple(f"params.`{name}`" for name in SETTINGS)
FIRST = ("params.`loss_function`", "params.`dataset`", "params.`architecture`", METRICS[0])
"""What a reader looks for, seen without scrolling."""
COLUMNS = (*FIRST, "attributes.`Description`", *PARAMS, *METRICS, "tags.`tags`", "tags.`table`")
"""Then the thesis's, in its order."""


class Store:
    """A store's client, with the few operations that trackers need."""

    def __init__(self, config: Any) -> None:
        from mlflow.tracking import MlflowClient

        self.output = Path(config.output_path).resolve()
        self.uri = store_uri(config)
        self.client = MlflowClient(self.uri)

    @property
    def is_remote(self) -> bool:
        return self.uri.startswith(("http://", "https://"))

    def experiment(self, name: str) -> str:
        """Return the id of an experiment, creating it if necessary."""
        from mlflow.exceptions import MlflowException

        if experiment := self.client.get_experiment_by_name(name):
            return experiment.experiment_id
        artifacts = None if self.is_remote else (self.output / MLFLOW_COPIES).as_uri()
        tags = {f"{VIEW}{EVERY_RUN}": view()}
        try:
            return self.client.create_experiment(name, artifact_location=artifacts, tags=tags)
        except MlflowException:  # another run created it in between
            if experiment := self.client.get_experiment_by_name(name):
                return experiment.experiment_id
            raise

    def find_run(self, run_id: str) -> Any:
        """Return a run, None if the store has none of this id."""
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        texts = [RunTag(as_key(name), shorten(value, MAX_TAG)) for name, value in tags.items()]
        for start in range(0, len(texts), MAX_BATCH):
            self.client.log_batch(run_id, tags=texts[start : start + MAX_BATCH])

    def log_params(self, run_id: str, params: Mapping[str, Any], stored: Mapping[str, str]) -> dict[str, str]:
        """Store parameters as texts; those that are stored cannot change: a tag lists the ones that differ.

        Returns: all that are stored now.
        """
        from mlflow.entities import Param

        texts = {as_key(name): shorten(str(value), MAX_PARAM) for name, value in params.items()}
        new = [Param(name, text) for name, text in texts.items() if name not in stored]
        for start in range(0, len(new), MAX_BATCH):
            self.client.log_batch(run_id, params=new[start : start + MAX_BATCH])
        stored = {**texts, **stored}
        changed = [f"{name}: {stored[name]} -> {text}" for name, text in texts.items() if text != stored[name]]
        if changed:
            self.set_tags(run_id, {"changed_params": "; ".join(changed)})
        return stored


def store_uri(config: Any) -> str:
    """Return the address of a configuration's store. Raises: ConfigError for a path that no address of SQLite can hold.

    Some releases of SQLAlchemy read %20 in it as a space, others do not.
    """
    path = (Path(config.output_path).resolve() / "mlflow.db").as_posix()
    if config.mlflow_uri is None and (wrong := re.search(r"\?|%[0-9A-Fa-f]{2}", path)):
        text = f"MLflow cannot keep its file below a folder with {wrong[0]!r} in its path; choose another output_path"
        raise ConfigError(f"output_path: {text}, or set mlflow_uri")
    return config.mlflow_uri or f"sqlite:///{path}"


@contextmanager
def open_store(config: Any, alone: bool = False) -> Iterator[Store]:
    """Open the store of a configuration.

    For an SQLite file other processes of this machine wait meanwhile, as the first one creates its folder and tables;
    with `alone` they wait for a server, too.
    """
    from filelock import FileLock

    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    uri = store_uri(config)
    local = uri.startswith("sqlite:///")
    database = Path(uri.removeprefix("sqlite:///")) if local else Path(config.output_path).resolve() / "mlflow"
    with quiet("mlflow", "mlflow.store.db.utils", "alembic"):
        if not local and not alone:
            yield Store(config)
            return
        database.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{database}.lock", timeout=120):
            if local and not database.exists():
                _create(database)
            yield Store(config)


def _create(database: Path) -> None:
    """Create a store's file under another name and move it to its place, so that a file there has all its tables.

    MLflow can neither use nor complete a file that a dying process left with some of them.
    """
    from mlflow.tracking import MlflowClient

    for leftover in database.parent.glob(f".{database.name}.begun*"):
        leftover.unlink()
    begun = database.with_name(f".{database.name}.begun{secrets.token_hex(4)}")  # MLflow remembers names it has opened
    MlflowClient(f"sqlite:///{begun.as_posix()}")
    begun.replace(database)


def view(columns: Sequence[str] = COLUMNS, **state: Any) -> str:
    """Return the state of a runs table in the form in which MLflow shares a view.

    Args:
        columns: in their order, in addition to name, state and time.
        state: further state of the page, such as searchFilter and orderByKey.
    """
    unique = list(dict.fromkeys(columns))
    return json.dumps({"selectedColumns": unique, "columnOrder": unique, **state})


def view_address(server: str, experiment: str, name: str = EVERY_RUN) -> str:
    """Return the address of a view of an experiment's runs."""
    query = f"workflowType=machine_learning&viewStateShareKey={quote(name)}"
    return f"{server}/#/experiments/{experiment}/runs?{query}"


def as_key(name: str) -> str:
    """Return a name in the characters and length that MLflow accepts."""
    return shorten(re.sub(r"[^\w./ -]", "_", name, flags=re.ASCII), MAX_KEY)
