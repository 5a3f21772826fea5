"""The runs of a sweep as work to be done: which one comes next, and what became of each."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from sweeps.cells import Cell, Sweep, cell, combinations, count
from utils.types import ConfigError

T = TypeVar("T")


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
        is_trial: of a search, so that no test number is shown, by which nobody may choose.
    """

    name: str
    state: Literal["finished", "skipped", "failed", "pruned"]
    folder: Path | None = None
    summary: dict[str, Any] | None = None
    reason: str = ""
    is_trial: bool = False

    def __str__(self) -> str:
        if self.summary is None:
            return f"{self.state:<9} {self.name}: {self.reason}"
        accuracy = self.summary.get("test/accuracy")
        shown = "" if accuracy is None or self.is_trial else f"test/accuracy {100 * accuracy:.2f} %  "
        return f"{self.state:<9} {self.name}  {shown}{self.folder}"


@dataclass(frozen=True)
class Trial:
    """Where a search keeps what it drew: the name of a study in its file, and the trial's number there."""

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


class Jobs:
    """The runs of a grid, in the order of the file; a search extends it, as its runs depend on how others end.

    Attributes:
        total: how many there will be.
        given_up: outcomes of those that were pruned before, and are not among them.
    """

    given_up: Sequence[Outcome] = ()

    def __init__(self, sweep: Sweep) -> None:
        self.total = count(sweep)
        self._left = combinations(sweep)

    def next(self) -> Job | None:
        """Return the next run; None if there is none until another one ends, or none any more."""
        numbers = next(self._left, None)
        return None if numbers is None else Job(numbers)

    def end(self, job: Job, outcome: Outcome) -> None:
        """Record how a run has ended."""

    def findings(self) -> list[str]:
        """Return the lines to print when all have ended."""
        return []
