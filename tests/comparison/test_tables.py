"""Tables in every format: what stands in them, how it fits, and that pdfLaTeX takes them whatever it is."""

from __future__ import annotations

import re
import shutil
import string
import subprocess
from html import unescape
from pathlib import Path

import pytest
from leaving import CE, FOCAL, OSM, leave, leave_losses, study, text_of

from comparison.formats import to_markdown, to_terminal
from comparison.latex import FLOATS, PREAMBLE, in_latex, to_latex
from comparison.notes import notes
from comparison.page.writing import write_page
from comparison.records import group_records, run_records
from comparison.tables import Table, Text, build_tables
from comparison.units import unit_of


def test_the_best_of_each_column_is_marked_and_the_smaller_one_where_that_is_better(tmp_path):
    leave(tmp_path, CE, accuracy=0.8)
    leave(tmp_path, OSM, accuracy=0.9)
    for metric in ("test/accuracy", "test/cross_entropy"):
        assert [cell.row for cell in study(tmp_path, metric=metric).cells if cell.best] == ["OneSidedMarginLoss"]
    (panel,) = study(tmp_path).panels
    row, difference = panel.improvements[""]
    assert (row, difference.value) == ("OneSidedMarginLoss", pytest.approx(0.1))
    assert "**90.00 (1)**" in to_markdown(build_tables(study(tmp_path)), [])
    assert r"\textbf{90.00 (1)}" in to_latex(build_tables(study(tmp_path)), [])


def test_the_epoch_that_reached_an_accuracy_is_the_median_over_seeds(tmp_path):
    for seed, epochs in enumerate(([0.5, 0.9, 0.8], [0.9], [0.1, 0.2, 0.3, 0.95])):
        leave(tmp_path, CE, f"seed={seed}", epochs=epochs)
        leave(tmp_path, OSM, f"seed={seed}", epochs=epochs if seed == 0 else [0.1])
    (panel,) = study(tmp_path, reach=0.9, cost=True).panels
    reached = [cell.reached for cell in panel.cells.values()]
    assert [(each.median, each.runs) for each in reached if each] == [(1.0, 3), (None, 1)]
    text = text_of(study(tmp_path, reach=0.9, cost=True))
    assert "2 (3 of 3)" in text  # the second epoch, 1 in metrics.csv
    assert "not reached (1 of 3)" in text
    assert [word in text for word in ("images/s", "parameters", "multiply-adds")] == [True] * 3


def test_costs_say_of_which_table_they_are_where_there_are_several(tmp_path):
    for dataset in ("digits", "cifar10"):
        for loss in (CE, OSM):
            for network in ("test_resnet", "resnet10t"):
                leave(tmp_path, loss, f"dataset={dataset}", f"architecture={network}")
    comparison = study(tmp_path, rows=("loss_function",), columns=("architecture",), cost=True)
    assert len(comparison.panels) == 2
    (costs,) = (table for table in build_tables(comparison) if table.title == "Cost")
    assert costs.header[:3] == ("loss_function", "dataset", "architecture")
    assert len({tuple(text.text for text in row[:3]) for row in costs.rows}) == 8


def test_files_have_every_number(tmp_path):
    leave_losses(tmp_path)
    groups = group_records(study(tmp_path, cost=True, reach=0.5))
    assert [row["row"] for row in groups] == ["CrossEntropyLoss", "OneSidedMarginLoss"]
    assert groups[1]["test/accuracy mean"] == pytest.approx(0.89)
    assert groups[1]["p_seeds"] == 0.25
    assert groups[1]["seeds"] == "0 1 2"
    runs = run_records(study(tmp_path))
    assert [row["seed"] for row in runs] == [0, 1, 2] * 2
    assert sum(row["test/accuracy"] for row in runs) == pytest.approx(3 * 0.8 + 3 * 0.89)


def test_every_format_has_every_text_of_the_tables_and_notes(tmp_path):
    """So that what other tests find in tables and notes stands in all of them, escaped where a format would obey it."""
    for seed in range(3):
        for network in ("resnet10t", "resnet18"):
            changes = (f"seed={seed}", f"architecture={network}")
            leave(tmp_path, CE, *changes, right=[k < 80 for k in range(100)], environment={"threads": seed})
            leave(tmp_path, CE, *changes, "loss_params.label_smoothing=0.1", right=[k < 90 for k in range(100)])
            leave(tmp_path, OSM, *changes, "select_on=test", epochs=[0.5])
    leave(tmp_path, FOCAL, accuracy=None)
    found = study(tmp_path, cost=True, reach=0.4)
    tables, lines = build_tables(found), notes(found)
    texts = [*lines, *(text for table in tables for text in (table.title, *table.header, *table.notes))]
    texts += [text.text for table in tables for row in table.rows for text in row]
    terminal, latex = to_terminal(tables, lines), to_latex(tables, lines)
    markdown = unescape(to_markdown(tables, lines).replace("\\", ""))
    page = re.sub(r"\s+", " ", unescape(re.sub("<[^>]*>", " ", write_page(found))))
    assert len(texts) > 100
    assert [text for text in texts if any(text not in content for content in (markdown, page))] == []
    in_files = {
        table.rows[row][place].text for table in tables for row in range(len(table.rows)) for place in table.in_files
    }
    in_files |= {table.header[place] for table in tables for place in table.in_files}
    assert {text for text in texts if text not in terminal} <= in_files
    assert [text for text in texts if in_latex(text) not in latex and f"% {text}\n" not in latex] == []
    assert {record["warnings"] for record in group_records(found)} == {"; ".join(found.panels[0].warnings)}
    assert r"CrossEntropyLoss(label\_smoothing=0.1)" in to_latex(tables, [])
    assert r"CrossEntropyLoss(label\_smoothing=0.1)" in to_markdown(tables, [])


def test_columns_that_find_no_room_in_a_terminal_stand_below(tmp_path):
    for network in ("resnet10t", "resnet18", "resnet34"):
        for loss in (CE, OSM):
            leave(tmp_path, loss, f"architecture={network}")
    tables = [table for table in build_tables(study(tmp_path, tests="none")) if not table.of_all]
    wide, narrow, tiny = (to_terminal(tables, (), width).splitlines() for width in (None, 64, 1))
    assert max(map(len, wide)) > 64 >= max(map(len, narrow))
    heads = [line.split() for line in narrow if line.startswith("loss_function")]
    assert heads == [["loss_function", "resnet10t", "resnet18"], ["loss_function", "resnet34"]]
    assert sum(line.startswith("loss_function") for line in tiny) == 3
    assert [" ".join(text).count("90.00 (1)*") for text in (wide, narrow, tiny)] == [6, 6, 6]
    assert sum(line.startswith("OneSidedMarginLoss  ") for line in narrow) == 2


def test_each_block_of_a_table_says_what_its_rows_are_about(tmp_path):
    for seed in range(2):
        for network in ("resnet10t", "resnet18"):
            for loss in (CE, OSM):
                leave(tmp_path, loss, f"architecture={network}", f"seed={seed}", right=[loss == CE, True])
    found = study(tmp_path, cost=True)
    tables = [table for table in build_tables(found) if table.of_all]
    for text in to_terminal(tables, (), 60).split("\n\n"):
        rows = [line for line in text.splitlines() if line.startswith(("CrossEntropyLoss", "OneSidedMarginLoss"))]
        assert all("resnet1" in row for row in rows)
        assert rows or not text.strip()


def leave_seeds(output: Path, baseline: dict[int, float], other: dict[int, float]) -> None:
    for loss, accuracies in ((CE, baseline), (OSM, other)):
        for seed, accuracy in accuracies.items():
            leave(output, loss, f"seed={seed}", accuracy=accuracy)


SHARED = "difference: in 1 of 1 over the seeds that both groups have"


UNSHARED = "¶ no seed in common: the difference of two means over different seeds, not paired"


@pytest.mark.parametrize(
    ("baseline", "other", "shown", "seeds", "note"),
    [
        ({0: 0.8, 1: 0.9}, {0: 0.81, 1: 0.92}, "+1.50", "0 1", None),
        ({0: 0.8, 1: 0.9}, {1: 0.92, 0: 0.81, 2: 0.3}, "+1.50", "0 1", SHARED),
        ({0: 0.8, 1: 0.9, 2: 0.4}, {1: 0.92, 3: 0.1}, "+2.00", "1", SHARED),
        ({0: 0.8, 1: 0.9}, {2: 0.3, 3: 0.4}, "-50.00 ¶", "none in common", UNSHARED),
    ],
    ids=["the same seeds", "one seed more", "one seed shared", "no seed shared"],
)
@pytest.mark.parametrize("tests", ["auto", "none"])
def test_a_difference_is_over_the_seeds_that_both_have_in_every_output(
    tmp_path, baseline, other, shown, seeds, note, tests
):
    leave_seeds(tmp_path, baseline, other)
    found = study(tmp_path, tests=tests)
    tables = build_tables(found)
    assert [row[1].text for row in tables[0].rows][-1] == shown
    for table in tables:
        told = [each for each in (SHARED, UNSHARED) if any(line.startswith(each) for line in table.notes)]
        assert told == [each for each in (SHARED, UNSHARED) if each == note]
    if tests == "auto":
        assert [table.rows[-1][1 + number].text for number, table in enumerate((tables[2], tables[1]))] == [shown] * 2
        (record,) = [each for each in group_records(found) if each["row"] == "OneSidedMarginLoss"]
        assert f"{100 * record['difference']:+.2f}" == shown.removesuffix(" ¶")
        assert record["difference_seeds"] == seeds


def test_the_difference_to_the_baseline_is_that_of_the_best_mean_of_its_column(tmp_path):
    leave_seeds(tmp_path, {0: 0.8, 1: 0.6}, {0: 0.7})
    leave(tmp_path, FOCAL, accuracy=0.65)
    assert build_tables(study(tmp_path))[0].rows[-1][1].text == "-10.00 (OneSidedMarginLoss)"


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (0.1, "test/f1", "10.00"),
        (1234567, "multiply_adds", "1,234,567"),
        (12.345, "seconds", "12.3"),
        (3, "selected_epoch", "3"),
    ],
)
def test_numbers_are_written_with_the_digits_that_they_deserve(value, name, text):
    assert unit_of(name).text(value) == text


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
