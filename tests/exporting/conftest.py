"""The browser's runtime, as npm installs it: once for a machine."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from exporting.browser_runtime import INSTALL, VERSION, runtime_problem


@pytest.fixture(scope="session")
def runtime() -> Path:
    place = Path(tempfile.gettempdir(), f"lossbench-onnxruntime-web-{VERSION}")
    dist = place / "node_modules" / "onnxruntime-web" / "dist"
    if runtime_problem(dist) is not None:
        if shutil.which("npm") is None:
            pytest.skip("npm, which installs the browser's runtime, is not here")
        place.mkdir(exist_ok=True)
        done = subprocess.run([*INSTALL.split(), "--prefix", str(place)], cwd=place, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"npm cannot install the browser's runtime: {done.stderr[-200:]}")
    assert runtime_problem(dist) is None
    return dist
