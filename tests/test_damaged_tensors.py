"""Files of tensors that are cut off in the midst of a number, as fuzzing found them: reported in a line."""

from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest
from torch import nn

from datasets.label_noise import read_noisy_labels
from models.weights import load_weights
from runs.checkpoints import MARK, DamagedCheckpoint, load_checkpoint
from utils.types import ConfigError

CUT = [b"\x80\x02}q\x00X", b"\x80\x02.", b"", b"\x80\x02a", b"\x80\x02q\x00", pickle.dumps([1.5], 2)[:-5]]
"""Each raises another kind of error in torch.load."""


@pytest.mark.parametrize("content", CUT, ids=repr)
def test_a_cut_file_is_reported_in_a_line_wherever_it_is_read(content, tmp_path):
    path, checkpoint = tmp_path / "tensors.pt", tmp_path / "last.ckpt"
    path.write_bytes(content)
    checkpoint.write_bytes(content + MARK + hashlib.sha256(content).digest())  # no accident makes such a one
    with pytest.raises(ConfigError, match=r"weights_path: .*tensors\.pt"):
        load_weights(nn.Linear(1, 1), str(path))
    with pytest.raises(ConfigError, match=r"noisy_labels: .*tensors\.pt"):
        read_noisy_labels(str(path), None, np.zeros(3, dtype=np.int64), 2)
    with pytest.raises(DamagedCheckpoint, match=r"last\.ckpt"):
        load_checkpoint(checkpoint)
