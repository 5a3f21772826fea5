"""How the runs of a sweep do: a live table in a terminal, elsewhere a line for each that has ended."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweeps.running import Outcome
from sweeps.sign_of_life import SignOfLife
from utils.logs import presentable

SHOWN, LAST = 20, 8
"""Runs at work, and ended ones, that the live table shows."""
NAMED = 3
"""Runs at work that a line names."""


@dataclass
class AtWork:
    """A run that is being done.

    Args:
        epoch: how many are done. value: the monitor's, of the last one.
    """

    name: str
    began: float = field(default_factory=time.monotonic)
    epoch: int = 0
    epochs: int | None = None
    monitor: str = ""
    value: float | None = None
    attempt: int = 1

    def row(self) -> tuple[str, ...]:
        value = "" if self.value is None else f"{self.monitor} {self.value:.4f}"
        again = f" (attempt {self.attempt})" if self.attempt > 1 else ""
        return self.name + again, self.position, value, _duration(time.monotonic() - self.began)

    @property
    def position(self) -> str:
        return f"{self.epoch} of {self.epochs}" if self.epochs else "starts"


class Board:
    """Keeps what is known of the runs and shows it, between `with` and its end.

    Elsewhere than in a terminal a line is told after each long silence, too.

    Args:
        total: how many there will be.

    Attributes:
        outcomes: of the runs that have ended, in the order in which they did.
    """

    def __init__(self, total: int, console: Console | None = None) -> None:
        self.total = total
        self.outcomes: list[Outcome] = []
        self.at_work: dict[str, AtWork] = {}
        self._console = console or Console()
        self._live: Live | None = None
        self._alive: SignOfLife | None = None

    def __enter__(self) -> Board:
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=2)
            self._live.start()
        else:
            self._alive = SignOfLife(self.in_a_line).__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()
        if self._alive is not None:
            self._alive.__exit__()

    def start(self, key: str, name: str, attempt: int = 1) -> None:
        self.at_work[key] = AtWork(name, attempt=attempt)

    def hear(self, key: str, epoch: int, epochs: int, monitor: str, value: float | None) -> None:
        run = self.at_work[key]
        run.epoch, run.epochs, run.monitor, run.value = epoch, epochs, monitor, value

    def leave(self, key: str) -> None:
        """A run is not being done any more, for now."""
        self.at_work.pop(key, None)

    def end(self, key: str, outcome: Outcome) -> None:
        self.leave(key)
        self.tell(outcome)

    def tell(self, outcome: Outcome) -> None:
        """A run has ended, now or long ago."""
        self.outcomes.append(outcome)
        if self._live is None:
            print(f"run {len(self.outcomes)} of {self.total}: {presentable(outcome)}", flush=True)
        if self._alive is not None:
            self._alive.heard()

    def in_a_line(self) -> str:
        """Return how many runs have ended and where those at work are."""
        at_work = list(self.at_work.values())
        named = [f"{presentable(run.name)} ({run.position})" for run in at_work[:NAMED]]
        more = f" and {len(at_work) - NAMED:,} more" if len(at_work) > NAMED else ""
        told = f"at work: {'; '.join(named)}{more}" if at_work else "Ray starts their processes"
        return f"{len(self.outcomes):,} of {self.total:,} runs have ended; {told}"

    def _table(self) -> Group:
        counts = Counter(outcome.state for outcome in self.outcomes)
        told = ", ".join(f"{number:,} {state}" for state, number in counts.items())
        left = self.total - len(self.outcomes) - len(self.at_work)
        head = f"{self.total:,} runs: {told or 'none has ended'}, {len(self.at_work)} at work, {left:,} to come"
        ended = [Text(presentable(outcome)) for outcome in self.outcomes[-LAST:]]
        table = Table(box=None, pad_edge=False)
        for name in ("run", "epoch", "", "time"):
            table.add_column(name, no_wrap=name != "run")
        for run in list(self.at_work.values())[:SHOWN]:
            table.add_row(*(Text(presentable(text)) for text in run.row()))
        return Group(*ended, Text(head), table)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
