"""The description of an exported model: everything that a program needs and the graph does not hold."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from evaluation.subject import Subject
from exporting.sample import preparation
from losses.contract import REJECTED
from runs.environment import package_version

FORMAT = 1
PACKAGES = ("torch", "torchvision", "timm", "onnx", "onnxscript", "onnxruntime", "executorch", "torchao", "safetensors")
GRAY = (19595, 38470, 7471)
"""Weights of red, green and blue, in 65,536ths."""


def describe(subject: Subject) -> dict[str, Any]:
    """Return the description without paths, hosts and users, for model.json and a model's own metadata."""
    preprocessing, loss, config = preparation(subject), subject.classifier.loss, subject.config
    assert preprocessing.size is not None
    height, width = preprocessing.size
    text = loss.kind == "sequence"
    steps = [
        "turn the image upright as its EXIF orientation says",
        "blend transparency over white; take no colour profile into account",
        f"resize to {width} x {height} pixels, aspect ratio not kept: bilinear with antialiasing, half-pixel centres, "
        "in integers of 15 bits, first the width, rounded to whole levels, then the height",
    ]
    if preprocessing.grayscale:
        steps.append("to gray: (19595 red + 38470 green + 7471 blue + 32768) >> 16")
    mean, std = preprocessing.mean, preprocessing.std
    return {
        "format": FORMAT,
        "kind": loss.kind,
        "classes": [str(name) for name in subject.classes],
        "rejected": REJECTED,
        "calibrated": bool(loss.calibrated),
        "score_scale": loss.score_scale,
        "loss": {"name": bare(config.loss_function), "params": without_paths(config.loss_params)},
        "architecture": bare(config.architecture),
        "dataset": bare(config.dataset),
        "input": {
            "name": "pixels",
            "dtype": "uint8",
            "layout": "NCHW",
            "channels": preprocessing.channels,
            "height": height,
            "width": width,
            "gray": list(GRAY) if preprocessing.grayscale else None,
            "normalized_in_graph": None if mean is None or std is None else {"mean": list(mean), "std": list(std)},
        },
        "before_input": steps,
        "outputs": {
            "scores": "of the network",
            "probabilities": "of each character and, last, of none, at each step" if text else "of each class",
            "prediction": f"characters, then {REJECTED}" if text else f"a class from 0, or {REJECTED}: none of them",
            "confidence": "higher is surer",
        },
        "run": {
            "name": subject.folder.path.resolve().name,
            "epoch": subject.epoch + 1,
            "finished": subject.folder.is_finished,
            "selected_on": config.select_on,
            "seed": config.seed,
        },
        "versions": {name: version for name in PACKAGES if (version := package_version(name)) is not None},
    }


def bare(name: str) -> str:
    """Return a name, of code of the user's own without the folder of its file."""
    return re.split(r"[/\\](?=[^/\\]*\.py:)", name)[-1]


def without_paths(value: Any) -> Any:
    """Return parameters without texts that may be paths."""
    if isinstance(value, dict):
        return {key: without_paths(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_paths(inner) for inner in value]
    return None if isinstance(value, str) and ("/" in value or "\\" in value) else value


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
