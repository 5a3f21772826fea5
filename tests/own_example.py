"""The files that docs/own_components.md shows, as they stand there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from utils import own_code

PAGE = Path(__file__).resolve().parents[1] / "docs" / "own_components.md"
BLOCK = re.compile(r"^`(\w+\.\w+)`[^\n]*:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def write_example(folder: Path) -> Path:
    """Write the page's files into a folder and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        (folder / name).write_text(text)
    return folder


def forget() -> None:
    """Forget all code of the user's own, as in a new process."""
    own_code._READ.clear()
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]
