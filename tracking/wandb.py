"""Weights & Biases through Lightning's logger, on disk unless WANDB_MODE says otherwise."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import WandbLogger

from tracking.base import TrackedRun, Tracker, files_to_copy, lasting_id

ENVIRONMENT = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}


class WandbTracker(Tracker):
    """A Weights & Biases run under the run folder; `wandb sync` sends offline ones to a server.

    The run is opened here for the logger, so that the client does not record the command line (it may hold a secret),
    the machine, console, code or packages, and draws curves over the epoch.
    """

    package = "wandb"
    remedy = "`wandb login`, or WANDB_MODE=offline, or remove wandb from the trackers"

    def __init__(self, run: TrackedRun, config: Any) -> None:
        super().__init__(run, config)
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self._id = lasting_id(run.folder, "wandb")
        self._logger: WandbLogger | None = None
        self.log_hyperparams(run.params)

    @property
    def version(self) -> str:
        return self._id

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        # as a metric and not as the logger's step, which would be shown as "trainer/global_step"
        self._open().log_metrics(metrics if step is None else {**metrics, "epoch": step})

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self._open().log_hyperparams(dict(params))

    def log_files(self, folder: Path) -> None:
        for file in files_to_copy(folder):
            self._open().experiment.save(str(file), base_path=str(folder), policy="now")

    def finalize(self, status: str) -> None:
        if self._logger is not None:
            self._logger.experiment.finish(exit_code=0 if status in ("success", "finished") else 1)
            self._logger = None

    def _open(self) -> WandbLogger:
        if self._logger is None:
            run = self._start()
            run.define_metric("*", step_metric="epoch")
            self._logger = WandbLogger(project=self.config.experiment_name, experiment=run)
        return self._logger

    def _start(self) -> Any:
        wandb: Any = importlib.import_module("wandb")
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        return wandb.init(
            project=self.config.experiment_name,
            name=self.run.name,
            id=self._id,
            group=self.run.family and self.run.family.name,
            resume="allow" if mode == "online" else None,
            dir=str(self.run.folder),
            mode=mode,
            notes=self.run.description or None,
            tags=[*self.run.labels, *(f"{name}: {value}"[:64] for name, value in self.run.tags.items())],
            settings=wandb.Settings(
                silent=True,
                console="off",
                host="",
                init_timeout=20,  # seconds
                disable_code=True,
                disable_git=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_save_requirements=False,
            ),
        )
