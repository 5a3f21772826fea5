"""Runs in processes of their own that are killed at a moment of one's choice, by a signal that nothing can catch."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from runs.folder import RunFolder
from tests.conftest import QUICK, hasten
from tests.training.faults import Operations

Changes = dict[str, str]


class Kill(NamedTuple):
    """When a process dies: at the n-th time, from 1, that it does something; or after so many seconds."""

    moment: str
    number: int
    seconds: float = 0.0


def _targets() -> dict[str, tuple[Any, str]]:
    """Return the moments at which a process can be killed: name -> the function that it is in then."""
    from pytorch_lightning.trainer.connectors.checkpoint_connector import _CheckpointConnector
    from torch.optim import AdamW

    from datasets import cache
    from models.classifier import Classifier
    from runs import checkpoints
    from tracking.base import GuardedTracker

    return {
        "step": (Classifier, "training_step"),
        "optimizer": (AdamW, "step"),
        "validation": (Classifier, "validation_step"),
        "test": (Classifier, "test_step"),
        "write of a checkpoint": (checkpoints._Hashing, "write"),
        "rename": (os, "replace"),
        "read of a checkpoint": (_CheckpointConnector, "restore_callbacks"),
        "cache": (cache, "_write_at"),
        "tracker": (GuardedTracker, "log_metrics"),
        "tracker's copies": (GuardedTracker, "log_files"),
        "tracker's close": (GuardedTracker, "finalize"),
    }


def run(changes: Changes, folder: Path, kill: Kill | None, mlflow: bool = True) -> tuple[int, RunFolder | None]:
    """Train in a process of its own.

    Args:
        changes: of a configuration. folder: for all that it writes. kill: when it dies, or None.

    Returns: the exit status, negative for a signal; and the run's folder when it is finished.
    """
    context = multiprocessing.get_context("forkserver")
    heavy = ["training.runner", "timm", "sklearn.datasets", "pandas", *(["mlflow"] if mlflow else [])]
    context.set_forkserver_preload(["tests.training.killing", *heavy])
    process = context.Process(target=_work, args=(changes, folder, kill))
    process.start()
    process.join(300)
    status = process.exitcode
    process.kill()
    assert status is not None, "still running after five minutes"
    finished = [RunFolder(path.parent) for path in folder.glob("output/*/summary.json")]
    assert len(finished) <= 1
    return status, finished[0] if finished and status == 0 else None


def killed(
    kills: Iterator[Kill], changes: Callable[[int], Changes], folder: Path, mlflow: bool = True
) -> tuple[RunFolder, list[Kill]]:
    """Start a run again and again until it is finished; return its folder and the kills that it died of.

    Args:
        changes: number of the start -> of the configuration.
    """
    died: list[Kill] = []
    for start in range(100):
        kill = next(kills, None)
        status, finished = run(changes(start), folder, kill, mlflow)
        if finished is not None:
            return finished, died
        assert status == -signal.SIGKILL, f"exit status {status} after {died}"
        assert kill is not None
        died.append(kill)
    raise AssertionError("not finished after 100 starts")


def _work(changes: Changes, folder: Path, kill: Kill | None) -> None:
    import pytest
    import torch

    from configuration.reading import read_configuration
    from evaluation.catalogue import NAME_CHECKS
    from training import runner

    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # workers that see their parent die, as users' do
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    values = QUICK | {"output_path": str(folder / "output"), "logging_dir": str(folder / "logs")} | changes
    with pytest.MonkeyPatch.context() as patch:
        hasten(patch)
        if kill is not None:
            _arm(patch, kill)
        runner.train(read_configuration(None, [f"{key}={value}" for key, value in values.items()], NAME_CHECKS))


def _arm(patch: Any, kill: Kill) -> None:
    if kill.moment == "time":
        timer = threading.Timer(kill.seconds, _die)
        timer.daemon = True
        timer.start()
        return
    if kill.moment == "operation":
        Operations(patch, kill.number, kill=True)
        return
    owner, name = _targets()[kill.moment]
    original, calls = getattr(owner, name), iter(range(kill.number - 1))

    def call(*args: Any, **kwargs: Any) -> Any:
        if next(calls, None) is None:
            _half_done(kill.moment, original, args)
            _die()
        return original(*args, **kwargs)

    patch.setattr(owner, name, call)


def _half_done(moment: str, original: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Leave what is being written half written."""
    if moment == "write of a checkpoint":
        file, data = args
        original(file, bytes(data)[: len(data) // 2])
        file.file.flush()
    elif moment == "cache":
        file, start, content = args
        original(file, start, content[: len(content) // 2])


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
