"""The files of onnxruntime-web that a page holds, as npm installs them: those of one version, by their digests."""

from __future__ import annotations

import hashlib
from pathlib import Path

VERSION = "1.30.0"
FILES = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""File -> its SHA-256."""
INSTALL = f"npm install --no-save --ignore-scripts onnxruntime-web@{VERSION}"


def find_runtime(folder: Path | None) -> Path:
    """Return the folder of the runtime: the one that is named, else npm's here."""
    return folder or Path("node_modules", "onnxruntime-web", "dist")


def runtime_problem(folder: Path | None) -> str | None:
    """Return why a page cannot have its runtime, or None. Args: folder: as --runtime names it; None for npm's here."""
    place = find_runtime(folder)
    if missing := [name for name in FILES if not place.joinpath(name).is_file()]:
        option = "--to page" if folder is None else f"--runtime {folder}"
        return f"{option}: no {missing[0]} in {place}; {INSTALL}"
    for name, digest in FILES.items():
        with place.joinpath(name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                return f"{place / name}: is not that of onnxruntime-web {VERSION}; {INSTALL}"
    return None
