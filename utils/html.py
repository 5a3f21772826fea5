"""Parts of self-contained HTML pages: escaped text, notes, style."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from utils.logs import presentable


def safe(text: str) -> str:
    """Return a text escaped for HTML, with secrets covered."""
    return escape(presentable(text))


def list_notes(notes: Sequence[str]) -> str:
    items = (f"<li{' class=warning' if note.startswith('warning') else ''}>{safe(note)}</li>" for note in notes)
    return f"<ul class=notes>{''.join(items)}</ul>" if notes else ""


def page_style() -> str:
    """Return the style sheet, for light and dark mode, wide and narrow screens, and paper."""
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def allowed_text(text: str) -> str:
    """Return the source of a content security policy that allows exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def page_template(file: Path) -> Template:
    """Return the template of a page from its file, with the head that all pages share: policy, title, style, notes."""
    head = Path(__file__).with_name("page_head.html").read_text(encoding="utf-8")
    return Template(head + file.read_text(encoding="utf-8"))
