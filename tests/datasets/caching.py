"""Small images for the tests of the cache, and programs that fill it in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

from datasets.cache import CachedImages, cached_images

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (40, 64, 50, 3)
ROWS = np.arange(SHAPE[0])
ROW_BYTES = 4 + 64 * 50 * 3  # with its checksum


def image_of(row: int) -> np.ndarray:
    return np.random.default_rng(row).integers(0, 256, SHAPE[1:], dtype=np.uint8)


IMAGES = np.stack([image_of(row) for row in range(SHAPE[0])])


class Loader:
    """Load images and remember which rows were asked for."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.lock = threading.Lock()

    def __call__(self, row: int) -> np.ndarray:
        with self.lock:
            self.rows.append(row)
        return image_of(row)


def open_cache(load: Any, folder: Path, rows: np.ndarray = ROWS, key: str = "key", **changes: Any) -> CachedImages:
    options = {"where": "disk", "limit_gb": 1, "folder": folder, "name": "tiny", **changes}
    return cached_images(load, SHAPE, rows, key, **options)


PROGRAM = """
import logging, os, sys, time
from pathlib import Path
sys.path[:0] = [{root!r}, {root!r} + "/tests/datasets"]
import datasets.readers.files
from caching import *
datasets.readers.files.available_cores = lambda: 2
logging.basicConfig(level=logging.INFO, format="%(message)s")
logging.getLogger("filelock").setLevel(logging.WARNING)
folder, calls = Path(sys.argv[1]), open(sys.argv[2], "a")

def load(row):
    calls.write(f"{{row}}\\n")
    calls.flush()
    return image_of(row)

{body}
"""


def program(body: str, *arguments: object) -> subprocess.Popen[str]:
    """Start Python code that finds `folder`, `load`, which notes its calls in a file, and what stands above.

    Args:
        arguments: the cache's folder and the file of calls.
    """
    code = PROGRAM.format(root=str(ROOT), body=body)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
