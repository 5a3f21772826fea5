"""A run as an ONNX graph, in float32 or with weights and activations of 8 bits, run by ONNX Runtime."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from exporting.checking import UNCHANGED, Model, ask, check_full, check_reduced
from exporting.deployed import OUTPUTS, Decoded, Deployed
from exporting.sample import right
from utils.types import ConfigError

if TYPE_CHECKING:
    from exporting.source import Source

METADATA = "lossbench"
MOST_BATCH = 4096
SMALLEST = 256
"""Numbers of a weight that are worth 8 bits."""
REDUCED_OPERATIONS = ["Conv", "Gemm", "MatMul"]
"""Of the network; a loss's own arithmetic stays in float32."""


class OnnxModel(NamedTuple):
    """Args: content: of the file. checked: what was compared, for model.json."""

    content: bytes
    checked: dict[str, Any]


def export_checked(source: Source, int8: bool) -> OnnxModel:
    """Export a run and check it, in float32 and then in 8 bits if asked.

    Raises: ConfigError for what no graph can hold; CheckFailed.
    """
    full = with_metadata(to_onnx(source.deployed, source.sample.pixels[:2]), source.about)
    checked = check_full(session(full), source.sample, source.loss, source.classes, "onnx")
    if not int8:
        return OnnxModel(full, checked)
    reduced, what = to_int8(full, source)
    reduced = with_metadata(reduced, source.about | {"int8": what})
    model, points = session(reduced), source.request.allow
    return OnnxModel(
        reduced, check_reduced(model, source.sample, source.classes, f"8 bits ({what})", points) | {"int8": what}
    )


def to_onnx(module: Deployed, pixels: np.ndarray) -> bytes:
    """Return a module as ONNX. Args: pixels: any, for their shape. Raises: ConfigError as `trace`."""
    return trace(module, torch.from_numpy(np.resize(pixels, (2, *pixels.shape[1:]))), "pixels")


def trace(module: nn.Module, example: torch.Tensor, name: str) -> bytes:
    """Trace a module of one input and `OUTPUTS` for any number of samples.

    Args:
        example: of two samples, as one alone would be taken for a constant.
        name: of the input.

    Raises: ConfigError with the last cause where a part of it has no counterpart in ONNX.
    """
    try:
        with torch.no_grad(), quiet():
            program: Any = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                external_data=False,
                input_names=[name],
                output_names=list(OUTPUTS),
                dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=MOST_BATCH)},),
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ConfigError(f"this run cannot be exported: {last_cause(error)}") from None
    return program.model_proto.SerializeToString()


def last_cause(error: BaseException) -> str:
    """Return the innermost error in one line, without the colours and advice of torch's."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep libraries from printing."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def with_metadata(content: bytes, about: dict[str, Any]) -> bytes:
    """Return a model with its description inside."""
    model = onnx.load_from_string(content)
    kept = [entry for entry in model.metadata_props if entry.key != METADATA]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA, json.dumps(about, ensure_ascii=False)
    for node in model.graph.node:  # lines of source code with the paths of this machine
        del node.metadata_props[:]
        node.doc_string = ""
    return model.SerializeToString()


def session(content: bytes, threads: int = 0) -> Model:
    """Return a model that ONNX Runtime runs on the CPU. Args: threads: 0 for as many as it likes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    loaded = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def model(pixels: np.ndarray) -> Decoded:
        answers: Any = loaded.run(list(OUTPUTS), {"pixels": np.ascontiguousarray(pixels)})
        return Decoded(*answers)

    return model


def to_int8(content: bytes, source: Source) -> tuple[bytes, str]:
    """Return a model of 8 bits and what has them: activations too if validation images get the same answers, which is
    faster on some devices, else the weights alone.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    images, own = source.calibration.pixels, source.calibration.answers
    with tempfile.TemporaryDirectory() as name, quiet():
        folder = Path(name)
        folder.joinpath("full.onnx").write_bytes(content)
        quant_pre_process(folder / "full.onnx", folder / "prepared.onnx", skip_symbolic_shape=True)
        quantize_static(
            folder / "prepared.onnx",
            folder / "reduced.onnx",
            _reader(images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=REDUCED_OPERATIONS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        reduced, prepared = (folder.joinpath(file).read_bytes() for file in ("reduced.onnx", "prepared.onnx"))
    unchanged = right(ask(session(reduced), images).prediction, own.prediction).mean()
    if unchanged >= UNCHANGED:
        return reduced, "weights and activations"
    return with_int8_weights(prepared), f"weights alone: with activations too, {100 * unchanged:.1f} % were unchanged"


def with_int8_weights(content: bytes) -> bytes:
    """Return a model whose convolutions and layers keep their weights in 8 bits, a scale for each output channel."""
    from onnx import helper, numpy_helper

    model = onnx.load_from_string(content)
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    axes = {
        node.input[1]: _channel_axis(node)
        for node in graph.node
        if node.op_type in REDUCED_OPERATIONS and node.input[1] in weights
    }
    nodes = []
    for name, axis in axes.items():
        values = numpy_helper.to_array(weights[name])
        if values.size < SMALLEST or values.dtype != np.float32:
            continue
        others = tuple(number for number in range(values.ndim) if number != axis)
        scale = np.maximum(np.abs(values).max(axis=others, keepdims=True) / 127, np.finfo(np.float32).tiny)
        rounded = np.rint(values / scale).astype(np.int8)
        graph.initializer.remove(weights[name])
        graph.initializer.extend(
            [
                numpy_helper.from_array(rounded, f"{name}_int8"),
                numpy_helper.from_array(scale.reshape(-1).astype(np.float32), f"{name}_scale"),
            ]
        )
        inputs = [f"{name}_int8", f"{name}_scale"]
        nodes.append(helper.make_node("DequantizeLinear", inputs, [name], axis=axis))
    for number, node in enumerate(nodes):
        graph.node.insert(number, node)
    return model.SerializeToString()


def _channel_axis(node: Any) -> int:
    """Return the axis of a node's weights that counts its output channels."""
    if node.op_type == "Conv":
        return 0
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 0 if transposed else 1


def _reader(images: np.ndarray) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        rows = iter([{"pixels": image[None]} for image in images])

        def get_next(self) -> Any:
            return next(self.rows, None)

    return Reader()
