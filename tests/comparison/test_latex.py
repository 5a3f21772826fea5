"""Tables in LaTeX, whatever stands in them: pdfLaTeX takes them where there is one."""

from __future__ import annotations

import shutil
import string
import subprocess
from pathlib import Path

import pytest

from comparison.latex import FLOATS, PREAMBLE, in_latex, to_latex
from comparison.tables import Table, Text

NAMES = (
    string.punctuation,
    r"a_b % c & d # e \ f { g } h ~ i ^ j $ \end{tabular} \input{/etc/passwd}",
    "± † ‡ \N{EN DASH} — é ü ß ą ł ő “x” … → ≤ λ ½ € ħ 中文 🎉 e\N{COMBINING ACUTE ACCENT}",
    "<script>alert(1)</script>",
    "[5pt] [rows]",
    "* (starred)",
    "two\nlines\x00\x1b[31m",
    "-",
    "",
)


def hostile(number: int = 0) -> Table:
    rows = tuple((Text(name), Text("92.85 ± 1.58 (3) †", bold=True), Text(name)) for name in NAMES)
    return Table(f"{number}{NAMES[0]}{NAMES[1]}", ("[rows]", "100 %", NAMES[0]), rows, NAMES, frozenset([5]))


def typeset(tables: list[Table], folder: Path) -> str:
    """Return what pdfLaTeX says of tables; its first error fails."""
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("pdflatex is not installed (on Debian: texlive-latex-recommended)")
    body = ["\\documentclass{article}", *PREAMBLE, "\\begin{document}", to_latex(tables, NAMES), "\\end{document}"]
    (folder / "tables.tex").write_text("\n".join(body), encoding="utf-8")
    command = [program, "-draftmode", "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "tables.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    return (folder / "tables.log").read_text(encoding="utf-8", errors="replace")


def test_pdflatex_takes_any_name(tmp_path):
    log = typeset([hostile()], tmp_path)
    assert "/etc/passwd" not in log
    assert "Missing character" not in log


def test_pdflatex_takes_more_tables_than_it_can_hold_back(tmp_path):
    tables = [hostile(number) for number in range(60)]
    assert to_latex(tables, []).count("\\clearpage") == 60 // FLOATS
    assert "Too many unprocessed floats" not in typeset(tables, tmp_path)


def test_a_wide_table_is_as_wide_as_a_line(tmp_path):
    wide = Table("wide", tuple("a long name" for _ in range(30)), (tuple(map(Text, ["123.45"] * 30)),))
    assert "Overfull" not in typeset([wide], tmp_path)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("a_b & 5 %", r"a\_b \& 5 \%"),
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("[2]", "{[}2{]}"),
        ("*", "{*}"),
        ("--rows --- x-y", "-{}-rows -{}-{}- x-y"),
        ("-0.67 to +1, resnet-18", "$-$0.67 to +1, resnet-18"),
        ("92.85 ± 1.58 ≤ ε, λ é", r"92.85 $\pm$ 1.58 $\leq$ $\epsilon$, $\lambda$ é"),
        ("中ħ", "U+4E2DU+0127"),
        ("a\nb", r"a\textbackslash{}nb"),
    ],
)
def test_texts_are_printed_as_they_are(text, source):
    assert in_latex(text) == source
