"""Docstrings as Markdown, for pages that are written from them."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

SECTIONS = ("Args", "Attributes", "Shapes", "Use", "Returns", "Raises", "Source", "Deviations")


def introduction(page: Path) -> str:
    """Return what is written by hand: the part of a page above its first section or list of links."""
    return re.split(r"^(?=## |- \[)", page.read_text(encoding="utf-8"), maxsplit=1, flags=re.MULTILINE)[0]


def sections(docstring: str) -> dict[str, str]:
    """Return heading -> text of a docstring's sections, with "" for the text before the first."""
    pieces = re.split(rf"^({'|'.join(SECTIONS)}): *", docstring, flags=re.MULTILINE)
    return {"": pieces[0].strip()} | {
        heading: text.strip("\n") for heading, text in zip(pieces[1::2], pieces[2::2], strict=True)
    }


def one_line(text: str) -> str:
    return " ".join(text.split())


def description(text: str) -> str:
    """Return paragraphs, with equations (indented in the docstring) as code."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph.startswith("    "):
            parts.append(f"```text\n{textwrap.dedent(paragraph)}\n```")
        else:
            parts.append(paragraph)
    return "\n\n".join(parts) + "\n"


def entries(text: str) -> list[tuple[str, str]]:
    """Return (names, meaning) of the lines of a section such as Args."""
    lines = textwrap.dedent("    " + text.strip("\n") if not text.startswith(" ") else text)
    joined = re.sub(r"\n +", " ", lines)
    return [(names, one_line(meaning)) for names, _, meaning in (line.partition(": ") for line in joined.splitlines())]


def as_markdown(docstring: str) -> str:
    """Return a docstring with its sections as lists and paragraphs."""
    parts = []
    for heading, text in sections(docstring).items():
        if not heading:
            parts.append(description(text))
        elif heading in ("Args", "Attributes") and "\n" in text:
            rows = "\n".join(f"- `{names}`: {meaning}" for names, meaning in entries(text))
            parts.append(f"**{heading}**\n\n{rows}\n")
        else:
            parts.append(f"**{heading}:** {one_line(text)}\n")
    return "\n".join(parts)
