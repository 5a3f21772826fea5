"""Which run of a sweep comes next, and who wants to know how it ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sweeps.cells import Cell, Sweep, cell, combinations, count
from sweeps.running import Outcome


@dataclass(frozen=True)
class Trial:
    """Where a search keeps what it drew: the names of a file and of a study in it, and the trial's number there."""

    file: str
    study: str
    number: int


@dataclass(frozen=True)
class Job:
    """A run to be done, small enough to be sent to another machine.

    Args:
        numbers: of its point on each axis.
        drawn: dotted key -> value that a search has drawn.
        trial: None for a run that no search waits for.
    """

    numbers: tuple[int, ...]
    drawn: dict[str, Any] = dataclasses.field(default_factory=dict)
    trial: Trial | None = None

    def cell(self, sweep: Sweep) -> Cell:
        return cell(sweep, self.numbers, self.drawn)


class Jobs(Protocol):
    """The runs of a sweep, which need not be known from the start.

    Attributes:
        total: how many there will be.
        given_up: what became of those that were given up before, and are not among them.
    """

    total: int
    given_up: Sequence[Outcome]

    def next(self) -> Job | None:
        """Return the next run; None while there is none, or none any more."""
        ...

    def is_exhausted(self) -> bool:
        """Tell whether there will be no further run, however those end that are being done."""
        ...

    def end(self, job: Job, outcome: Outcome) -> None:
        """Hear how a run has ended."""
        ...

    def findings(self) -> list[str]:
        """Return what is to be told when all have ended."""
        ...


class EveryCombination:
    """The runs of a grid, in the order of the file."""

    def __init__(self, sweep: Sweep) -> None:
        self.total = count(sweep)
        self.given_up: Sequence[Outcome] = ()
        self._left: Iterator[tuple[int, ...]] = combinations(sweep)
        self._given = 0

    def next(self) -> Job | None:
        if self.is_exhausted():
            return None
        self._given += 1
        return Job(next(self._left))

    def is_exhausted(self) -> bool:
        return self._given == self.total

    def end(self, job: Job, outcome: Outcome) -> None:
        pass

    def findings(self) -> list[str]:
        return []


class Unfinished:
    """Those of some runs that are left to be done: the others end, skipped, when their turn comes.

    Args:
        find: tells what became of a run that is finished.
        skipped: hears of each that is.
    """

    def __init__(
        self, jobs: Jobs, sweep: Sweep, find: Callable[[Cell], Outcome | None], skipped: Callable[[Outcome], None]
    ) -> None:
        self.total, self.given_up = jobs.total, jobs.given_up
        self._jobs, self._sweep, self._find, self._skipped = jobs, sweep, find, skipped
        self._ahead = self._next()

    def next(self) -> Job | None:
        job, self._ahead = self._ahead, None
        return self._next() if job is None else job

    def is_exhausted(self) -> bool:
        return self._ahead is None and self._jobs.is_exhausted()

    def end(self, job: Job, outcome: Outcome) -> None:
        self._jobs.end(job, outcome)

    def findings(self) -> list[str]:
        return self._jobs.findings()

    def _next(self) -> Job | None:
        while (job := self._jobs.next()) is not None:
            outcome = self._find(job.cell(self._sweep))
            if outcome is None:
                return job
            self._skipped(outcome)
            self._jobs.end(job, outcome)
        return None
