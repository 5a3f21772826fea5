"""Puts a page together: tables, style, scripts and, as data that no browser runs, what these show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

from comparison.building import Comparison
from comparison.notes import notes
from comparison.page.data import describe
from comparison.page.markup import write_tables
from comparison.tables import build_tables
from utils.html import allowed_text, list_notes, page_style, safe
from utils.logs import presentable

HERE = Path(__file__).parent
PARTS = ("base", "axes", "runs", "details", "curves", "parallel", "scatter", "classes", "images")
"""The scripts, in the order in which they need one another."""


def write_page(comparison: Comparison) -> str:
    """Return the page. It asks for nothing from anywhere, and its policy forbids that it could."""
    style = page_style()
    parts = "\n".join((HERE / "parts" / f"{name}.js").read_text(encoding="utf-8") for name in PARTS)
    script = f'"use strict";\n{parts}'
    policy = f"default-src 'none'; img-src data:; style-src {allowed_text(style)}; script-src {allowed_text(script)}"
    data = describe(comparison)
    count = len(comparison.found.runs)
    return Template((HERE / "page.html").read_text(encoding="utf-8")).substitute(
        policy=f"{policy}; base-uri 'none'; form-action 'none'",
        title=safe(f"{count:,} run{'s'[: count > 1]} compared by {comparison.options.metric}"),
        notes=list_notes(notes(comparison)),
        tables=write_tables(build_tables(comparison)),
        style=style,
        script=script,
        data=_embedded(data),
        **{f"{part}_notes": list_notes(lines) for part, lines in data["notes"].items()},
    )


def _embedded(data: dict[str, Any]) -> str:
    """Return JSON in which nothing ends the element that it stands in, whatever names say."""
    known = {text: text.replace("\n", r"\n") for text in _texts(data)}
    shown = dict(zip(known, presentable("\n".join(known.values())).split("\n"), strict=True))
    text = json.dumps(_replace(data, shown), allow_nan=False, separators=(",", ":"))
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts within, names of a mapping's entries among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (key for key in value if isinstance(key, str))
        yield from (text for each in value.values() for text in _texts(each))
    elif isinstance(value, list):
        yield from (text for each in value for text in _texts(each))


def _replace(value: Any, texts: dict[str, str]) -> Any:
    if isinstance(value, str):
        return texts[value]
    if isinstance(value, dict):
        return {texts.get(key, key): _replace(each, texts) for key, each in value.items()}
    return [_replace(each, texts) for each in value] if isinstance(value, list) else value
