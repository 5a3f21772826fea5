"""Checkpoints: written whole or not at all, checked for damage, loaded without running anything that they contain.

A checkpoint is torch's own file and behind it a mark and the SHA-256 of all before. The checksum lies in the file
because two files cannot be renamed as one: after a kill, one beside it could be another checkpoint's. `torch.load`
looks for its archive's end from the back and passes over what follows, so other tools read the file as before.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor, nn

from metrics.tally import BaseTally
from utils.files import rename, write_atomically
from utils.types import DAMAGED_TENSORS, ConfigError, TrainingError, first_line

LOG = logging.getLogger("lossbench")
FORMAT = 2
"""Of the files written here. In those of format 1, which do not say so, a margin loss's head has two names."""
HEAD_OF_LOSS = re.compile(r"^loss\.(?:base\.)*head\.(?=\w+$)")
OWN_HEAD = "own_head."
OTHER_VERSION = (
    "Another version of Lossbench, or of the libraries in environment.json, has written it, or for other data: "
    "use that version or those data, or retrain with --fresh"
)
MARK = b"\nSHA256:"
TRAILER = len(MARK) + hashlib.sha256().digest_size


class Position(NamedTuple):
    """Where a run resumes: in an epoch of which so many steps are done."""

    epoch: int
    step: int

    def __str__(self) -> str:
        return f"after step {self.step} of epoch {self.epoch + 1}" if self.step else f"after epoch {self.epoch}"


class DamagedCheckpoint(TrainingError):
    """Raised for a file that is no sound checkpoint; the message names it and the damage."""


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
            torch.save({"format": FORMAT, **checkpoint}, hashing)  # type: ignore[arg-type]
        except RuntimeError:
            if hashing.failure is None:
                raise
            raise hashing.failure from None  # torch lays an error of its own over a full disk's
        file.write(MARK + hashing.sha256.digest())

    write_atomically(path, write)


def load_checkpoint(path: Path, *needed: str, mmap: bool = False) -> dict[str, Any]:
    """Read a checkpoint of ours.

    Args:
        needed: names that it must hold.
        mmap: read tensors only when they are used.

    Raises: DamagedCheckpoint, also for a file that is not there or holds what no checkpoint of this kind holds;
        ConfigError for one of a later format.
    """
    verify_checkpoint(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except DAMAGED_TENSORS as error:
        raise DamagedCheckpoint(f"{path} is not a checkpoint of ours ({first_line(error)})") from None
    if not isinstance(content, dict):
        raise DamagedCheckpoint(f"{path} is no checkpoint of ours (it holds a {type(content).__name__})")
    if lacking := [name for name in needed if name not in content]:
        raise DamagedCheckpoint(f"{path} is a checkpoint of another kind (it holds no {', '.join(lacking)})")
    if wrong := [name for name, holds in CONTENT.items() if name in content and not holds(content[name])]:
        raise DamagedCheckpoint(f"{path} is no checkpoint of ours (wrong content: {', '.join(wrong)})")
    version = content.get("format", 1)
    if version > FORMAT:
        raise ConfigError(f"{path} has format {version}, this version reads 1 to {FORMAT}. {OTHER_VERSION}")
    if version == 1:
        _rename_heads(content, path)
    return content


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())


CONTENT = {
    "format": _is_count,
    "epoch": _is_count,
    "state_dict": _is_state,
    "position": lambda value: isinstance(value, list) and len(value) == 2 and all(map(_is_count, value)),
    "stopped": lambda value: isinstance(value, bool),
    "rows": lambda value: isinstance(value, list) and all(isinstance(row, dict) for row in value),
    "optimizer_states": lambda value: isinstance(value, list),
    "lr_schedulers": lambda value: isinstance(value, list),
    "callbacks": lambda value: isinstance(value, dict) and all(isinstance(each, dict) for each in value.values()),
    "loops": lambda value: isinstance(value, dict),
}
"""Content of a checkpoint of ours -> the test of its type."""


def _rename_heads(content: dict[str, Any], path: Path) -> None:
    """Give the head of a margin loss its one name. Of two values, the loss's was validated."""
    average = content.get("callbacks", {}).get("WeightAverage", {}).get("average", {})
    states: list[dict[str, Tensor]] = [content.get("state_dict", {}), average]
    for state in filter(_is_state, states):
        for name in [*filter(HEAD_OF_LOSS.match, state)]:
            head, ours = state.pop(name), HEAD_OF_LOSS.sub(OWN_HEAD, name)
            if ours in state and not torch.equal(head, state[ours]):
                LOG.warning("%s: its average of %s is used, as in validation; the test did not average it", path, name)
            state[ours] = head


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's state without its tallies, which only count."""
    state, transient = module.state_dict(), tallied(module)
    return {name: tensor for name, tensor in state.items() if name not in transient}


def tallied(module: nn.Module) -> set[str]:
    """Return the names in a module's state that only count."""
    tallies = ((prefix, tally) for prefix, tally in module.named_modules() if isinstance(tally, BaseTally))
    return {f"{prefix}.{name}" for prefix, tally in tallies for name in tally.state_dict()}


def load_weights_of(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Give a module a state as `weights_of` returns it.

    Args: path: where it was read.
    Raises: ConfigError for tensors that are missing, unknown, of another shape or not finite.
    """
    refuse_other_tensors(module, state, path, optional=tallied(module))
    parameters = {name for name, _ in module.named_parameters()}
    broken = [
        name
        for name, tensor in state.items()
        if tensor.is_floating_point() and (~tensor.isfinite() if name in parameters else tensor.isnan()).any()
    ]
    if broken:
        diverged = "the training has diverged; retrain with a smaller learning rate (optimizer_params.lr)"
        raise ConfigError(f"{path}: NaN or infinity in {_some(broken)}: {diverged}")
    module.load_state_dict(state, strict=False)  # only tallies can be missing


def refuse_other_tensors(
    module: nn.Module, state: Mapping[str, Tensor], path: Path, optional: Collection[str] = frozenset()
) -> None:
    """Raises: ConfigError if a state lacks a module's tensors, those in `optional` apart, or has others."""
    own = module.state_dict()
    missing = [name for name in own if name not in state and name not in optional]
    unknown = [name for name in state if name not in own]
    shapes = {name: (state[name].shape, own[name].shape) for name in own if name in state}
    reshaped = [f"{name} {list(there)}, here {list(here)}" for name, (there, here) in shapes.items() if there != here]
    if missing or unknown or reshaped:
        parts = {"missing": missing, "unknown": unknown, "of another shape": reshaped}
        text = "; ".join(f"{word}: {_some(names)}" for word, names in parts.items() if names)
        raise ConfigError(f"{path} does not fit this run's network and loss; {text}. {OTHER_VERSION}")


def _some(names: Iterable[str], limit: int = 3) -> str:
    names = [*names]
    return f"{len(names)} tensor{'s' * (len(names) > 1)} ({', '.join(names[:limit])}{', ...' * (len(names) > limit)})"


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
    """Where a run resumes: file and position, or None to start at epoch 0; and a report of damage."""

    path: Path | None = None
    position: Position | None = None
    complaint: str | None = None


RESUMED = ("position", "state_dict", "optimizer_states", "callbacks", "loops", "rows", "stopped")
"""Content that a run needs to resume."""


def choose_checkpoint(last: Path, previous: Path, module: nn.Module | None = None) -> Resume:
    """Choose the newest sound one of a run's two.

    A kill while `last` is written leaves only `previous`, which then is the newest: nothing to report.

    Args: module: to be resumed.
    Raises: ConfigError for a checkpoint of another version, or whose tensors are not the module's.
    """
    damages = []
    for path in (last, previous):
        if not path.is_file():
            continue
        try:
            content = load_checkpoint(path, *(RESUMED if module is not None else ("position",)), mmap=True)
        except DamagedCheckpoint as damage:
            damages.append(str(damage))
            continue
        if module is not None:
            refuse_other_tensors(module, content["state_dict"], path)
        position = Position(*content["position"])
        return Resume(path, position, f"{damages[0]}: resuming {position}, from {path.name}" if damages else None)
    return Resume(complaint=f"{'; '.join(damages)}: no other checkpoint, starting at epoch 1" if damages else None)


def keep_previous(last: Path, previous: Path) -> None:
    """Make room for the next `last`; the one there is sound, so at every moment one of the two is whole."""
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
