"""Tables in LaTeX (booktabs), whatever stands in them: names come from people and files.

pandas' `to_latex` would replace the ten lines of the tabular. The escaping, which it does for a few characters only,
the width of a line, the rule above the last row and the notes would stay, and it takes a second to import.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from unicodedata import lookup

from comparison.tables import Table, Text
from utils.types import printable

PREAMBLE = ("\\usepackage[T1]{fontenc}", "\\usepackage{booktabs}", "\\usepackage{graphicx}")
"""Packages that a document with these tables needs."""
FLOATS = 24
"""Tables after which LaTeX places them; it can hold back 52."""

_GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi"
_SYMBOLS = {
    "PLUS-MINUS SIGN": "pm",
    "MULTIPLICATION SIGN": "times",
    "MIDDLE DOT": "cdot",
    "LESS-THAN OR EQUAL TO": "leq",
    "GREATER-THAN OR EQUAL TO": "geq",
    "INFINITY": "infty",
    "DAGGER": "dagger",
    "DOUBLE DAGGER": "ddagger",
    "RIGHTWARDS ARROW": "rightarrow",
    "LEFTWARDS ARROW": "leftarrow",
    **{f"GREEK SMALL LETTER {name.upper().replace('LAMBDA', 'LAMDA')}": name for name in [*_GREEK.split(), "omega"]},
}
_ESCAPED = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{sign: f"{{{sign}}}" for sign in "[]*"},  # at the head of a row they would belong to the \\ before it
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "`": r"\textasciigrave{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "\N{MINUS SIGN}": "$-$"},
    **{lookup(name): f"$\\{command}$" for name, command in _SYMBOLS.items()},
}
_MARKS = ("EN DASH", "EM DASH", "HORIZONTAL ELLIPSIS", "BULLET", "EURO SIGN", "LEFT SINGLE QUOTATION MARK")
_MARKS += ("RIGHT SINGLE QUOTATION MARK", "LEFT DOUBLE QUOTATION MARK", "RIGHT DOUBLE QUOTATION MARK")
_HAS_GLYPH = {*map(chr, range(0x20, 0x7F)), *map(chr, range(0xA1, 0x17F)), *map(lookup, _MARKS)} - {*"ĦħĸĿŀŉŦŧ"}
"""Characters that pdfLaTeX can print: English and other Latin letters, and some marks."""


def in_latex(text: str) -> str:
    """Return a text of one line as LaTeX source; a character that pdfLaTeX cannot print stands as its number."""
    signed = re.sub(r"(?<![\w-])-(?=\d)", "\N{MINUS SIGN}", printable(text))
    escaped = (_ESCAPED.get(sign) or (sign if sign in _HAS_GLYPH else f"U+{ord(sign):04X}") for sign in signed)
    return re.sub("-(?=-)", "-{}", "".join(escaped))  # two hyphens would be a dash


def to_latex(tables: Sequence[Table], notes: Sequence[str]) -> str:
    """Return table environments, none wider than a line, for a document with `PREAMBLE`; notes are comments above."""
    parts = [f"% needs {', '.join(PREAMBLE)}", *(f"% {printable(note)}" for note in notes)]
    for number, table in enumerate(tables):
        parts += ["\\clearpage"] if number and number % FLOATS == 0 else []
        parts.append(_write(table))
    return "\n".join(parts) + "\n"


def _write(table: Table) -> str:
    rows = [_row([_emphasised(text) for text in row]) for row in table.rows]
    for place in sorted(table.rule_before, reverse=True):
        rows.insert(place, "\\midrule")
    notes = [f"\\par\\footnotesize {in_latex(note)}" for note in table.notes]
    return "\n".join(
        [
            "\\begin{table}\n\\centering",
            f"\\caption{{{in_latex(table.title)}}}\\label{{tab:{_slug(table.title)}}}\\smallskip",
            "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
            f"\\begin{{tabular}}{{l{'c' * (len(table.header) - 1)}}}",
            *("\\toprule", _row([in_latex(name) for name in table.header]), "\\midrule"),
            *rows,
            "\\bottomrule\n\\end{tabular}}\\smallskip",
            *notes,
            "\\end{table}",
        ]
    )


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60]


def _row(texts: Sequence[str]) -> str:
    return f"{' & '.join(texts)} \\\\"


def _emphasised(text: Text) -> str:
    return f"\\textbf{{{in_latex(text.text)}}}" if text.bold else in_latex(text.text)
