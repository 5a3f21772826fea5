"""SIGTERM, Ctrl-C and the SIGUSR1 that Slurm sends ahead of a time limit end a run in order, each with its status.

Standard library only: the script that prints the message must not wait for torch.
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
"""Exit statuses: 128 + the signal's number, as shells have it; 75, "try again later", where a job is to be requeued."""

MOMENT = 0.05
"""Seconds after which is looked again whether Interrupted can be raised."""

GRACE = 8.0
"""Seconds in which a run must reach a point where it can be saved; Docker waits 10 before it kills, Slurm 30."""

_IMPORTLIB = "<frozen importlib._bootstrap>"
_received: list[str] = []
_owner = 0
_active = False
_taken: set[int] = set()
_waits = False
_patience = 0.0
_owed = False


def command_to_go_on(fresh: bool = False) -> str:
    """Say which command goes on with what this one has begun; with `--fresh` it would begin something else."""
    return "the same command without --fresh" if fresh else "the same command"


class Interrupted(BaseException):
    """A run that a signal stopped; the message says where, and how to go on.

    Not a KeyboardInterrupt, which Lightning turns into an exit of its own with status 1, and not an Exception, which
    what is interrupted might take for its own.
    """

    def __init__(self, name: str, where: str = "before training", onward: str = "the same command goes on") -> None:
        super().__init__(f"interrupted by {name} {where}; {onward}")
        self.name, self.status = name, STATUS[name]


@contextlib.contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise Interrupted, once, where the main thread stands when a signal comes; put the old handlers back at the end.

    At once, unless `wait_for_save_point` was called: nothing that is written can be left half. Amid an import it is
    raised behind it, since modules do not survive being imported by half, and again where it was lost in a destructor.
    A second Ctrl-C ends the process as if there were no handler; a second SIGTERM, which schedulers like to send,
    leaves the first one time. A signal that the process was started to ignore, as by nohup, stays ignored. Other
    threads cannot handle signals: there nothing changes. Within another such block neither, and a signal that still
    waits at its end is kept: the runs of a sweep share one, so that a signal between two of them stops them all.
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
    """Replace the handlers that others set: Lightning, to talk to other devices amid whatever they do, Ray and Tune."""
    if _active and threading.current_thread() is threading.main_thread():
        for number in _taken:
            signal.signal(number, _receive)


def wait_for_save_point(patience: float | None = None) -> None:
    """Only note a signal from now on: who called this saves and then calls `wait_no_longer`.

    Args:
        patience: seconds after a signal from which on Interrupted is raised wherever the process then is; `GRACE`
            unless given, 0 for never.
    """
    global _waits, _patience
    _patience = GRACE if patience is None else patience
    in_main_thread = threading.current_thread() is threading.main_thread()
    _waits = _active and hasattr(signal, "SIGALRM") and in_main_thread


def is_waiting() -> bool:
    """Tell whether a signal has come and waits for a point where the run can be saved."""
    return _waits and bool(_received)


def wait_no_longer() -> None:
    """Raise Interrupted if a signal has come, and from now on as soon as one comes."""
    global _waits
    _waits = False
    raise_if_due()


def raise_if_due() -> None:
    """Raise what does not wait and was lost, as in a function that catches all that there is."""
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
    """Raise what was put off: until patience was over, or until an import was done."""
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
    """Raise Interrupted again that was lost in a destructor; what else falls apart as a run is stopped is not told.

    Args: hook: what tells of other exceptions that were lost.
    """
    if not _received:
        hook(lost)
    elif isinstance(lost.exc_value, Interrupted) and os.getpid() == _owner and hasattr(signal, "SIGALRM"):
        _raise_soon()


def _end_hard(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
