"""Neptune, by its own client: records on disk, or a server of the user's own (the hosted service ended in 2026)."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tracking.base import TrackedRun, Tracker, files_to_copy, filled_in, lasting_id, quiet

ENVIRONMENT = {
    "NEPTUNE_RETRIES_TIMEOUT": "10",  # seconds; the client's own defaults are 60 and 600
    "NEPTUNE_REQUEST_TIMEOUT": "30",
}
STOP_SECONDS = 30


class NeptuneTracker(Tracker):
    """A Neptune run in `neptune_mode` offline, async, sync or debug.

    Offline records are lines of JSON in `<run folder>/neptune`; a resumed run adds a second record. Neptune stores
    finite numbers only: others are skipped.
    """

    package = "neptune"
    keys = ("neptune_mode", "neptune_username", "neptune_project_name", "neptune_api_token")
    remedy = "neptune_mode: offline, or a token (NEPTUNE_API_TOKEN) of a server that answers"

    def __init__(self, run: TrackedRun, config: Any) -> None:
        super().__init__(run, config)
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self._id = lasting_id(run.folder, "neptune")
        self._run: Any = None
        self.log_hyperparams(run.params)

    @property
    def version(self) -> str:
        return self._id

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        run = self._open()
        for name, value in metrics.items():
            if math.isfinite(value):
                run[name].append(value, step=step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        run = self._open()
        for name, value in params.items():
            run[f"parameters/{name}"] = str(value) if value is None or value != value else value

    def log_files(self, folder: Path) -> None:
        run = self._open()
        for file in files_to_copy(folder):
            run[f"files/{file.relative_to(folder).with_suffix('').as_posix()}"].upload(str(file))

    def finalize(self, status: str) -> None:
        if self._run is not None:
            self._run["status"] = status
            self._run["sys/failed"] = status == "failed"
            with quiet("neptune"):
                self._run.stop(seconds=STOP_SECONDS)
            self._run = None

    def _open(self) -> Any:
        if self._run is None:
            neptune: Any = importlib.import_module("neptune")
            mode: Any = self.config.neptune_mode
            online = mode in ("async", "sync")
            token = filled_in(os.environ.get("NEPTUNE_API_TOKEN")) or filled_in(self.config.neptune_api_token)
            owner, project = filled_in(self.config.neptune_username), filled_in(self.config.neptune_project_name)
            if online and not (token and owner and project):
                raise ValueError(
                    f"neptune_mode {mode} needs neptune_username, neptune_project_name and a token in "
                    "NEPTUNE_API_TOKEN or neptune_api_token"
                )
            with quiet("neptune"), data_folder(self.run.folder / "neptune"):
                self._run = neptune.init_run(
                    project=f"{owner or 'offline'}/{project or 'offline'}",
                    api_token=token if online else None,
                    mode=mode,
                    custom_run_id=self._id,
                    name=self.run.name,
                    description=self.run.description,
                    tags=[*self.run.labels],
                    source_files=[],
                    git_ref=False,
                    capture_hardware_metrics=False,
                    capture_stdout=False,
                    capture_stderr=False,
                    capture_traceback=False,
                )
            if self.run.family is not None:
                self._run["sys/group_tags"].add(self.run.family.name)
            for name, value in self.run.tags.items():
                self._run[f"tags/{name}"] = value
        return self._run


@contextmanager
def data_folder(folder: Path) -> Iterator[None]:
    """Let the client keep its records in `folder`, which it reads from the environment when a run is opened."""
    before = os.environ.get("NEPTUNE_DATA_DIRECTORY")
    os.environ["NEPTUNE_DATA_DIRECTORY"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["NEPTUNE_DATA_DIRECTORY"]
        else:
            os.environ["NEPTUNE_DATA_DIRECTORY"] = before
