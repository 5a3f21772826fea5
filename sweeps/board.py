"""The state of a sweep's runs: a live table in a terminal, elsewhere a line for each that has ended."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweeps.jobs import Outcome
from sweeps.worker import Progress
from utils.logs import presentable

SHOWN, LAST = 20, 8
"""Active runs, and ended ones, in the live table."""
NAMED = 3
"""Active runs that a line names."""
SILENCE = 30.0
"""Seconds without a line after which one says where the runs are."""


@dataclass
class ActiveRun:
    """A run that is being done."""

    name: str
    attempt: int = 1
    began: float = field(default_factory=time.monotonic)
    progress: Progress | None = None

    def row(self) -> tuple[str, ...]:
        value = ""
        if self.progress is not None and self.progress.value is not None:
            value = f"{self.progress.monitor} {self.progress.value:.4f}"
        again = f" (attempt {self.attempt})" if self.attempt > 1 else ""
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        return self.name + again, self.position, value, f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"

    @property
    def position(self) -> str:
        return "starts" if self.progress is None else f"{self.progress.epoch} of {self.progress.epochs}"


class Board:
    """Shows the runs between `with` and its end: outside a terminal a line for each end, and one after each silence.

    Args:
        total: how many runs there will be.

    Attributes:
        outcomes: of the runs that have ended, in the order in which they did.
    """

    def __init__(self, total: int, console: Console | None = None) -> None:
        self.total = total
        self.outcomes: list[Outcome] = []
        self.active: dict[int, ActiveRun] = {}
        self._console = console or Console()
        self._live: Live | None = None
        self._spoken, self._over = threading.Event(), False
        self._heartbeat = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Board:
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=2)
            self._live.start()
        else:
            self._heartbeat.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()
        else:
            self._over = True
            self._spoken.set()
            self._heartbeat.join()

    def start(self, key: int, name: str, attempt: int = 1) -> None:
        self.active[key] = ActiveRun(name, attempt)

    def show(self, key: int, progress: Progress) -> None:
        self.active[key].progress = progress

    def leave(self, key: int) -> None:
        """Remove a run that is no longer being done."""
        del self.active[key]

    def add(self, outcome: Outcome) -> None:
        """Show how a run has ended, now or long ago."""
        self.outcomes.append(outcome)
        if self._live is None:
            print(f"run {len(self.outcomes)} of {self.total}: {presentable(outcome)}", flush=True)
        self._spoken.set()

    def in_a_line(self) -> str:
        """Return how many runs have ended and where the active ones are."""
        active = list(self.active.values())
        named = [f"{presentable(run.name)} ({run.position})" for run in active[:NAMED]]
        more = f" and {len(active) - NAMED:,} more" if len(active) > NAMED else ""
        return f"{len(self.outcomes):,} of {self.total:,} runs have ended; active: {'; '.join(named)}{more}"

    def _beat(self) -> None:
        """Print a line after each silence, so that whoever waits sees that something happens."""
        while not self._over:
            if not self._spoken.wait(SILENCE):
                print(self.in_a_line(), flush=True)
            self._spoken.clear()

    def _table(self) -> Group:
        counts = Counter(outcome.state for outcome in self.outcomes)
        states = ", ".join(f"{number:,} {state}" for state, number in counts.items())
        left = self.total - len(self.outcomes) - len(self.active)
        head = f"{self.total:,} runs: {states or 'none has ended'}, {len(self.active)} active, {left:,} to come"
        ended = [Text(presentable(outcome)) for outcome in self.outcomes[-LAST:]]
        table = Table(box=None, pad_edge=False)
        for name in ("run", "epoch", "", "time"):
            table.add_column(name, no_wrap=name != "run")
        for run in list(self.active.values())[:SHOWN]:
            table.add_row(*(Text(presentable(text)) for text in run.row()))
        return Group(*ended, Text(head), table)
