"""A trial of a search: its run says that it is one, and is given up if it does worse than others did by then."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from runs.folder import TrialRecord
from sweeps.cells import Sweep
from sweeps.drawing import values_of
from sweeps.jobs import Trial
from sweeps.searching import load_study, search_of
from training.callbacks import RunRecord
from training.runner import GivenUp


class Pruned(GivenUp):
    """A trial that was given up; the message says after which epoch."""


class Pruning(Checkpoint):
    """Notes in the run's folder which trial it is, and tells the study the monitor's value after each epoch.

    It ends the run when the study's pruner says so.

    A `Checkpoint` as is `RunRecord`, whose rows it reads, so that Lightning calls it after that one.
    """

    def __init__(self, sweep: Sweep, place: Trial) -> None:
        study = load_study(sweep, Path(place.file), place.study)
        (known,) = (trial for trial in study.get_trials(deepcopy=False) if trial.number == place.number)
        self.monitor = sweep.base.monitor
        self.trial = optuna.trial.Trial(study, known._trial_id)
        self._told = set(known.intermediate_values)
        drawn = values_of(known.params, search_of(sweep))
        self._record = TrialRecord(place.study, place.number, drawn)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        _run_record(trainer).folder.write_trial(self._record)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        record = _run_record(trainer)
        epoch, value = int(record.rows[-1]["epoch"]), record.rows[-1].get(self.monitor)
        if value is None:
            return
        if epoch not in self._told:  # a resumed run tells its last epochs again
            self.trial.report(value, epoch)
            self._told.add(epoch)
        if self.trial.should_prune():
            raise Pruned(f"{self.monitor} {value:.4f} after {epoch + 1} of {trainer.max_epochs} epochs")


def _run_record(trainer: pl.Trainer) -> RunRecord:
    (record,) = (each for each in trainer.callbacks if isinstance(each, RunRecord))  # type: ignore[attr-defined]
    return record
