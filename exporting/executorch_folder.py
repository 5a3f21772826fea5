"""Target `executorch`: a program for phones, its layers by XNNPACK, checked by ExecuTorch's own runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from exporting.checking import Model, ask, check_reduced, in_words
from exporting.checking import check_full as check
from exporting.deployed import Decoded
from exporting.onnx_folder import write_check, write_description, write_readme
from exporting.onnx_model import last_cause, quiet
from exporting.source import Source
from utils.types import ConfigError

README = """# {name}

An ExecuTorch program: uint8 pixels [1, C, h, w] in, the answers of its loss ({loss}) out, in the order scores,
probabilities, prediction, confidence. `model.json` says the rest. {rejected} Before the program sees an image:

{steps}

{checked}, by ExecuTorch's runtime for Python on the machine that made it. It was not run on a phone. There, first load
`check/pixels.bin` (uint8, image after image), run each image, and compare with `check/expected.json`: `prediction`
must be equal, `probabilities` within its `tolerance`. {images}
"""


def executorch_folder(source: Source, folder: Path) -> list[str]:
    """Write the folder. Raises: ConfigError for what no program can hold; CheckFailed."""
    file, sample = folder / "model.pte", source.sample
    model = lower(source.deployed, sample.pixels, file)
    checked = check(model, sample, source.loss, source.classes, "executorch")
    if source.request.is_reduced("executorch"):
        reduced = to_int8(source.deployed, source.calibration.pixels)
        model = lower(reduced, sample.pixels, file)
        points = source.request.allow
        checked = check_reduced(model, sample, source.classes, "executorch, 8 bits", points)
        checked["int8"] = "weights and activations"
    write_check(source, folder, lambda pixels: ask(model, pixels))
    write_description(source, folder, file.name, file.read_bytes(), checked)
    write_readme(source, folder, README, checked)
    return [in_words(checked), f"{file.name}  {file.stat().st_size / 1e6:.1f} MB"]


def lower(module: torch.nn.Module, pixels: np.ndarray, file: Path) -> Model:
    """Write a program for one image and return it, run by ExecuTorch. Raises: ConfigError with the last cause."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    example = (torch.from_numpy(pixels[:1].copy()),)
    try:
        with torch.no_grad(), quiet():
            traced = torch.export.export(module, example, strict=False)
            program = to_edge_transform_and_lower(traced, partitioner=[XnnpackPartitioner()]).to_executorch()
    except (RuntimeError, NotImplementedError, ValueError, TypeError) as error:
        raise ConfigError(f"executorch: this run cannot be exported: {last_cause(error)}") from None
    file.write_bytes(program.buffer)
    loaded = Runtime.get().load_program(file)
    method: Any = loaded.load_method("forward")

    def model(images: np.ndarray) -> Decoded:
        rows = [method.execute([torch.from_numpy(image[None].copy())]) for image in images]
        columns = zip(*rows, strict=True)
        return Decoded(*(np.concatenate([part.numpy().copy() for part in column]) for column in columns))

    return model


def to_int8(module: torch.nn.Module, images: np.ndarray) -> torch.nn.Module:
    """Return a module with weights and activations of 8 bits, their ranges taken from images."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    with torch.no_grad(), quiet():
        traced = torch.export.export(module, (torch.from_numpy(images[:1].copy()),), strict=False).module()
        quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
        prepared = prepare_pt2e(traced, quantizer)
        for image in images:
            prepared(torch.from_numpy(image[None].copy()))
        return convert_pt2e(prepared)
