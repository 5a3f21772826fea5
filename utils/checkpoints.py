"""Checkpoints: written whole or not at all, known when damaged, loaded without running what they contain.

A checkpoint is torch's own file and behind it a mark and the SHA-256 of all before. The checksum lies in the file
because two files cannot be renamed as one: after a kill, one beside it could be another checkpoint's. `torch.load`
looks for its archive's end from the back and passes over what follows, so other tools read the file as before.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from utils.files import rename, write_atomically
from utils.types import DAMAGED_TENSORS, TrainingError, first_line

MARK = b"\nSHA256:"
TRAILER = len(MARK) + hashlib.sha256().digest_size


class Position(NamedTuple):
    """Where a run goes on: in an epoch of which so many steps are done."""

    epoch: int
    step: int

    def __str__(self) -> str:
        return f"after step {self.step} of epoch {self.epoch}" if self.step else f"after epoch {self.epoch - 1}"


class DamagedCheckpoint(TrainingError):
    """A file that is not what was written as a checkpoint; the message names it and what is wrong."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's own way writes through $TMPDIR: not atomic when that is another file system."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        return load_checkpoint(Path(path))


def save_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    def write(file: IO[bytes]) -> None:
        hashing = _Hashing(file)
        try:
            torch.save(checkpoint, hashing)  # type: ignore[arg-type]
        except RuntimeError:
            if hashing.failure is None:
                raise
            raise hashing.failure from None  # torch lays an error of its own over a full disk's
        file.write(MARK + hashing.sha256.digest())

    write_atomically(path, write)


def load_checkpoint(path: Path, *needed: str, mmap: bool = False) -> dict[str, Any]:
    """Read a checkpoint of ours.

    Args:
        needed: what it must hold.
        mmap: read tensors only when they are used.

    Raises: DamagedCheckpoint, also for a file that is not there or holds what no checkpoint of this kind holds.
    """
    verify_checkpoint(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except DAMAGED_TENSORS as error:
        raise DamagedCheckpoint(f"{path} is not a checkpoint of ours ({first_line(error)})") from None
    if lacking := [name for name in needed if not isinstance(content, dict) or name not in content]:
        raise DamagedCheckpoint(f"{path} is a checkpoint of another kind (it holds no {', '.join(lacking)})")
    return content


def verify_checkpoint(path: Path) -> None:
    """Read a file once, in little memory.

    Raises: DamagedCheckpoint if it does not end in the checksum of what it holds.
    """
    if not path.is_file():
        raise DamagedCheckpoint(f"{path} is missing")
    size = path.stat().st_size - TRAILER
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        for start in range(0, size, 1 << 20):
            sha256.update(file.read(min(1 << 20, size - start)))
        trailer = file.read(TRAILER)
    if not trailer.startswith(MARK):
        raise DamagedCheckpoint(f"{path} is cut off or no checkpoint (it does not end in a checksum)")
    if trailer != MARK + sha256.digest():
        raise DamagedCheckpoint(f"{path} is damaged (its content does not match its checksum)")


class Resume(NamedTuple):
    """What a run goes on from: the file and the position, or None to start at epoch 0; and what to tell of damage."""

    path: Path | None = None
    position: Position | None = None
    complaint: str | None = None


def choose_checkpoint(last: Path, previous: Path) -> Resume:
    """Choose the newest sound one of a run's two.

    A kill while `last` is written leaves only `previous`, which then is the newest: nothing to tell.
    """
    damages = []
    for path in (last, previous):
        if not path.is_file():
            continue
        try:
            position = Position(*load_checkpoint(path, "position", mmap=True)["position"])
        except DamagedCheckpoint as damage:
            damages.append(str(damage))
            continue
        return Resume(path, position, f"{damages[0]}: going on {position}, from {path.name}" if damages else None)
    return Resume(complaint=f"{'; '.join(damages)}: no other checkpoint, starting at epoch 0" if damages else None)


def keep_previous(last: Path, previous: Path) -> None:
    """Make room for the next `last`, which is known to be sound: at every moment one of the two is whole."""
    if last.is_file():
        rename(last, previous)


class _Hashing:
    """A file that is hashed while it is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.sha256 = file, hashlib.sha256()
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        try:
            return self.file.write(data)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        self.file.flush()
