"""How many inputs the fuzz tests try, how long each may take, and how whole files are damaged."""

from __future__ import annotations

import contextlib
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from utils.logs import ignore_expected
from utils.types import UserError

T = TypeVar("T")

TORTURE = os.environ.get("FUZZ") == "torture"
"""Whether `make torture` runs: 10,000 inputs for each part that is cheap, others at each run."""


def cases(normal: int, torture: int) -> settings:
    """Return the settings of a test: the same few inputs at every run, or many new ones."""
    return settings(
        max_examples=torture if TORTURE else normal,
        derandomize=not TORTURE,
        database=None,
        print_blob=True,
        deadline=None,  # `within` measures the processor's time, which other processes do not lengthen
        suppress_health_check=[
            *(HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example),
            HealthCheck.function_scoped_fixture,  # the cache folder, which these tests do not use
        ],
    )


class _TooLong(BaseException):
    """Not an Exception, so that no `except` of the code under test takes it for a damaged file."""


@contextlib.contextmanager
def within(seconds: float, silent: bool = True) -> Iterator[None]:
    """End what takes more of the processor's time than this, and see that it warns a user of nothing.

    Where warnings are errors, code that expects errors would swallow them.

    Args:
        silent: False where warnings are part of what a user should read.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TooLong

    handler = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            ignore_expected()
            yield
    except _TooLong as error:
        raise AssertionError(f"takes more than {seconds} s") from error
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
    assert not silent or [str(warning.message) for warning in told] == []


def outcome(call: Callable[[], T]) -> tuple[T | None, str | None]:
    """Return what a call gives, or what it tells the user: one or more lines that a terminal shows as they are."""
    try:
        return call(), None
    except UserError as error:
        message = str(error)
    assert message
    assert all(line.isprintable() for line in message.split("\n"))
    return None, message


@st.composite
def damaged(draw: st.DrawFn, wholes: Sequence[bytes], inserted: Sequence[bytes] = ()) -> bytes:
    """Draw one of some files with up to five faults: bytes changed, deleted, repeated, inserted, or its end lost.

    Args:
        inserted: what also comes in, beside arbitrary bytes.
    """
    content = bytearray(draw(st.sampled_from(wholes)))
    bits = st.binary(min_size=1, max_size=8)
    pieces = st.one_of(st.sampled_from(inserted), bits) if inserted else bits
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(content)))
        stop = min(start + draw(st.integers(1, 64)), len(content))
        match draw(st.sampled_from(["change", "insert", "delete", "repeat", "cut"])):
            case "change":
                piece = draw(pieces)
                content[start : start + len(piece)] = piece
            case "insert":
                content[start:start] = draw(pieces)
            case "delete":
                del content[start:stop]
            case "repeat":
                content[start:start] = content[start:stop] * draw(st.sampled_from([1, 2, 50]))
            case "cut":
                del content[start:]
    return bytes(content)
