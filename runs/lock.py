"""A run is trained by one process at a time: the lock in its folder."""

from __future__ import annotations

from filelock import FileLock, Timeout

from runs.folder import RunFolder
from utils.files import CannotWrite
from utils.types import ConfigError


class Busy(ConfigError):
    """A run that another process trains."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(f"{folder.path}: another process trains this run; wait for it")


def lock(folder: RunFolder) -> FileLock:
    """Take the run's folder for this process; the system frees the lock of a process that dies.

    Raises: Busy if another process trains this run; CannotWrite.
    """
    taken = FileLock(folder.lock)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        taken.acquire(blocking=False)
    except Timeout:
        raise Busy(folder) from None
    except OSError as error:
        raise CannotWrite(error.errno, error.strerror or str(error), str(folder.lock)) from error
    return taken


def is_locked(folder: RunFolder) -> bool:
    """Return whether a process trains a run now."""
    if not folder.lock.is_file():
        return False
    probe = FileLock(folder.lock)
    try:
        probe.acquire(blocking=False)
    except Timeout:
        return True
    except OSError:  # a folder that is not for writing
        return False
    probe.release()
    return False
