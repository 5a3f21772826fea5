"""The page put together: tables, style, scripts and, as data that no browser runs, what these show."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from comparison.notes import notes
from comparison.page.predictions import (
    SharedTest,
    choose_images,
    describe_classes,
    describe_images,
    disagreements,
    read_shared_tests,
)
from comparison.page.runs import Shown, describe_curves, describe_groups, describe_runs, shorten
from comparison.page.thumbnails import MOST, Unreadable, draw_thumbnails, open_data
from comparison.page.verdicts import describe_ranks, describe_verdicts
from comparison.panels import Comparison
from comparison.tables import Table, Text, build_tables
from utils.html import allowed_text, list_notes, page_style, page_template, safe
from utils.logs import presentable

MOST_ROWS, MOST_TABLES = 300, 40
HERE = Path(__file__).parent


def write_page(comparison: Comparison) -> str:
    """Return the page. It asks for nothing from anywhere, and its policy forbids that it could.

    The policy runs our script and plotly's by their hashes, and allows our style and the empty one that plotly fills.
    """
    from plotly.offline import get_plotlyjs

    style, plotly = page_style(), get_plotlyjs()
    parts = [(HERE / name).read_text(encoding="utf-8") for name in ("tables.js", "charts.js", "verdicts.js")]
    script = '"use strict";\n' + "\n".join(parts)
    policy = (
        f"default-src 'none'; img-src data:; style-src {allowed_text(style)} {allowed_text('')}; "
        f"script-src {allowed_text(plotly)} {allowed_text(script)}; base-uri 'none'; form-action 'none'"
    )
    data, count = describe(comparison), len(comparison.selection.runs)
    return page_template(HERE / "page.html").substitute(
        policy=policy,
        title=safe(f"{count:,} run{'s'[: count > 1]} compared by {comparison.options.metric}"),
        notes=list_notes(notes(comparison)),
        tables=write_tables(build_tables(comparison)),
        style=style,
        plotly=plotly,
        script=script,
        data=_embed(data),
        **{f"{part}_notes": list_notes(lines) for part, lines in data["notes"].items()},
    )


def describe(comparison: Comparison) -> dict[str, Any]:
    """Return groups, runs, curves, classes and images as the scripts show them, and notes on each part.

    A group or run is known by its number in `groups` or `runs`; texts are as in the tables.
    """
    view = Shown(comparison)
    curves, notes_on_curves = describe_curves(view)
    tests, left_out = read_shared_tests(view)
    described = [_describe_test(shared, view, MOST // len(tests)) for shared in tests]
    runs = describe_runs(view)
    units = {name: comparison.unit(name) for name in (*runs["numbers"], *curves["metrics"])}
    return {
        "metric": comparison.options.metric,
        "names": {name: {"title": unit.heading(name), "share": unit.is_share} for name, unit in units.items()},
        "groups": describe_groups(view),
        "runs": runs,
        "curves": curves,
        "verdicts": [each for one in (comparison, *comparison.others) for each in describe_verdicts(one)],
        "ranks": describe_ranks(comparison),
        "classes": [classes for classes, _, _ in described],
        "images": [images for _, images, _ in described],
        "notes": {
            "runs": view.notes,
            "curves": notes_on_curves,
            "predictions": shorten([*left_out, *(note for _, _, notes in described for note in notes)]),
        },
    }


def _describe_test(shared: SharedTest, view: Shown, room: int) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Return the classes and the images, `room` at most, of one set of test images, and notes."""
    pairs = disagreements(shared)
    chosen = choose_images(pairs, room)
    pictures, names, notes = dict.fromkeys(chosen), shared.recorded_names, []
    try:
        data = open_data(shared)
        names = data.classes
        pictures, notes = draw_thumbnails(shared, data.test, chosen)
    except Unreadable as reason:
        notes.append(f"no images{'' if names else ' and no names of classes'}: {reason}")
    classes, more = describe_classes(shared, view, names)
    return classes, describe_images(shared, pairs, pictures, names), [*more, *notes]


def _embed(data: dict[str, Any]) -> str:
    """Return JSON in which nothing ends the element that it stands in, whatever names say, and secrets are covered."""
    texts: dict[str, str] = {}
    _each_text(data, lambda text: texts.setdefault(text, text.replace("\n", r"\n")))
    covered = presentable("\n".join(texts.values())).split("\n")  # at once, as looking for secrets is slow
    shown = dict(zip(texts, covered, strict=True))
    text = json.dumps(_each_text(data, shown.__getitem__), allow_nan=False, separators=(",", ":"))
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """Return a value with all texts within it changed, keys among them."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {_each_text(key, change): _each_text(inner, change) for key, inner in value.items()}
    return [_each_text(inner, change) for inner in value] if isinstance(value, list) else value


def write_tables(tables: Sequence[Table]) -> str:
    """Return the tables, readable without scripts: the best of a column in bold, and how many there are beyond."""
    results = [table for table in tables if not table.of_all]
    parts = list(map(_table, results[:MOST_TABLES]))
    if len(results) > MOST_TABLES:
        parts.append(f"<p>and {len(results) - MOST_TABLES:,} more tables: --markdown FILE or --csv FILE has all</p>")
    return "\n".join([*parts, *(_table(table) for table in tables if table.of_all)])


def _table(table: Table) -> str:
    def element(name: str, text: Text) -> str:
        exact = f' title="{safe(table.exact[text.text])}"' if text.text in table.exact else ""
        shown = f"<strong>{safe(text.text)}</strong>" if text.bold else safe(text.text)
        return f"<{name}{exact}>{shown}</{name.partition(' ')[0]}>"

    def row(texts: Sequence[Text], number: int) -> str:
        ruled = " class=ruled" if number in table.rule_before else ""
        cells = "".join(element("td", text) for text in texts[1:])
        return f"<tr{ruled}>{element('th scope=row', texts[0])}{cells}</tr>"

    head = "".join(element("th scope=col", Text(name)) for name in table.header)
    body = "".join(row(texts, number) for number, texts in enumerate(table.rows[:MOST_ROWS]))
    notes = list(table.notes)
    if len(table.rows) > MOST_ROWS:
        notes.append(f"and {len(table.rows) - MOST_ROWS:,} more rows: --markdown FILE or --csv FILE has all")
    if any(text.bold for texts in table.rows for text in texts):
        notes.append(f"bold: {table.starred}")
    return (
        f"{element('h3', Text(table.title))}<div class=wide tabindex=0 role=region aria-label='{safe(table.title)}'>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{list_notes(notes)}"
    )
