"""A line whenever nothing was told for a while: somebody who waits for minutes wonders whether anything happens."""

from __future__ import annotations

import threading
from collections.abc import Callable

SILENCE = 30.0
"""Seconds without a line."""


class SignOfLife:
    """Prints a line after each silence, between `with` and its end.

    Args:
        say: returns the line. seconds: how long a silence may be.
    """

    def __init__(self, say: Callable[[], str], seconds: float = SILENCE) -> None:
        self._say, self._seconds = say, seconds
        self._stirred, self._over = threading.Event(), False

    def __enter__(self) -> SignOfLife:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over = True
        self._stirred.set()
        self._thread.join()

    def heard(self) -> None:
        """A line was told: the silence begins anew."""
        self._stirred.set()

    def _watch(self) -> None:
        while not self._over:
            if not self._stirred.wait(self._seconds):
                print(self._say(), flush=True)
            self._stirred.clear()
