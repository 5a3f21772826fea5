"""What a loader's worker does with signals."""

from __future__ import annotations

import os
import signal
from types import FrameType


def outlast_the_first_sigterm(worker: int = 0) -> None:
    """Let a first SIGTERM pass while the run is there, which may have got it, too, and needs its workers to be saved.

    Clusters and terminals signal all processes of a run. The run ends its workers by itself; a second SIGTERM, or one
    without the run, ends them at once.

    Args: worker: its number, as a loader calls this.
    """
    run = os.getppid()

    def receive(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getppid() != run:
            os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, receive)
