"""Parts of HTML pages that need nothing from anywhere: escaped text, notes, style."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from pathlib import Path

from utils.logs import presentable


def safe(text: str) -> str:
    """Return a text as markup that shows it as it is, secrets covered."""
    return escape(presentable(text))


def list_notes(notes: Sequence[str]) -> str:
    items = (f"<li{' class=warning' if note.startswith('warning') else ''}>{safe(note)}</li>" for note in notes)
    return f"<ul class=notes>{''.join(items)}</ul>" if notes else ""


def page_style() -> str:
    """Return how pages look, in light and in dark surroundings, on wide and narrow screens and on paper."""
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def allowed_text(text: str) -> str:
    """Return what allows this very text to a browser, and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
