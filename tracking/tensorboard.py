"""TensorBoard: event files in the run folder, written by Lightning's logger."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import TensorBoardLogger

from tracking.base import TrackedRun, Tracker


class TensorBoardTracker(Tracker):
    """Scalars, hyperparameters and notes in `<run folder>/tensorboard`; the run's other files are beside it anyway.

    The first step logged after a restart makes TensorBoard discard what an earlier process wrote from there on, so a
    resumed run shows each step once.
    """

    package = "tensorboard"
    remedy = "check that the run folder is writable, or remove tensorboard from the trackers"

    def __init__(self, run: TrackedRun, config: Any) -> None:
        super().__init__(run, config)
        folder = run.folder / "tensorboard"
        if os.path.expandvars(folder) != str(folder):  # as the logger does, whose files would then lie elsewhere
            raise ValueError(f"{folder} contains the name of an environment variable")
        self._params: dict[str, Any] = {}
        self._params_due = True
        self._logger: TensorBoardLogger | None = None
        self.log_hyperparams(run.params)
        if not any(folder.glob("events.*")):
            for name, text in (("description", run.description), ("tags", ", ".join(run.labels))):
                if text:
                    self._open().experiment.add_text(name, text)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        logger = self._open(step)
        if self._params_due:  # announces the metrics as columns of the HPARAMS table, too
            logger.log_hyperparams(self._params, dict(metrics), step)
        else:
            logger.log_metrics(metrics, step)
        self._params_due = False
        logger.experiment.flush()

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        before = dict(self._params)
        for name, value in params.items():
            self._params[name] = str(value) if isinstance(value, (bool, type(None))) else value
        self._params_due = self._params_due or self._params != before

    def log_files(self, folder: Path) -> None:
        """Do nothing: the files are beside the event files."""

    def finalize(self, status: str) -> None:
        logger = self._open()
        logger.experiment.add_text("status", status)
        logger.experiment.close()

    def _open(self, discard_from: int | None = None) -> TensorBoardLogger:
        """Return the logger; after closing, it continues in a new file."""
        if self._logger is None:
            place = {"save_dir": self.run.folder, "name": "", "version": "tensorboard"}
            self._logger = TensorBoardLogger(**place, default_hp_metric=False, purge_step=discard_from)
        return self._logger
