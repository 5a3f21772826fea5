"""A large checkpoint is whole whenever its process is killed, wherever temporary files lie."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest
import torch

from runs.checkpoints import choose_checkpoint, keep_previous, load_checkpoint, save_checkpoint
from utils.files import remove_leftovers

KILLS, FLOATS = 20, 25_000_000
"""100 MB, of which a kill at any time hits the writing more often than not."""


def save_for_ever(folder: Path) -> None:
    last, previous = folder / "last.ckpt", folder / "previous.ckpt"
    for number in itertools.count():
        keep_previous(last, previous)
        save_checkpoint({"position": [number, 0], "weights": torch.full((FLOATS,), float(number))}, last)


@pytest.mark.torture
def test_a_kill_while_a_large_checkpoint_is_written_leaves_one_that_is_whole(tmp_path, monkeypatch):
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system")
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    draw, half_written = random.Random(0), 0
    for _ in range(KILLS):
        before = choose_checkpoint(tmp_path / "last.ckpt", tmp_path / "previous.ckpt").path
        process = multiprocessing.get_context("forkserver").Process(target=save_for_ever, args=(tmp_path,))
        process.start()
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob(".*.tmp")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(draw.uniform(0.0, 1.0))
        process.kill()
        process.join()
        path, position, complaint = choose_checkpoint(tmp_path / "last.ckpt", tmp_path / "previous.ckpt")
        assert complaint is None
        assert (path is not None) or before is None
        if path is not None and position is not None:
            assert torch.equal(load_checkpoint(path)["weights"], torch.full((FLOATS,), float(position.epoch)))
        half_written += len(list(tmp_path.glob(".*.tmp")))
        remove_leftovers(tmp_path)
    assert half_written >= KILLS // 4


def test_a_checkpoint_is_written_beside_its_place_whatever_tmpdir_says(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    seen = []
    original = os.replace
    monkeypatch.setattr(
        os, "replace", lambda *paths: (seen.append([Path(path).parent for path in paths]), original(*paths))
    )
    save_checkpoint({"position": [0, 0]}, tmp_path / "run" / "last.ckpt")
    assert seen == [[tmp_path / "run"] * 2]
