"""Write docs/api.md, the losses as a library, from their docstrings and signatures: python docs/api_page.py"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT) if __name__ == "__main__" else sys.path[0]

from docs.docstrings import as_markdown, introduction  # noqa: E402 - the project's root must come first
from losses import build_loss  # noqa: E402
from losses.base import ClassificationLoss, as_probabilities  # noqa: E402
from losses.class_counts import class_counts_of, require_counts  # noqa: E402
from losses.contract import Batch, Outputs, Sequences, Task  # noqa: E402
from losses.cosine import CosineLoss  # noqa: E402
from losses.label_probability import LabelProbabilityLoss  # noqa: E402
from losses.margin import MarginLoss  # noqa: E402
from losses.wrapping import WrappingLoss  # noqa: E402
from utils.files import write_atomically  # noqa: E402

PAGE = ROOT / "docs" / "api.md"
PARTS = {
    "Build": (build_loss, Task),
    "The contract": (ClassificationLoss,),
    "Frames to build on": (
        LabelProbabilityLoss,
        MarginLoss,
        CosineLoss,
        WrappingLoss,
        as_probabilities,
        class_counts_of,
        require_counts,
    ),
    "What losses receive": (Batch, Outputs, Sequences),
}


def page() -> str:
    """Return the text of docs/api.md."""
    parts = [introduction(PAGE)[:-1]]
    for heading, things in PARTS.items():
        parts.append(f"## {heading}\n")
        for thing in things:
            parts.append(entry(thing, thing.__name__, "###"))
            for name, method in vars(thing).items() if inspect.isclass(thing) else ():
                if inspect.isfunction(method) and not name.startswith("_") and method.__doc__:
                    parts.append(entry(method, f"{thing.__name__}.{name}", "####"))
    return "\n".join(parts)


def entry(thing: Any, name: str, level: str) -> str:
    """Return the section of a class or function."""
    signature = str(inspect.signature(thing)).replace("'", "")
    return f"{level} {name}\n\n```python\n{name}{signature}\n```\n\n{as_markdown(inspect.getdoc(thing) or '')}\n"


if __name__ == "__main__":
    write_atomically(PAGE, page())
