"""The epochs of a run whose weights were kept, one after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from evaluation.subject import Subject
from utils.types import ConfigError


def choose_epochs(subject: Subject, epochs: Sequence[int] | None, key: str) -> list[int]:
    """Return those of a run's kept epochs that are asked for, ascending; all of them for None.

    Raises: ConfigError, with the key at its head, for one that was not kept.
    """
    kept = subject.folder.kept_epochs()
    if epochs is None:
        return kept
    if absent := sorted({*epochs} - {*kept}):
        held = ", ".join(map(str, kept)) or "none, see keep_epochs"
        raise ConfigError(f"{key}: must be epochs that the run kept ({held}), got {', '.join(map(str, absent))}")
    return sorted({*epochs})


@contextlib.contextmanager
def snapshots(subject: Subject, epochs: Sequence[int]) -> Iterator[Iterator[Subject]]:
    """Give the run at each of these epochs, in turn in one network; afterwards it has the selected weights again."""
    try:
        yield (subject.at_epoch(epoch) for epoch in epochs)
    finally:
        subject.restore()
