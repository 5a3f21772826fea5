"""Run a sweep's cells, here and one after the other: all of them, or one of several parts of them."""

from __future__ import annotations

import gc
import itertools
import logging
import re
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from configuration.schema import Configuration
from runs.lock import Busy
from sweeps.cells import Cell, Sweep, count, expand
from sweeps.family import family_of, shown_as_one
from utils.lookup import ROOT
from utils.types import ConfigError, TrainingError, UserError

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback

T = TypeVar("T")
LOG = logging.getLogger("lossbench")

OF_THE_MACHINE = (OSError, MemoryError, ImportError, RuntimeError)
"""Errors that end one run and no other, and that another attempt may mend."""
BUGS = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, NameError, AssertionError)
"""Errors that end one run and no other, and would come again."""


@dataclass(frozen=True)
class Shard:
    """One of several parts of the runs: every `parts`-th, from the `number`-th on, 1 to `parts`."""

    number: int = 1
    parts: int = 1

    @classmethod
    def parse(cls, text: str | None) -> Shard | None:
        """Read "2/5", the second of five parts.

        Raises: ConfigError for anything else.
        """
        if text is None:
            return None
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(f"--shard: must be i/n, the i-th of n parts, 1 <= i <= n, got {text!r}")
        return cls(int(match[1]), int(match[2]))

    def of(self, runs: Iterable[T]) -> Iterator[T]:
        return itertools.islice(runs, self.number - 1, None, self.parts)


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Args:
        state: "finished" now, "skipped" as it was finished before, "failed", or "pruned" by a search.
        folder: where it lies; None if it has no result.
        summary: its final numbers; None if it has no result.
        reason: why it failed, in a line.
    """

    name: str
    state: Literal["finished", "skipped", "failed", "pruned"]
    folder: Path | None = None
    summary: dict[str, Any] | None = None
    reason: str = ""

    def __str__(self) -> str:
        if self.summary is None:
            return f"{self.state:<9} {self.name}: {self.reason}"
        accuracy = self.summary.get("test/accuracy")
        told = "" if accuracy is None else f"test/accuracy {100 * accuracy:.2f} %  "
        return f"{self.state:<9} {self.name}  {told}{self.folder}"


def run_cell(cell: Cell, fresh: bool = False) -> Outcome:
    """Train one run, or go on with it; leave it if it is finished. What is wrong with it is told, not raised.

    Raises: Interrupted after a signal.
    """
    try:
        return train_cell(cell, fresh)
    except Busy as error:
        LOG.error("%s: %s", cell.name, error)
        return Outcome(cell.name, "failed", reason=in_a_line(error))
    except OF_THE_MACHINE as error:
        LOG.error("%s: %s", cell.name, error, exc_info=error)
        return Outcome(cell.name, "failed", reason=in_a_line(error))


def train_cell(cell: Cell, fresh: bool = False, callbacks: Sequence[Callback] = ()) -> Outcome:
    """Train one run as `run_cell` does, but raise what another attempt may mend: `Busy` and `OF_THE_MACHINE`.

    The traceback of a bug goes into the log's file.
    """
    from evaluation.after_training import AFTER_TRAINING
    from training import runner

    gc.collect()  # the network of the run before lies in cycles, on the device too
    began = time.time()
    try:
        folder, summary = runner.train(cell.config, fresh, family_of(cell), callbacks, sequel=AFTER_TRAINING)
    except Busy:
        raise
    except (UserError, TrainingError) as error:
        LOG.error("%s: %s", cell.name, error)
        return Outcome(cell.name, "failed", reason=in_a_line(error))
    except BUGS as error:
        reason = f"a bug, {in_a_line(error)} ({_place(error)}; traceback in {cell.config.logging_dir}/lossbench.log)"
        LOG.critical("%s: %s", cell.name, reason, exc_info=error)
        return Outcome(cell.name, "failed", reason=reason)
    skipped = folder.summary.stat().st_mtime < began
    return Outcome(cell.name, "skipped" if skipped else "finished", folder.path, summary)


def in_a_line(error: BaseException) -> str:
    """Return the kind and the first line of an error that nobody expected, the words alone of one that is explained."""
    reason = (str(error).splitlines() or [""])[0]
    return reason if isinstance(error, (UserError, TrainingError)) else f"{type(error).__name__}: {reason}"


def _place(error: BaseException) -> str:
    """Return the last line of this project's that an error went through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(str(ROOT)) and "site-packages" not in frame.filename]
    return f"{Path(ours[-1].filename).relative_to(ROOT)}:{ours[-1].lineno}"


def run_here(sweep: Sweep, shard: Shard, fresh: bool = False) -> list[Outcome]:
    """Train the runs of a part one after the other; say a line for each, and one as it starts.

    Raises: ConfigError for a sweep that cannot be run so; TrainingError naming the runs that failed, once all others
        are done; Interrupted after a signal.
    """
    from sweeps.finished import FinishedRuns

    total = len(range(shard.number - 1, count(sweep), shard.parts))
    finished, outcomes = FinishedRuns(), list[Outcome]()
    with shown_as_one(sweep, outcomes):
        for number, cell in enumerate(shard.of(expand(sweep)), start=1):
            outcome = None if fresh else finished.find(cell)
            if outcome is None:
                print(f"training run {number} of {total}: {cell.name}", flush=True)
                outcome = run_cell(cell, fresh)
            outcomes.append(outcome)
            print(f"run {number} of {total}: {outcome}", flush=True)
    raise_failures(outcomes, total)
    return outcomes


def raise_failures(outcomes: Sequence[Outcome], total: int) -> None:
    """Raise TrainingError naming the runs that failed, those together that failed of the same, if any did."""
    names: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.state == "failed":
            names.setdefault(outcome.reason, []).append(outcome.name)
    if len(names) == 1 and sum(map(len, names.values())) == total > 1:
        raise TrainingError(f"all {total:,} runs failed of the same: {next(iter(names))}")
    if names:
        lines = [f"  {'; '.join(failed)}: {reason}" for reason, failed in names.items()]
        raise TrainingError("\n".join([f"{sum(map(len, names.values()))} of {total} runs failed:", *lines]))


def refuse_several_devices(sweep: Sweep) -> None:
    """Raises: ConfigError for runs that would take more than one device each."""
    base: Configuration = sweep.base
    problems = {}
    varied = {key[0] for axis in sweep.axes for key in axis.keys}
    if base.devices != 1 or base.num_nodes != 1 or varied & {"devices", "num_nodes"}:
        problems[("devices",)] = "runs of a sweep take one device each: give devices: 1 and num_nodes: 1"
    if problems:
        raise base.error(problems)
