"""What stops the runs of a sweep, in a process of its own that imports nothing heavy."""

from __future__ import annotations

import asyncio


class Switch:
    """Stops all runs at once, wherever they are. An actor: its calls wait beside one another."""

    def __init__(self) -> None:
        self._name = ""
        self._turned = asyncio.Event()
        self._at_work = 0

    async def wait(self) -> str:
        """Return the name of the signal that is to stop the runs, once there is one."""
        await self._turned.wait()
        return self._name

    async def enter(self) -> None:
        """A run begins."""
        self._at_work += 1

    async def leave(self) -> None:
        """A run has ended, however."""
        self._at_work -= 1

    async def turn(self, name: str) -> None:
        self._name = name
        self._turned.set()

    async def at_work(self) -> int:
        """Return how many runs have not ended yet."""
        return self._at_work
