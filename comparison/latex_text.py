"""Any text as LaTeX prints it: names come from people and files."""

from __future__ import annotations

import re
from unicodedata import lookup

from utils.types import printable

_GREEK = (
    *(
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "zeta",
        "eta",
        "theta",
        "iota",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
    ),
    *("pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
)
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
    **{f"GREEK SMALL LETTER {name.upper().replace('LAMBDA', 'LAMDA')}": name for name in _GREEK},
}
_ESCAPED = {
    **{each: f"\\{each}" for each in "&%$#_{}"},
    **{each: f"{{{each}}}" for each in "[]*"},  # at the head of a row they would belong to the \\ before it
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "`": r"\textasciigrave{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "\N{MINUS SIGN}": "$-$"},
    **{lookup(name): f"$\\{command}$" for name, command in _SYMBOLS.items()},
}
_MARKS = ("EN DASH", "EM DASH", "HORIZONTAL ELLIPSIS", "BULLET", "EURO SIGN", "LEFT SINGLE QUOTATION MARK")
_MARKS += ("RIGHT SINGLE QUOTATION MARK", "LEFT DOUBLE QUOTATION MARK", "RIGHT DOUBLE QUOTATION MARK")
_HAS_GLYPH = {*map(chr, range(0x20, 0x7F)), *map(chr, range(0xA1, 0x17F)), *map(lookup, _MARKS)} - {*"ĦħĸĿŀŉŦŧ"}
"""What pdfLaTeX can print: English and other Latin letters, and some marks."""


def in_latex(text: str) -> str:
    """Return a text of one line as LaTeX source; a character that pdfLaTeX cannot print stands as its number."""
    signed = re.sub(r"(?<![\w-])-(?=\d)", "\N{MINUS SIGN}", printable(text))
    known = (_ESCAPED.get(each) or (each if each in _HAS_GLYPH else f"U+{ord(each):04X}") for each in signed)
    return re.sub("-(?=-)", "-{}", "".join(known))  # two hyphens would be a dash
