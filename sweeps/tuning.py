"""What Tune asks and tells: the next run, and how runs do."""

from __future__ import annotations

from typing import Any

from ray.tune import Callback
from ray.tune.search import Searcher

from sweeps.board import Board
from sweeps.cells import Sweep
from sweeps.jobs import Job, Jobs
from sweeps.running import Outcome, in_a_line
from utils import signals


class _Forgotten:
    """Left out of the copies that Tune makes of itself: a killed sweep goes on from its runs' folders."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Plan(_Forgotten, Searcher):
    """Gives Tune the runs of a sweep."""

    def __init__(self, jobs: Jobs) -> None:
        super().__init__()
        self.jobs = jobs

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        job = self.jobs.next()
        if job is None:
            return Searcher.FINISHED if self.jobs.is_exhausted() else None
        return {"job": job}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: `Watcher` hears it, with the error."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: see `_Forgotten`."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see `_Forgotten`."""


class Watcher(_Forgotten, Callback):
    """Tells the board how each run does, and the jobs how it has ended."""

    def __init__(self, sweep: Sweep, jobs: Jobs, board: Board) -> None:
        self.sweep, self.jobs, self.board = sweep, jobs, board

    def setup(self, **info: Any) -> None:
        """Handle signals ourselves: upon a SIGUSR1, Tune would end as if the sweep were finished."""
        signals.take_signals_back()

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Raise Interrupted if a signal has come: amid Ray's own code it would be lost."""
        if signals.is_waiting():
            signals.wait_no_longer()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.board.start(trial.trial_id, self._name(trial), trial.num_failures + 1)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if "epoch" in result:
            self.board.hear(trial.trial_id, *(result[name] for name in ("epoch", "epochs", "monitor", "value")))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.board.leave(trial.trial_id)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._end(trial, trial.last_result["outcome"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        error = trial.get_pickled_error()
        error = getattr(error, "cause", None) or error
        reason = "its process died" if error is None else in_a_line(error)
        self._end(trial, Outcome(self._name(trial), "failed", reason=f"{reason} ({trial.num_failures} attempts)"))

    def _end(self, trial: Any, outcome: Outcome) -> None:
        self.board.end(trial.trial_id, outcome)
        self.jobs.end(self._job(trial), outcome)

    def _name(self, trial: Any) -> str:
        return self._job(trial).cell(self.sweep).name

    def _job(self, trial: Any) -> Job:
        return trial.config["job"]
