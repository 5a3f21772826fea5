"""Tables as a terminal shows them, and in Markdown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from comparison.tables import Table, Text
from utils.types import printable

MOST_ROWS, MOST_TABLES = 60, 12
"""Limits of a terminal; files have everything."""
GAP = "  "
"""Between two columns in a terminal."""
_MARKDOWN = str.maketrans({"|": r"\|", "\\": r"\\", "*": r"\*", "_": r"\_", "`": r"\`", "<": "&lt;"})


def to_terminal(tables: Sequence[Table], notes: Sequence[str], width: int | None = None) -> str:
    """Return aligned columns, with a * at the best of each.

    Args:
        width: characters of a line; columns that do not fit stand in a block below. None for lines of any length.
    """
    results = [table for table in tables if not table.of_all]
    shown = [_terminal(table, width) for table in results[:MOST_TABLES]]
    if len(results) > MOST_TABLES:
        shown.append(f"and {len(results) - MOST_TABLES:,} more tables: --markdown FILE or --csv FILE has all")
    shown += [_terminal(table, width) for table in tables if table.of_all]
    return "\n".join([*map(printable, notes), "", "\n\n".join(shown)])


def _terminal(table: Table, width: int | None) -> str:
    table = _without_columns(table, table.in_files)
    rows = [[printable(text.text) + ("*" if text.bold else "") for text in row] for row in table.rows[:MOST_ROWS]]
    header = [printable(name) for name in table.header]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    blocks = [
        _block(header, rows, widths, chosen, table.rule_before) for chosen in _columns_of_blocks(table, widths, width)
    ]
    notes = list(table.notes)
    if len(table.rows) > MOST_ROWS:
        notes.insert(0, f"and {len(table.rows) - MOST_ROWS:,} more rows: --markdown FILE or --csv FILE has all")
    if any(text.bold for row in table.rows for text in row):
        notes.append(f"* {table.starred}")
    return "\n".join([printable(table.title), "\n\n".join(blocks), *map(printable, notes)])


def _without_columns(table: Table, columns: Collection[int]) -> Table:
    kept = [number for number in range(len(table.header)) if number not in columns]
    rows = tuple(tuple(row[number] for number in kept) for row in table.rows)
    return replace(table, header=tuple(table.header[number] for number in kept), rows=rows)


def _columns_of_blocks(table: Table, widths: Sequence[int], width: int | None) -> list[list[int]]:
    """Return the columns of each block: all begin with the labels of the rows; one that is too wide has its own."""
    first = list(range(table.places))
    blocks = [[*first]]
    for column in range(table.places, len(widths)):
        needed = sum(widths[other] + len(GAP) for other in blocks[-1]) + widths[column]
        if width is not None and needed > width and len(blocks[-1]) > table.places:
            blocks.append([*first])
        blocks[-1].append(column)
    return blocks


def _block(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: Sequence[int],
    columns: Sequence[int],
    rule_before: Iterable[int],
) -> str:
    def line(texts: Sequence[str]) -> str:
        return GAP.join(texts[column].ljust(widths[column]) for column in columns).rstrip()

    lines = [line(row) for row in rows]
    rule = "-" * (sum(widths[column] for column in columns) + len(GAP) * (len(columns) - 1))
    for place in sorted(rule_before, reverse=True):
        lines.insert(place, rule)
    return "\n".join([rule, line(header), rule, *lines, rule])


def to_markdown(tables: Sequence[Table], notes: Sequence[str]) -> str:
    parts = ["\n".join(f"- {_plain(note)}" for note in notes), *map(_markdown, tables)]
    return "\n\n".join(parts) + "\n"


def _markdown(table: Table) -> str:
    def cell(text: Text) -> str:
        return f"**{_plain(text.text)}**" if text.bold else _plain(text.text)

    rows = [map(_plain, table.header), ["---"] * len(table.header), *(map(cell, row) for row in table.rows)]
    lines = [f"### {_plain(table.title)}", "", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join([*lines, *(f"\n{_plain(note)}" for note in table.notes)])


def _plain(text: str) -> str:
    return printable(text).translate(_MARKDOWN)
