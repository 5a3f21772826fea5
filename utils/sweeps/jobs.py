"""Which run of a sweep comes next, and who wants to know how it ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from utils.sweeps.cells import Cell, Sweep, cell, combinations, count
from utils.sweeps.running import Outcome


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
    """

    total: int

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
