"""Weights & Biases, on disk unless WANDB_MODE says otherwise."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.trackers.base import TrackedRun, Tracker, files_to_copy, lasting_id

ENVIRONMENT = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}


class WandbTracker(Tracker):
    """A Weights & Biases run under the run folder; `wandb sync` sends offline ones to a server.

    The client is told to record neither the command line (it may hold a secret), nor the console, code or packages.
    """

    package = "wandb"
    remedy = "`wandb login`, or WANDB_MODE=offline, or take wandb out of the trackers"

    def __init__(self, run: TrackedRun, config: Any) -> None:
        super().__init__(run, config)
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self._id = lasting_id(run.folder, "wandb")
        self._run: Any = None
        self.log_hyperparams(run.params)

    @property
    def version(self) -> str:
        return self._id

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._open().log(dict(metrics), step=step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self._open().config.update(dict(params), allow_val_change=True)

    def log_files(self, folder: Path) -> None:
        for file in files_to_copy(folder):
            self._open().save(str(file), base_path=str(folder), policy="now")

    def finalize(self, status: str) -> None:
        if self._run is not None:
            self._run.finish(exit_code=0 if status in ("success", "finished") else 1)
            self._run = None

    def _open(self) -> Any:
        if self._run is None:
            wandb: Any = importlib.import_module("wandb")
            mode: Any = os.environ.get("WANDB_MODE", "offline")
            self._run = wandb.init(
                project=self.config.experiment_name,
                name=self.run.name,
                id=self._id,
                resume="allow" if mode == "online" else None,
                dir=str(self.run.folder),
                mode=mode,
                notes=self.run.description or None,
                tags=[*self.run.labels, *(f"{name}: {value}"[:64] for name, value in self.run.tags.items())],
                settings=wandb.Settings(
                    silent=True,
                    console="off",
                    init_timeout=20,  # seconds
                    disable_code=True,
                    disable_git=True,
                    x_disable_meta=True,
                    x_disable_stats=True,
                    x_save_requirements=False,
                ),
            )
        return self._run
