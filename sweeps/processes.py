"""Runs side by side on this machine, in a process for each place, which does one run after the other.

Not a `ProcessPoolExecutor`: where one of its processes dies, all others are ended too. Processes are forked from a
server that has imported what a run needs, so that torch is imported once. They talk to the sweep through pipes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from sweeps.cells import Sweep
from sweeps.jobs import Job
from sweeps.resources import environments, share_of_a_run, this_machine
from sweeps.worker import Crash, Progress, Report, Setup, set_up, work
from utils.signals import GRACE

FORK = "forkserver"
CONTEXT: Any = multiprocessing.get_context(FORK if FORK in multiprocessing.get_all_start_methods() else "spawn")
PATIENCE = 3
"""Seconds that a process without a run has to end."""
MOMENT = 0.2
"""Seconds after which the sweep looks for signals and processes that died."""


@dataclass
class Place:
    """Room for one run at a time, with the process that does it."""

    environment: dict[str, str]
    process: BaseProcess | None = None
    connection: Connection | None = None
    key: int | None = None


class Processes:
    """The executor of one machine. Args: environments: one for each place, such as the GPU that its runs see."""

    def __init__(self, setup: Setup, environments: Sequence[dict[str, str]]) -> None:
        self._setup = setup
        self._places = [Place(environment) for environment in environments]

    def room(self) -> int:
        return len(self._places)

    def start(self, key: int, job: Job) -> None:
        place = next(place for place in self._places if place.key is None)
        if place.process is None:
            environment = {**self._setup.environment, **place.environment}
            place.process, place.connection = _start(replace(self._setup, environment=environment))
        place.key = key
        with contextlib.suppress(OSError):  # it has died meanwhile, which `reports` notices
            place.connection.send(job)  # type: ignore[union-attr]

    def reports(self) -> Iterator[tuple[int, Report]]:
        busy = [place for place in self._places if place.key is not None]
        wait([place.connection for place in busy if place.connection is not None], MOMENT)
        for place in busy:
            key = place.key
            assert key is not None
            for report in self._receive(place):
                yield key, report

    def stop(self) -> None:
        for place in self._places:
            if place.process is not None and place.process.is_alive():
                place.process.terminate()
        end = time.monotonic() + GRACE + 2
        while any(place.key is not None for place in self._places) and time.monotonic() < end:
            for _ in self.reports():
                pass

    def close(self) -> None:
        """End all processes; one without a run ends by itself, and in order, once nobody can send it one."""
        for place in self._places:
            if place.connection is not None:
                place.connection.close()
        for place in self._places:
            if place.process is not None:
                place.process.join(PATIENCE if place.key is None else 0)
                place.process.kill()
                self._leave(place)

    def _receive(self, place: Place) -> Iterator[Report]:
        assert place.process is not None
        assert place.connection is not None
        alive = place.process.is_alive()  # before what it has sent is read
        try:
            while place.connection.poll():
                report = place.connection.recv()
                if not isinstance(report, Progress):
                    place.key = None
                yield report
        except (EOFError, OSError):
            alive = False
        if not alive:
            place.process.join(1)
            code = place.process.exitcode
            ended, place.key = place.key is None, None
            self._leave(place)
            if not ended:
                yield Crash(f"its process died{f' of {signal.Signals(-code).name}' if code and code < 0 else ''}")

    def _leave(self, place: Place) -> None:
        assert place.process is not None
        assert place.connection is not None
        place.connection.close()
        place.process.join(1)
        place.process = place.connection = None


def open_processes(sweep: Sweep, fresh: bool) -> Processes:
    """Return the executor of this machine. Raises: ConfigError if it has too little for a run."""
    machine = this_machine(sweep.base.accelerator)
    share = share_of_a_run(sweep, [machine])
    return Processes(set_up(sweep, share, fresh), environments(machine, share))


def import_ahead() -> None:
    """Start the server of processes, which imports what a run needs while the sweep is being checked."""
    if CONTEXT.get_start_method() == FORK:
        from multiprocessing import forkserver

        forkserver.set_forkserver_preload(["sweeps.imports"])
        with _signals_blocked():
            forkserver.ensure_running()  # the start of a process would wait for the imports


def _start(setup: Setup) -> tuple[BaseProcess, Connection]:
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_serve, args=(theirs, setup))  # no daemon: those may not have processes themselves
    with _signals_blocked():
        process.start()
    theirs.close()
    return process, ours


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Start processes that leave signals to the sweep's own, as Ctrl-C and Slurm's reach all of them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which unblocks signals, until Python 3.12
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, setup: Setup) -> None:
    """Do the runs that come through a connection, until it closes. Whatever they print is in the log already."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGINT, signal.SIGUSR1})
    threading.Thread(target=_end_with_the_sweep, daemon=True).start()

    def send(report: Report) -> None:
        with contextlib.suppress(OSError):  # the sweep is gone
            connection.send(report)

    with contextlib.suppress(EOFError, OSError):
        while True:
            send(work(setup, connection.recv(), send))


def _end_with_the_sweep() -> None:
    """Save the run and end this process when that of the sweep is gone, were it by SIGKILL."""
    sweep = multiprocessing.parent_process()
    assert sweep is not None
    sweep.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE + 2)
    os._exit(1)
