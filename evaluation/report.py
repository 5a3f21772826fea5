"""report.html: a self-contained page with all evaluations of a run."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from pathlib import Path

from configuration.settings import show
from evaluation.findings import INTERVAL, Figure, Findings, Table
from evaluation.glossary import meaning
from evaluation.record import Conditions, Evaluated, Record
from runs.folder import RunFolder
from utils.files import DamagedFile, read_regular, write_atomically
from utils.html import allowed_text, list_notes, page_style, page_template, safe

FILE = "report.html"
MOST_ROWS = 300
MOST_FIGURE_BYTES = 1 << 25
PNG = b"\x89PNG\r\n\x1a\n"
"""First bytes of every PNG."""
NARROWEST = 680
"""Pixels; narrower figures are not shrunk, as their words could not be read."""
PARAMS_OF = {"dataset": "data_params", "loss_function": "loss_params"}
"""Settings whose parameters have a key of another name."""
SHOWN_IF_NULL = ("lr_scheduler",)
POLICY = "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'"


def write_report(record: Record, folder: Path) -> Path:
    """Write the page of a record beside its evaluation.json, and return its path."""
    facts = record.facts
    style = page_style() + Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    several = len({_versions(each.conditions) for each in record.evaluated.values()}) > 1
    text = page_template(Path(__file__).parent / FILE).substitute(
        policy=f"{POLICY}; style-src {allowed_text(style)}",
        title=safe(f"{facts['run']}: {facts['on']}"),
        style=style,
        notes=list_notes(_introduction(record)),
        run=_run(record, RunFolder(folder.parent)),
        links=" ".join(f'<a href="#{safe(name)}">{safe(_heading(name))}</a>' for name in record.evaluated),
        sections="\n".join(_section(name, evaluated, several) for name, evaluated in record.evaluated.items()),
    )
    path = folder / FILE
    write_atomically(path, text)
    return path


def _introduction(record: Record) -> list[str]:
    facts = record.facts
    selected = f"weights of epoch {facts['epoch'] + 1}, selected on {facts['selected_on']}"
    lines = [
        f"{facts['images']:,} images of {facts['on']}; {facts['loss_function']}; {selected}; one seed",
        *facts["notes"],
        *(f"skipped: {line}" for line in facts.get("left_out", ())),
    ]
    if any(number.low is not None for each in record.evaluated.values() for number in each.findings.results.values()):
        lines.append(INTERVAL)
    if not facts["finished"]:
        lines.insert(0, "warning: the run is not finished; its best weights so far are evaluated")
    if not facts["calibrated"]:
        lines.insert(0, "warning: the probabilities of this loss are a convention, not a posterior; see its card")
    return lines


def _run(record: Record, folder: RunFolder) -> str:
    """Return the settings of the run, and its whole configuration."""
    settings = record.facts["settings"]
    rows = {}
    for key, value in settings.items():
        if key.endswith("_params") or (value is None and key not in SHOWN_IF_NULL):
            continue
        rows[key.replace("_", " ")] = show(value)
        if (params := settings.get(PARAMS_OF.get(key, f"{key}_params"))) is not None:
            rows[key.replace("_", " ")] += f" ({show(params)[1:-1] or 'default parameters'})"
    rows["versions"] = "; ".join(dict.fromkeys(_versions(each.conditions) for each in record.evaluated.values()))
    body = "".join(f"<tr><th scope=row>{safe(name)}</th><td>{safe(text)}</td></tr>" for name, text in rows.items())
    whole = ""
    if folder.config.is_file():
        text = safe(folder.config.read_text(encoding="utf-8"))
        whole = f"<details><summary>config.yml, as it ran</summary><div class=wide><pre>{text}</pre></div></details>"
    return f"<section id=run><h2>The run</h2><table class=run><tbody>{body}</tbody></table>{whole}</section>"


def _versions(conditions: Conditions) -> str:
    return ", ".join(f"{name} {version}" for name, version in conditions.packages.items() if version)


def _section(name: str, evaluated: Evaluated, with_versions: bool) -> str:
    """Args: with_versions: name this evaluation's, as others have other ones."""
    findings, at = evaluated.findings, evaluated.conditions
    conditions = [at.device, at.precision, at.evaluated, _versions(at) if with_versions else ""]
    params = [f"{key}: {show(value)}" for key, value in evaluated.params.items()]
    lead = [f"{evaluated.seconds:.1f} s", ", ".join(filter(None, conditions)), ", ".join(params)]
    parts = [
        f"<p class=lead>{safe('; '.join(filter(None, lead)))}</p>",
        _numbers(name, findings),
        list_notes(findings.notes),
        *(_figure(figure, name) for figure in findings.figures),
        *map(_table, findings.tables),
    ]
    return f'<section id="{safe(name)}"><h2>{safe(_heading(name))}</h2>{"".join(parts)}</section>'


def _heading(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _numbers(evaluation: str, findings: Findings) -> str:
    """Return the numbers with their descriptions; a number of an older version may have none."""
    if not findings.results:
        return ""
    rows = []
    for name, number in findings.results.items():
        entry = meaning(evaluation, name)
        rows.append(
            f"<th scope=row>{safe(name)}</th><td>{safe(number.text)}</td>"
            f"<td class=better>{f'{number.better} is better' if number.better else ''}</td>"
            f"<td class=meaning>{safe(entry.text) if entry else ''}</td>"
        )
    return _wide_table(("number", "value", "", "description"), rows, " class=numbers")


def _wide_table(header: Sequence[str], rows: Iterable[str], attributes: str = "") -> str:
    """Return a table in a box that scrolls if it is wider. Args: rows: cells in HTML."""
    head = "".join(f"<th scope=col>{safe(name)}</th>" for name in header)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<div class=wide><table{attributes}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _figure(figure: Figure, section: str) -> str:
    """Return a figure in a box that scrolls if it is wider; a checkbox shows its full size."""
    try:
        content = _read_png(figure.path)
    except (OSError, DamagedFile) as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else "is no figure of this evaluation"
        return f"<p class=warning>{safe(figure.path.name)} {reason}</p>"
    caption = safe(figure.caption)
    data = base64.b64encode(content).decode("ascii")
    image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
    box = f"<div class=wide tabindex=0 role=region aria-label='{caption}'>{image}</div>"
    hint = "<p class=scrolls>\N{LEFT RIGHT ARROW} wider than shown: scroll or use arrow keys</p>"
    wider = int.from_bytes(content[16:20]) >= NARROWEST  # a PNG begins with its header, and that with its width
    name = f"full-{safe(section)}-{safe(figure.path.stem)}"
    full = f"<input type=checkbox id={name}> <label for={name}>full size</label>"
    return f"<figure><figcaption>{caption}</figcaption>{hint if wider else ''}{full}{box}</figure>"


def _read_png(path: Path) -> bytes:
    """Read a figure in the evaluation's own folder: the page may be sent to someone.

    Raises: OSError; DamagedFile for a link, which may lead to any file, and for a file that is not a PNG.
    """
    if path.is_symlink() or path.parent.is_symlink():
        raise DamagedFile(f"{path.name} is a link")
    content = read_regular(path, MOST_FIGURE_BYTES)
    if not content.startswith(PNG):
        raise DamagedFile(f"{path.name} is no PNG")
    return content


def _table(table: Table) -> str:
    rows = ("".join(f"<td>{safe(cell)}</td>" for cell in row) for row in table.rows[:MOST_ROWS])
    more = len(table.rows) - MOST_ROWS
    rest = f"<p class=lead>and {more:,} more rows in evaluation.json</p>" if more > 0 else ""
    opened, whole = " open" * (len(table.rows) <= 20), _wide_table(table.header, rows) + rest
    return f"<details{opened}><summary>{safe(table.title)} ({len(table.rows):,})</summary>{whole}</details>"
