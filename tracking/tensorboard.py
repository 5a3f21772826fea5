"""TensorBoard: event files in the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracking.base import TrackedRun, Tracker


class TensorBoardTracker(Tracker):
    """Scalars, hyperparameters and notes in `<run folder>/tensorboard`; the run's other files lie beside it anyway.

    The first step logged after a restart tells TensorBoard to forget what an earlier process wrote from there on, so a
    resumed run shows each step once.
    """

    package = "tensorboard"
    remedy = "check that the run folder can be written to, or take tensorboard out of the trackers"

    def __init__(self, run: TrackedRun, config: Any) -> None:
        super().__init__(run, config)
        self._folder = run.folder / "tensorboard"
        self._params = dict(run.params)
        self._params_due = True
        self._writer: Any = None
        if not any(self._folder.glob("events.*")):
            writer = self._open()
            for name, text in (("description", run.description), ("tags", ", ".join(run.labels))):
                if text:
                    writer.add_text(name, text)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        writer = self._open(forget_from=step)
        if self._params_due:
            self._write_params(metrics)
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        before = dict(self._params)
        self._params.update(params)
        self._params_due = self._params_due or self._params != before

    def log_files(self, folder: Path) -> None:
        """Nothing to do: the files lie beside the event files."""

    def finalize(self, status: str) -> None:
        from torch.utils.tensorboard.summary import hparams

        writer = self._open()
        if self._params_due:
            self._write_params({})
        writer.add_text("status", status)
        if status in ("success", "finished"):
            _, _, end_of_session = hparams({}, {})
            writer._get_file_writer().add_summary(end_of_session)
        writer.close()

    def _open(self, forget_from: int | None = None) -> Any:
        """Return the writer; one that was closed goes on in a new file."""
        if self._writer is None:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=forget_from)
        return self._writer

    def _write_params(self, metrics: Mapping[str, float]) -> None:
        """Announce the parameters, and the metrics as columns of the HPARAMS table."""
        from torch.utils.tensorboard.summary import hparams

        shown = {
            name: str(value) if type(value) in (bool, type(None)) else value for name, value in self._params.items()
        }
        experiment, start_of_session, _ = hparams(shown, dict.fromkeys(metrics, 0.0))
        for summary in (experiment, start_of_session):
            self._open()._get_file_writer().add_summary(summary)
        self._params_due = False
