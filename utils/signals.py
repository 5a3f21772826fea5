"""Orderly ends of a run by SIGTERM, Ctrl-C, or the SIGUSR1 that Slurm sends before a time limit.

Standard library only, so that the script that prints the message need not wait for torch.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

STATUS = {"SIGINT": 130, "SIGTERM": 143, "SIGUSR1": 75}
"""Exit statuses: 128 + the signal's number, as in shells; 75, "try again later", for a job to be requeued."""

MOMENT = 0.05
"""Seconds until the next attempt to raise Interrupted."""

GRACE = 8.0
"""Seconds in which a run must reach a point where it can be saved; Docker kills after 10, Slurm after 30."""

_IMPORTLIB = "<frozen importlib._bootstrap>"
_received: list[str] = []
_owner = 0
_active = False
_taken: set[int] = set()
_waits = False
_patience = 0.0
_owed = False


def command_to_go_on(fresh: bool = False) -> str:
    """Return the command that resumes this run; with `--fresh` it would start another one."""
    return "the same command without --fresh" if fresh else "the same command"


class Interrupted(BaseException):
    """A run stopped by a signal; the message says where, and how to resume.

    Not a KeyboardInterrupt, which Lightning turns into an exit with status 1, and not an Exception, which the
    interrupted code might handle as its own.
    """

    def __init__(self, name: str, where: str = "before training", onward: str = "the same command goes on") -> None:
        super().__init__(f"interrupted by {name} {where}; {onward}")
        self.name, self.status = name, STATUS[name]


@contextlib.contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise Interrupted once, in the main thread, when a signal arrives; restore the old handlers at the end.

    It is raised immediately unless `wait_for_save_point` was called, as files are never left half-written. During an
    import it is raised afterwards, since a half-imported module is unusable; if a destructor swallows it, it is raised
    again. A second Ctrl-C ends the process as if there were no handler; a second SIGTERM, which schedulers like to
    send, is ignored. A signal that the process was started to ignore, as by nohup, stays ignored. In other threads,
    which cannot handle signals, and within another such block nothing changes. A signal that is pending at the end
    of the inner block is kept: the runs of a sweep share a block, so that a signal between two runs stops them all.
    """
    global _owner, _active, _waits, _owed
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if _active:
        try:
            yield
        finally:
            _waits = False
        return
    _received.clear()
    _owner, _waits = os.getpid(), False
    before: dict[int, Any] = {}
    for name in STATUS:
        number = getattr(signal, name, None)  # Windows has no SIGUSR1
        if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
            before[number] = signal.signal(number, _receive)
    _active = signal.SIGTERM in before
    _taken.update(before)
    if hasattr(signal, "SIGALRM"):
        before[signal.SIGALRM] = signal.signal(signal.SIGALRM, _look_again)
    hook = sys.unraisablehook
    sys.unraisablehook = functools.partial(_raise_again, hook)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        if hasattr(signal, "SIGALRM"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        _active = _waits = _owed = False
        _received.clear()
        _taken.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def take_signals_back() -> None:
    """Replace the handlers that Lightning, Ray and Tune have installed."""
    if _active and threading.current_thread() is threading.main_thread():
        for number in _taken:
            signal.signal(number, _receive)


def wait_for_save_point(patience: float | None = None) -> None:
    """Only record a signal from now on: the caller saves and then calls `wait_no_longer`.

    Args: patience: seconds after a signal until Interrupted is raised all the same; None: `GRACE`, 0: never.
    """
    global _waits, _patience
    _patience = GRACE if patience is None else patience
    in_main_thread = threading.current_thread() is threading.main_thread()
    _waits = _active and hasattr(signal, "SIGALRM") and in_main_thread


def is_waiting() -> bool:
    """Return whether a signal has arrived and waits until the run can be saved."""
    return _waits and bool(_received)


def wait_no_longer() -> None:
    """Raise Interrupted if a signal has arrived, and from now on as soon as one does."""
    global _waits
    _waits = False
    raise_if_due()


def raise_if_due() -> None:
    """Raise Interrupted if it is due: code that catches everything may have swallowed it."""
    global _owed
    if _received and not _waits:
        _owed = False
        raise Interrupted(_received[0])


def _receive(number: int, frame: FrameType | None) -> None:
    if os.getpid() != _owner:  # a forked worker: whoever started it stops it, by SIGTERM
        if number == signal.SIGTERM:
            _end_hard(number)
        return
    if not _received:
        _received.append(signal.Signals(number).name)
        if _waits:
            signal.setitimer(signal.ITIMER_REAL, _patience)
        else:
            _raise_unless_importing(frame)
    elif number == signal.SIGINT:
        _end_hard(number)


def _look_again(number: int, frame: FrameType | None) -> None:
    """Raise Interrupted after patience has run out or an import has ended."""
    global _waits
    if os.getpid() == _owner and (is_waiting() or _owed):
        _waits = False
        _raise_unless_importing(frame)


def _raise_unless_importing(frame: FrameType | None) -> None:
    if _is_importing(frame) and hasattr(signal, "SIGALRM"):
        _raise_soon()
    else:
        raise_if_due()


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename != _IMPORTLIB:
        frame = frame.f_back
    return frame is not None


def _raise_soon() -> None:
    global _owed
    _owed = True
    signal.setitimer(signal.ITIMER_REAL, MOMENT)


def _raise_again(hook: Callable[[Any], Any], lost: Any) -> None:
    """Raise Interrupted again if a destructor swallowed it; other errors while a run is being stopped are not reported.

    Args: hook: reports exceptions that could not be raised.
    """
    if not _received:
        hook(lost)
    elif isinstance(lost.exc_value, Interrupted) and os.getpid() == _owner and hasattr(signal, "SIGALRM"):
        _raise_soon()


def _end_hard(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
