"""Docstrings taken apart, for pages that are written from them."""

from __future__ import annotations

import re

SECTIONS = ("Args", "Shapes", "Use", "Raises", "Source", "Deviations")


def sections(docstring: str) -> dict[str, str]:
    """Return heading -> text of a docstring's sections, "" for what stands before the first."""
    pieces = re.split(rf"^({'|'.join(SECTIONS)}): *", docstring, flags=re.MULTILINE)
    return {"": pieces[0].strip()} | {
        heading: text.strip("\n") for heading, text in zip(pieces[1::2], pieces[2::2], strict=True)
    }


def one_line(text: str) -> str:
    return " ".join(text.split())
