"""The runs of a sweep, executed: checked as a whole, then one after the other in this process, or side by side.

Side by side they are done by an executor: the processes of this machine (`processes`) or a Ray cluster
(`ray_cluster`). Both only start runs and report on them; which run comes next, and which one again, is decided here.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Protocol

from configuration.schema import Configuration
from runs.code import OnChange
from sweeps.board import Board
from sweeps.cells import Sweep, count, expand, load_sweep
from sweeps.checks import check_data, check_parameters, check_ranges, check_together
from sweeps.family import shown_as_one
from sweeps.jobs import Job, Jobs, Outcome, Shard
from sweeps.worker import Progress, Report, run_cell
from utils.scripts import importing
from utils.signals import Interrupted, command_to_go_on, is_waiting, wait_for_save_point, wait_no_longer
from utils.types import TrainingError


class Executor(Protocol):
    """Does runs side by side: on this machine `processes.Processes`, on a cluster `ray_cluster.RayCluster`."""

    def room(self) -> int:
        """Return how many runs fit side by side."""
        ...

    def start(self, key: int, job: Job) -> None:
        """Begin a run; there is room for it. Reports carry its key."""
        ...

    def reports(self) -> Iterator[tuple[int, Report]]:
        """Yield, after a moment at most, the news of all runs; of a process that died, a `Crash`."""
        ...

    def stop(self) -> None:
        """Have all runs saved, and wait until they are."""
        ...

    def close(self) -> None:
        """End all processes."""
        ...


def run_sweep(
    config: Configuration,
    shard: Shard | None,
    *,
    check: bool = False,
    fresh: bool = False,
    changed_code: OnChange = None,
) -> None:
    """Check all runs of a sweep; then describe them (`check`), train those of a shard here, or all side by side.

    Raises: ConfigError for a sweep that cannot be run; TrainingError naming the runs that failed, once all others
        are done; Interrupted after a signal, when the runs have been saved.
    """
    sweep = load_sweep(config)
    refuse_several_devices(sweep)
    check_together(sweep)
    here = shard is None and not check and sweep.block.ray_address is None
    if here:
        from sweeps.processes import import_ahead

        import_ahead()
    with importing():
        from evaluation import after_training  # noqa: F401  with torch and torchvision, as the checks take them
        from sweeps.data import SweepData
    check_parameters(sweep)
    check_ranges(sweep)
    if sweep.block.search is not None and shard is not None:
        raise sweep.base.error({("sweep", "search"): "its trials learn from one another: leave --shard out"})
    data = SweepData()
    try:
        check_data(sweep, data, fresh)
    finally:
        if check:  # whoever plans a sweep need not have its data yet
            from sweeps.description import describe

            print(describe(sweep, shard or Shard(), data.size), flush=True)
    if not fresh:
        from sweeps.earlier_runs import settle_changed_code

        settle_changed_code(sweep, shard or Shard(), changed_code, check)
    if check:
        return
    from utils import logs

    if shard is not None:
        import pytorch_lightning  # noqa: F401  sets the levels of its loggers, so before they are configured
    logs.configure(config.loglevel, config.logging_dir, only_complaints=True)
    if shard is not None:
        run_here(sweep, shard, fresh)
    elif sweep.block.search is None:
        run_side_by_side(sweep, Jobs(sweep), fresh)
    else:
        from sweeps.search import SearchJobs  # with Optuna, which grids do without

        run_side_by_side(sweep, SearchJobs(sweep), fresh)


def run_here(sweep: Sweep, shard: Shard, fresh: bool = False) -> list[Outcome]:
    """Train the runs of a shard one after the other; print a line as each starts and one as it ends.

    Raises: as `run_sweep`.
    """
    from sweeps.earlier_runs import FinishedRuns

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


def run_side_by_side(sweep: Sweep, jobs: Jobs, fresh: bool = False) -> list[Outcome]:
    """Train as many runs at a time as there is room for, and show how they do; each that dies is tried again.

    Nothing is started where all are finished.

    Raises: as `run_sweep`.
    """
    from sweeps.earlier_runs import FinishedRuns

    board, finished = Board(jobs.total), FinishedRuns()
    print(f"{jobs.total:,} run{'s'[: jobs.total != 1]} to be looked at", flush=True)

    def end(job: Job, outcome: Outcome) -> None:
        board.add(replace(outcome, is_trial=job.trial is not None))
        jobs.end(job, outcome)

    def unfinished() -> Iterator[tuple[Job, int]]:
        while (job := jobs.next()) is not None:
            outcome = None if fresh else finished.find(job.cell(sweep))
            if outcome is None:
                yield job, 1
            else:
                end(job, outcome)

    outcomes = itertools.chain(jobs.given_up, board.outcomes)
    waiting = deque(itertools.islice(unfinished(), 1))
    if waiting:
        with closing(start_executor(sweep, fresh)) as executor, ExitStack() as shown, board:
            at_work: dict[int, tuple[Job, int]] = {}  # with the number of the attempt, from 1
            keys = itertools.count()

            def fill() -> None:
                while len(at_work) < executor.room():
                    if not waiting:
                        waiting.extend(itertools.islice(unfinished(), 1))
                    if not waiting:
                        return
                    key = next(keys)
                    at_work[key] = job, number = waiting.popleft()
                    board.start(key, job.cell(sweep).name, number)
                    executor.start(key, job)

            try:
                fill()  # the first runs begin while the trackers open
                shown.enter_context(shown_as_one(sweep, outcomes))
                wait_for_save_point(patience=0)  # a signal waits for the loop: a library may swallow its exception
                while at_work and not is_waiting():
                    for key, report in executor.reports():
                        if isinstance(report, Progress):
                            if key in at_work:  # on a cluster one may come after the end
                                board.show(key, report)
                            continue
                        job, number = at_work.pop(key)
                        board.leave(key)
                        if isinstance(report, Outcome):
                            end(job, report)
                        elif number <= sweep.block.retries:
                            waiting.append((job, number + 1))
                        else:
                            reason = f"{report.reason} ({number} attempts)"
                            end(job, Outcome(job.cell(sweep).name, "failed", reason=reason))
                    if not is_waiting():
                        fill()
                wait_no_longer()
            except Interrupted as interruption:
                executor.stop()
                left = f"with {jobs.total - len(board.outcomes):,} runs of the sweep to be done"
                raise Interrupted(interruption.name, left, f"{command_to_go_on(fresh)} goes on") from None
    else:
        with shown_as_one(sweep, outcomes):
            pass
    print("".join(f"{line}\n" for line in jobs.findings()), end="", flush=True)
    raise_failures(board.outcomes, jobs.total)
    return board.outcomes


def start_executor(sweep: Sweep, fresh: bool) -> Executor:
    """Start what does the runs of a sweep.

    Raises: ConfigError if there is no cluster at the address, or no machine for a run.
    """
    if sweep.block.ray_address is None:
        from sweeps.processes import open_processes as open_executor
    else:
        from sweeps.ray_cluster import open_cluster as open_executor
    return open_executor(sweep, fresh)


def raise_failures(outcomes: Sequence[Outcome], total: int) -> None:
    """Raise TrainingError naming the runs that failed, grouped by reason, if any did."""
    names: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.state == "failed":
            names.setdefault(outcome.reason, []).append(outcome.name)
    if len(names) == 1 and sum(map(len, names.values())) == total > 1:
        raise TrainingError(f"all {total:,} runs failed for the same reason: {next(iter(names))}")
    if names:
        lines = [f"  {'; '.join(failed)}: {reason}" for reason, failed in names.items()]
        raise TrainingError("\n".join([f"{sum(map(len, names.values()))} of {total} runs failed:", *lines]))


def refuse_several_devices(sweep: Sweep) -> None:
    """Raises: ConfigError for runs that would take more than one device each."""
    base = sweep.base
    varied = {key[0] for axis in sweep.axes for key in axis.keys}
    if base.devices != 1 or base.num_nodes != 1 or varied & {"devices", "num_nodes"}:
        raise base.error({("devices",): "runs of a sweep take one device each: set devices: 1 and num_nodes: 1"})
