"""Folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from utils.files import CannotWrite


@contextlib.contextmanager
def whole_folders(targets: list[Path]) -> Iterator[list[Path]]:
    """Give an empty folder for each target; at the end they take the targets' names, replacing what is there.

    After an error nothing of theirs is left, and what was there is as it was.

    Raises: CannotWrite.
    """
    made = []
    try:
        try:
            for target in targets:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.append(target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp"))
                made[-1].mkdir()
            yield made
            for folder, target in zip(made, targets, strict=True):
                _replace(folder, target)
        except OSError as error:
            if isinstance(error, CannotWrite) or error.errno is None:
                raise
            raise CannotWrite(error.errno, error.strerror, str(error.filename or targets[0].parent)) from error
    finally:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)


def _replace(folder: Path, target: Path) -> None:
    old = target.with_name(f"{folder.name}.old")
    if target.exists():
        os.rename(target, old)
    try:
        os.rename(folder, target)
    except OSError:
        if old.exists():
            os.rename(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)
