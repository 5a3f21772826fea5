"""Targets of an export, by name: what a run can become elsewhere.

To add one: write its file and add its line to `TARGETS`. The file holds a function `(source, folder) -> list[str]` that
checks what it made against the run's own answers, writes into the empty folder, and returns lines of a report.
"""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

from utils.lookup import did_you_mean


class Target(NamedTuple):
    """A line of the table.

    Args:
        location: where its function is defined, as "module:name".
        summary: what it writes.
        modules: importable name -> package, of what it needs besides requirements.txt.
        reduced: it can be made with weights and activations of 8 bits.
    """

    location: str
    summary: str
    modules: dict[str, str]
    reduced: bool = False

    def missing(self) -> list[str]:
        """Return the packages that are not installed."""
        return [package for module, package in self.modules.items() if importlib.util.find_spec(module) is None]


ONNX = {"onnx": "onnx", "onnxscript": "onnxscript", "onnxruntime": "onnxruntime"}
TARGETS = {
    "onnx": Target(
        "exporting.onnx_folder:onnx_folder",
        "model.onnx, pixels in and the loss's own answers out, with predict_onnx.py, which needs no torch",
        ONNX,
        reduced=True,
    ),
    "page": Target(
        "exporting.page:page",
        "page.html, which classifies photos in a browser, on a phone too, offline",
        ONNX,
        reduced=True,
    ),
    "executorch": Target(
        "exporting.executorch_folder:executorch_folder",
        "model.pte for phones, with XNNPACK",
        {"executorch": "executorch", "torchao": "torchao"},
        reduced=True,
    ),
    "hub": Target(
        "exporting.hub:hub",
        "config.json, model.safetensors and a model card; timm loads its own networks from there",
        {"safetensors": "safetensors", "huggingface_hub": "huggingface_hub"},
    ),
    "weights": Target(
        "exporting.hub:weights",
        "model.safetensors, the network's weights by name",
        {"safetensors": "safetensors"},
    ),
}
"""In the order in which they are shown."""


def target_problem(name: str) -> str | None:
    """Return what is wrong with a target's name, or that a package is missing; None if it can be made."""
    if name not in TARGETS:
        return f"unknown target {name!r}{did_you_mean(name, TARGETS)} (python export.py --list)"
    if missing := TARGETS[name].missing():
        return f"{name} needs {', '.join(missing)}: pip install -r requirements-export.txt"
    return None


def list_targets() -> str:
    """Return each target with what it writes, what it needs and whether that is installed; imports nothing heavy."""
    width = max(map(len, TARGETS))
    lines = []
    for name, target in TARGETS.items():
        state = f"missing: {', '.join(missing)}" if (missing := target.missing()) else "installed"
        lines.append(f"  {name:<{width}}  {target.summary}")
        lines.append(f"  {'':<{width}}    needs {', '.join(target.modules.values())} ({state})")
    return "\n".join([*lines, "\nwhat is missing: pip install -r requirements-export.txt"])
