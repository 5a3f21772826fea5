"""report.html: one page with all that evaluations found in a run, which asks for nothing from anywhere."""

from __future__ import annotations

import base64
from pathlib import Path
from string import Template

from utils.comparison.page.markup import list_notes, safe
from utils.comparison.page.writing import allowed_text, page_style
from utils.evaluation.findings import Findings, Picture, Table
from utils.evaluation.record import Evaluated, Record
from utils.files import write_atomically

FILE = "report.html"
MOST_ROWS = 300
POLICY = "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'"
PICTURE_STYLE = """
figure { margin: 14px 0; } figure img { width: auto; max-width: min(100%, 1000px); height: auto; background: #fff; }
figcaption { color: var(--muted); font-size: .9rem; }
details { margin: 12px 0; } summary { cursor: pointer; font-weight: 600; font-size: .95rem; }
"""


def write_report(record: Record, folder: Path) -> Path:
    """Write the page of a record beside its evaluation.json and return its path."""
    facts = record.facts
    style = page_style() + PICTURE_STYLE
    names = list(record.evaluated)
    text = Template((Path(__file__).parent / FILE).read_text(encoding="utf-8")).substitute(
        policy=f"{POLICY}; style-src {allowed_text(style)}",
        title=safe(f"{facts['run']}: {facts['on']}"),
        style=style,
        notes=list_notes(_introduction(record)),
        links=" ".join(f'<a href="#{safe(name)}">{safe(_heading(name))}</a>' for name in names),
        sections="\n".join(_section(name, record.evaluated[name]) for name in names),
    )
    path = folder / FILE
    write_atomically(path, text)
    return path


def _introduction(record: Record) -> list[str]:
    facts = record.facts
    selected = f"weights of epoch {facts['epoch']} (counted from 0), selected on {facts['selected_on']}"
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items() if version)
    lines = [
        f"{facts['images']:,} images of {facts['on']}; {facts['loss_function']}; {selected}; one seed",
        f"{facts['evaluated']}, {facts['device']}; {versions}",
        *(f"left out: {line}" for line in facts.get("left_out", ())),
    ]
    if not facts["finished"]:
        lines.insert(0, "warning: the run is not finished; these are its best weights so far")
    if not facts["calibrated"]:
        lines.insert(0, "warning: the probabilities of this loss are a convention, not a posterior; see its card")
    return lines


def _section(name: str, evaluated: Evaluated) -> str:
    found = evaluated.findings
    given = ", ".join(f"{key}: {value}" for key, value in evaluated.params.items())
    lead = f"<p class=lead>{evaluated.seconds:.1f} s{safe(f'; {given}') if given else ''}</p>"
    parts = [_numbers(found), list_notes(found.notes), *map(_picture, found.pictures), *map(_table, found.tables)]
    return f'<section id="{safe(name)}"><h2>{safe(_heading(name))}</h2>{lead}{"".join(parts)}</section>'


def _heading(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _numbers(found: Findings) -> str:
    rows = "".join(
        f"<tr><th scope=row>{safe(name)}</th><td>{safe(text)}</td></tr>" for name, text in found.words.items()
    )
    return f"<div class=wide><table><tbody>{rows}</tbody></table></div>" if rows else ""


def _picture(picture: Picture) -> str:
    try:
        content = picture.path.read_bytes()
    except OSError:
        return f"<p class=warning>{safe(picture.path.name)} is missing</p>"
    caption = safe(picture.caption)
    data = base64.b64encode(content).decode("ascii")
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )


def _table(table: Table) -> str:
    head = "".join(f"<th scope=col>{safe(each)}</th>" for each in table.header)
    cells = ("".join(f"<td>{safe(each)}</td>" for each in row) for row in table.rows[:MOST_ROWS])
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    more = len(table.rows) - MOST_ROWS
    rest = f"<p class=lead>and {more:,} more rows: evaluation.json has all</p>" if more > 0 else ""
    whole = f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{rest}"
    opened = " open" if len(table.rows) <= 20 else ""
    return f"<details{opened}><summary>{safe(table.title)} ({len(table.rows):,})</summary>{whole}</details>"
