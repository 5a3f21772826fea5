"""Files of tensors that are cut off in the midst of a number, as fuzzing found them: told in a line, wherever read."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest

from datasets.label_noise import read_noisy_labels
from models.weights import load_weights
from runs.checkpoints import DamagedCheckpoint, load_checkpoint
from utils.types import ConfigError

CUT = [b"\x80\x02}q\x00X", b"\x80\x02.", b"", b"\x80\x02a", b"\x80\x02q\x00", pickle.dumps([1.5], 2)[:-5]]
"""Each raises another kind of error in torch.load."""


@pytest.fixture(params=CUT, ids=repr)
def file(request, tmp_path) -> Path:
    path = tmp_path / "tensors.pt"
    path.write_bytes(request.param)
    return path


def test_weights(file):
    from torch import nn

    with pytest.raises(ConfigError, match=r"weights_path: .*tensors\.pt"):
        load_weights(nn.Linear(1, 1), str(file))


def test_labels(file):
    with pytest.raises(ConfigError, match=r"noisy_labels: .*tensors\.pt"):
        read_noisy_labels(str(file), None, np.zeros(3, dtype=np.int64), 2)


def test_checkpoints_whose_checksum_is_right(file, tmp_path):
    """No accident makes such a one."""
    from runs.checkpoints import MARK

    content = file.read_bytes()
    checkpoint = tmp_path / "last.ckpt"
    checkpoint.write_bytes(content + MARK + hashlib.sha256(content).digest())
    with pytest.raises(DamagedCheckpoint, match=r"last\.ckpt"):
        load_checkpoint(checkpoint)
