"""The page of compare.py --html in a browser: written, opened, used as a reader would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from browser import Browser, find_chromium

from comparison.page.writing import write_page
from comparison.panels import Options, compare
from comparison.sources import find_runs

PROGRAM = find_chromium()
LOSSES, SEEDS, NETWORKS = ("CrossEntropyLoss", "FocalLoss", "OneSidedMarginLoss"), 3, ("resnet10t", "test_resnet")
RUNS = len(LOSSES) * SEEDS * len(NETWORKS)
TIMES = "\N{MULTIPLICATION SIGN}"
HOSTILE = "</script><img src=x onerror=hit=1>"
ROWS = "[...document.querySelectorAll('#runs tbody tr')]"
CURVES, SCATTER, PARALLEL = (f"document.querySelector('#{name} .chart')" for name in ("curves", "scatter", "parallel"))
"""Each has what plotly draws as its `data`."""


def write(file: Path, runs: Path) -> Path:
    file.write_text(write_page(compare(find_runs([str(runs)]), Options(cost=True))), encoding="utf-8")
    return file


def complaints(browser: Browser) -> list[str]:
    """Return what went wrong, but for the style of plotly's maps, which the policy keeps out and nothing here uses."""
    blocked = "Applying inline style violates the following Content Security Policy directive"
    told = browser.complaints
    style = next((text for text in told if text.startswith(blocked)), None)
    return [text for text in told if text != style]


def column(browser: Browser, name: str) -> list[str]:
    """Return the texts of a column of the table of runs."""
    heads = browser.run("[...document.querySelectorAll('#runs thead th')].map((each) => each.textContent)")
    return browser.run(f"{ROWS}.map((row) => row.children[{heads.index(name)}].textContent)")


def click_heading(browser: Browser, name: str) -> str:
    """Return how the column is sorted then."""
    heads = "[...document.querySelectorAll('#runs thead th')]"
    head = f"{heads}.find((each) => each.textContent === {json.dumps(name)})"
    browser.run(f"{head}.querySelector('button').click()")
    return browser.run(f"{head}.getAttribute('aria-sort')")


def choose(browser: Browser, control: str, value: Any) -> None:
    """Set a control as a reader would."""
    browser.run(
        f"(() => {{ const node = {control}; node.value = {json.dumps(value)};"
        "for (const kind of ['input', 'change']) node.dispatchEvent(new Event(kind, {bubbles: true})); })()"
    )


def labelled(section: str, text: str) -> str:
    """Return the control of a section whose label begins with a text, as an expression."""
    labels = f"[...document.querySelectorAll('#{section} .controls label')]"
    return f"{labels}.find((each) => each.textContent.startsWith('{text}')).querySelector('select, input')"
