"""Tables in HTML: readable without any script."""

from __future__ import annotations

from collections.abc import Sequence

from comparison.table import Table, Text
from utils.html import list_notes, safe

MOST_ROWS, MOST_TABLES = 300, 40


def write_tables(tables: Sequence[Table]) -> str:
    """Return the tables, the best of a column in bold; where there are too many, how many more."""
    results = [table for table in tables if not table.of_all]
    parts = list(map(_table, results[:MOST_TABLES]))
    if len(results) > MOST_TABLES:
        parts.append(f"<p>and {len(results) - MOST_TABLES:,} more tables: --markdown FILE or --csv FILE has all</p>")
    return "\n".join([*parts, *(_table(table) for table in tables if table.of_all)])


def _table(table: Table) -> str:
    head = "".join(f"<th scope=col{_exact(each, table)}>{safe(each)}</th>" for each in table.header)
    rows = [_row(row, table, number in table.rule_before) for number, row in enumerate(table.rows[:MOST_ROWS])]
    notes = list(table.notes)
    if len(table.rows) > MOST_ROWS:
        notes.append(f"and {len(table.rows) - MOST_ROWS:,} more rows: --markdown FILE or --csv FILE has all")
    if any(each.bold for row in table.rows for each in row):
        notes.append("bold: the best of its column")
    region = f"<div class=wide tabindex=0 role=region aria-label='{safe(table.title)}'>"
    return (
        f"<h3{_exact(table.title, table)}>{safe(table.title)}</h3>{region}<table>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>{list_notes(notes)}"
    )


def _row(row: Sequence[Text], table: Table, ruled: bool) -> str:
    first, *rest = row
    cells = "".join(f"<td{_exact(each.text, table)}>{_cell(each)}</td>" for each in rest)
    head = f"<th scope=row{_exact(first.text, table)}>{_cell(first)}</th>"
    return f"<tr{' class=ruled' if ruled else ''}>{head}{cells}</tr>"


def _cell(text: Text) -> str:
    return f"<strong>{safe(text.text)}</strong>" if text.bold else safe(text.text)


def _exact(text: str, table: Table) -> str:
    """Return the attribute that tells all digits of a text's numbers where a pointer rests on it."""
    return f' title="{safe(table.exact[text])}"' if text in table.exact else ""
