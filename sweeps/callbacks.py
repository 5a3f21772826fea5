"""Callbacks of a sweep's runs: each epoch is reported, and a trial of a search may be pruned after it."""

from __future__ import annotations

from collections.abc import Callable

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from runs.folder import TrialRecord
from sweeps.cells import Sweep
from sweeps.jobs import Trial
from sweeps.worker import Progress
from training.callbacks import RunRecord
from training.runner import GivenUp


class Pruned(GivenUp):
    """A trial that was pruned; the message says after which epoch."""


class OnEpochEnd(Checkpoint):
    """Looks at each epoch's row: a `Checkpoint` as is `RunRecord`, which makes it, so that Lightning calls it later."""

    monitor: str

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        row = _run_record(trainer).rows[-1]
        self.report(int(row["epoch"]), trainer.max_epochs or 0, row.get(self.monitor))

    def report(self, epoch: int, epochs: int, value: float | None) -> None:
        """Report an epoch, counted from 0, and the monitor's value."""


class Reporting(OnEpochEnd):
    """Sends each epoch to the sweep."""

    def __init__(self, monitor: str, send: Callable[[Progress], None]) -> None:
        self.monitor, self.send = monitor, send

    def report(self, epoch: int, epochs: int, value: float | None) -> None:
        self.send(Progress(epoch + 1, epochs, self.monitor, value))


class Pruning(OnEpochEnd):
    """Notes in the run's folder which trial it is, and reports to the study, whose pruner may end the run."""

    def __init__(self, sweep: Sweep, place: Trial) -> None:
        import optuna  # which grids do without

        from sweeps.sampling import values_of
        from sweeps.search import load_study, search_of

        study = load_study(sweep, place.study)
        (frozen,) = (trial for trial in study.get_trials(deepcopy=False) if trial.number == place.number)
        self.monitor = sweep.base.monitor
        self.trial = optuna.trial.Trial(study, frozen._trial_id)
        self._reported = set(frozen.intermediate_values)
        drawn = values_of(frozen.params, search_of(sweep))
        self._record = TrialRecord(place.study, place.number, drawn)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        _run_record(trainer).folder.write_trial(self._record)

    def report(self, epoch: int, epochs: int, value: float | None) -> None:
        if value is None:
            return
        if epoch not in self._reported:  # a resumed run reports its last epochs again
            self.trial.report(value, epoch)
            self._reported.add(epoch)
        if self.trial.should_prune():
            raise Pruned(f"{self.monitor} {value:.4f} after {epoch + 1} of {epochs} epochs")


def _run_record(trainer: pl.Trainer) -> RunRecord:
    (record,) = (each for each in trainer.callbacks if isinstance(each, RunRecord))  # type: ignore[attr-defined]
    return record
