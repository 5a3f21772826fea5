"""Failures of single operations on files, one after the other: a full disk, or a kill."""

from __future__ import annotations

import errno
import os
import signal
import stat
from collections.abc import Callable
from typing import Any

import pytest

from utils import files

FOLDER = "fsync of a folder"
"""Which some file systems cannot do; what it brings to the disk is a name, the content is there already."""

SHOWN = 3
"""Writes of a file that count as operations of their own, and every hundredth: those between are alike."""


class Operations:
    """Counts what is done to files that are written whole or not at all, and fails at the n-th, from 1.

    Args:
        fail_at: the operation that fails, None counts only.
        kill: end the process there instead of saying that the disk is full; what is being written is half there.

    Attributes:
        names: of the operations so far, in order.
    """

    def __init__(self, patch: pytest.MonkeyPatch, fail_at: int | None = None, kill: bool = False) -> None:
        self.names: list[str] = []
        self.fail_at, self.kill = fail_at, kill
        for module, name in ((files, "open_beside"), (os, "fsync"), (os, "chmod"), (os, "replace")):
            patch.setattr(module, name, self._counted(name, getattr(module, name)))
        fdopen = os.fdopen
        patch.setattr(os, "fdopen", lambda handle, mode: _File(fdopen(handle, mode), self))

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            of_folder = name == "fsync" and stat.S_ISDIR(os.fstat(args[0]).st_mode)
            self.count(FOLDER if of_folder else name)
            return function(*args, **kwargs)

        return call

    def count(self, name: str, before: Callable[[], object] = lambda: None) -> None:
        """Fail if it is this operation's turn, after what is done `before`."""
        self.names.append(name)
        if len(self.names) == self.fail_at:
            before()
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _File:
    """A file whose writes and flushes are counted."""

    def __init__(self, file: Any, operations: Operations) -> None:
        self._file, self._operations, self._writes = file, operations, 0

    def write(self, data: Any) -> int:
        self._writes += 1
        if self._writes <= SHOWN or self._writes % 100 == 0:
            self._operations.count("write", before=lambda: self._half(data))
        return self._file.write(data)

    def _half(self, data: Any) -> None:
        self._file.write(bytes(data)[: len(bytes(data)) // 2])
        self._file.flush()

    def flush(self) -> None:
        self._operations.count("flush")
        self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.close()
