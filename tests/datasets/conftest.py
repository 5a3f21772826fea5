"""Real samples for the tests, where the checkout has them beside it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SAMPLES = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Lay out a real sample by its name, once a session; gives the folder around it."""
    folder = tmp_path_factory.mktemp("samples")
    done = set()

    def lay_out(name: str) -> Path:
        if not (SAMPLES / "unpack.py").is_file():
            pytest.skip(f"no real samples: {SAMPLES} is absent")
        if name not in done:
            subprocess.run([sys.executable, SAMPLES / "unpack.py", folder, name], check=True, capture_output=True)
            done.add(name)
        return folder

    return lay_out
