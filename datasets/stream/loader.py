"""The loader of training batches, and its workers' way with signals."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

from torch.utils.data import DataLoader, Dataset

from datasets.stream.sampling import EpochBatches
from utils.types import DataError


class ResumableLoader(DataLoader):
    """A loader that starts where training stands, by asking instead of by remembering.

    Args:
        dataset: takes the keys of `batches`.
        batches: the epoch's batches.
        position: returns the epoch and the number of its batches already trained on.

    Attributes:
        seconds_waited: for batches that were not ready yet.
    """

    def __init__(self, dataset: Dataset, batches: EpochBatches, position: Callable[[], tuple[int, int]], **options):
        super().__init__(dataset, batch_sampler=batches, **options)
        self._batches = batches
        self._position = position
        self.seconds_waited = 0.0

    def state_dict(self) -> dict[str, int]:
        """Return what an epoch's batches depend on; where training stands is not kept here."""
        return {"samples": self._batches.num_samples, "batches": len(self._batches)}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Raises: DataError if these are other batches."""
        if state_dict != self.state_dict():
            raise DataError(f"the checkpoint was made with other data: {state_dict}, now {self.state_dict()}")

    def __iter__(self) -> Iterator:
        # A generator, so that this runs at the first next(): by then Lightning has settled its counters, which it has
        # not when it calls iter().
        self._batches.epoch, self._batches.start = self._position()
        batches = super().__iter__()
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.seconds_waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch


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
