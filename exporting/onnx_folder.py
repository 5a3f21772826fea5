"""Target `onnx`: a folder with the model, its description, images to check with, and a program without torch."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exporting import predict_onnx
from exporting.checking import CheckFailed, Model, in_words
from exporting.deployed import Decoded
from exporting.description import sha256
from exporting.onnx_model import session
from exporting.sample import Sample
from exporting.source import Source, as_json

README = """# {name}

An ONNX model: uint8 pixels in, the answers of its loss ({loss}) out. `model.json` says the rest.

    pip install numpy pillow onnxruntime
    python predict_onnx.py photo.jpg
    python predict_onnx.py --check

Take `prediction`, never the largest of `scores`: the loss decides what scores mean. {rejected} Classes are counted from
0, in the order of `classes` in model.json. Before the model sees an image:

{steps}

{checked}. {images}
"""
ROUNDS = 20


def onnx_folder(source: Source, folder: Path) -> list[str]:
    """Write the folder. Raises: CheckFailed."""
    model = source.onnx
    run = session(model.content, threads=1)
    check_preparation(source.sample)
    folder.joinpath("model.onnx").write_bytes(model.content)
    shutil.copy(predict_onnx.__file__, folder / "predict_onnx.py")
    pixels = write_check(source, folder, run)
    write_description(source, folder, "model.onnx", model.content, model.checked)
    write_readme(source, folder, README, model.checked)
    own, exported = latencies(source, run, pixels)
    return [
        in_words(model.checked),
        f"model.onnx  {len(model.content) / 1e6:.1f} MB, {exported:.1f} ms an image on this CPU (torch: {own:.1f})",
    ]


def check_preparation(sample: Sample) -> None:
    """Raise CheckFailed if predict_onnx.py, which goes along, prepares an image otherwise than the run did."""
    about = _input(sample)
    for position in range(len(sample)):
        file = sample.file(position)
        image = sample.original(position) if file is None else predict_onnx.load(file)
        pixels = predict_onnx.prepare(np.broadcast_to(image, (*image.shape[:2], 3)), about)
        if not np.array_equal(pixels, sample.pixels[position]):
            gap = np.abs(pixels.astype(int) - sample.pixels[position]).max()
            raise CheckFailed(f"predict_onnx.py prepares {sample.name(position)} otherwise, by {gap} levels at most")


def _input(sample: Sample) -> dict[str, Any]:
    from exporting.description import GRAY

    channels, height, width = sample.pixels.shape[1:]
    return {"input": {"channels": channels, "height": height, "width": width, "gray": GRAY}}


def write_check(source: Source, folder: Path, model: Model) -> np.ndarray:
    """Write images and the answers of this very file for them; return the images."""
    pixels = source.check_pixels()
    folder.joinpath("check").mkdir()
    folder.joinpath("check", "pixels.bin").write_bytes(pixels.tobytes())
    folder.joinpath("check", "expected.json").write_text(as_json(source.expected(model(pixels))), encoding="utf-8")
    return pixels


def write_description(source: Source, folder: Path, file: str, content: bytes, checked: dict[str, Any]) -> None:
    """Write model.json."""
    own = "test images of its data set" if source.request.check_images else "noise"
    about = source.about | {"checked": checked, "check_images": own, "file": file, "sha256": sha256(content)}
    folder.joinpath("model.json").write_text(as_json(about), encoding="utf-8")


def write_readme(source: Source, folder: Path, text: str, checked: dict[str, Any]) -> None:
    about = source.about
    steps = "\n".join(f"{number}. {step}" for number, step in enumerate(about["before_input"], 1))
    own = "`check/` holds test images of its data set, as pixels: mind its licence before you share the folder."
    images = own if source.request.check_images else "`check/` holds images of noise."
    rejected = "-1 is none of the classes." if about["kind"] == "image" else "-1 is no character."
    values = {"name": about["run"]["name"], "loss": about["loss"]["name"], "rejected": rejected, "steps": steps}
    folder.joinpath("README.md").write_text(text.format(**values, checked=in_words(checked), images=images), "utf-8")


def latencies(source: Source, model: Model, pixels: np.ndarray) -> tuple[float, float]:
    """Return milliseconds of CPU time for an image, by torch and by the exported model, taken in turn: medians."""

    def eager(image: np.ndarray) -> Decoded:
        with torch.inference_mode():
            return Decoded(*(part.numpy() for part in source.deployed(torch.from_numpy(image))))

    times: tuple[list[float], list[float]] = [], []
    for number in range(ROUNDS + 2):
        image = pixels[number % len(pixels)][None]
        for run, own in zip((eager, model), times, strict=True):
            start = time.process_time()
            run(image)
            own.append(1000 * (time.process_time() - start))
    own, exported = (float(np.median(values[2:])) for values in times)
    return own, exported
