"""The environment of a run: device, versions, commit; and which changes of it may change a result."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from configuration.schema import Configuration

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "timm", "numpy", "pillow", "scikit-learn")
FULL_PRECISION = ("cpu", "mps", "tpu")
"""Accelerators on which `precision: auto` is float32."""


def environment(device: str, precision: str, data_fingerprint: str) -> dict[str, Any]:
    """Return what else a result depends on: a fixed list, never a dump of the environment."""
    import torch

    return {
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "runtime": runtime(),
        "python": sys.version.split()[0],
        "packages": {name: package_version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": processor_name(),
        "device": device,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "data_fingerprint": data_fingerprint,
    }


def processor_name() -> str:
    """Return the model of the processor, as exactly as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


HARMLESS = (
    *("started", "continued", "runtime", "git_changed", "data_fingerprint", "platform"),
    *("code", "code_accepted", "resolved", "weights"),
)
"""Facts that may change without a warning; other data are another run."""


def changed_facts(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what differs in two records of an environment and can change a result, each as before and now."""
    flat_before, flat_now = ({**facts, **facts["packages"]} for facts in (before, now))
    names = [name for name in flat_now if name not in (*HARMLESS, "packages")]
    return {name: (flat_before.get(name), flat_now[name]) for name in names if flat_before.get(name) != flat_now[name]}


def runtime() -> str:
    """Return "colab" or "local", the thesis's column."""
    return "colab" if "COLAB_RELEASE_TAG" in os.environ or "google.colab" in sys.modules else "local"


def package_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def automatic_precision(accelerator: str) -> str:
    """Return bfloat16 where the GPU computes it, float16 on older ones, float32 elsewhere."""
    if accelerator in FULL_PRECISION:
        return "32-true"
    import torch

    if not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"


def precision_here(config: Configuration) -> str:
    """Return the precision of a run on this machine."""
    return automatic_precision(config.accelerator) if config.precision == "auto" else config.precision
