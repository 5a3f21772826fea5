"""A run as an ExecuTorch program, run by ExecuTorch's own runtime."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

import export as script

pytest.importorskip("executorch")
pytestmark = pytest.mark.filterwarnings("ignore")  # of its libraries, on import


def test_a_program_gives_the_expected_answers(trained, capfd):
    run = trained(accelerator="cpu").path
    assert script.main([str(run), "--to", "executorch"]) == 0
    assert "359 test images: every answer is the run's own" in capfd.readouterr().out
    folder = run / "export" / "executorch"
    from executorch.runtime import Runtime

    loaded = Runtime.get().load_program(folder / "model.pte")
    method: Any = loaded.load_method("forward")
    expected = json.loads((folder / "check" / "expected.json").read_text())
    pixels = np.frombuffer((folder / "check" / "pixels.bin").read_bytes(), dtype=np.uint8).reshape(-1, 1, 8, 8)
    assert len(pixels) == expected["count"] == 8
    for image, prediction, probabilities in zip(pixels, expected["prediction"], expected["probabilities"], strict=True):
        _, theirs, answer, _ = method.execute([torch.from_numpy(image[None].copy())])
        assert answer.tolist() == [prediction]
        np.testing.assert_allclose(theirs.numpy()[0], probabilities, atol=expected["tolerance"])
    assert "It was not run on a phone" in (folder / "README.md").read_text()
