"""Size and latency of a run's models as export.py left them, beside those of the network itself."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

FOLDERS = {"onnx": "onnx", "onnx_int8": "onnx-int8"}
"""Beginning of a number's name -> folder in RUN/export."""


class Exported(NamedTuple):
    """Args: name: begins the names of its numbers. work: answers one image."""

    name: str
    file: Path
    work: Callable[[], object]


def exported_models(run: Path, shape: tuple[int, int, int]) -> Iterator[Exported]:
    """Yield the exported models of a run that can be timed here. Args: shape: of an image, [C, h, w]."""
    if importlib.util.find_spec("onnxruntime") is None:
        return
    for name, folder in FOLDERS.items():
        file = run / "export" / folder / "model.onnx"
        if file.is_file() and not file.is_symlink():
            yield Exported(name, file, _work(file, np.zeros((1, *shape), dtype=np.uint8)))


def _work(file: Path, pixels: np.ndarray) -> Callable[[], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"pixels": pixels})
