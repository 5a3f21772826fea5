"""Compare finished runs: means over seeds, and which differences are more than noise.

    python compare.py [RUNS or SWEEP ...] [--rows loss_function --columns architecture --metric test/accuracy]

RUNS are run folders, folders that hold runs (`output` unless given) or patterns; SWEEP is a configuration file, whose
runs are found by their configurations.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from comparison.formats import to_markdown, to_terminal
from comparison.latex import to_latex
from comparison.notes import notes
from comparison.page.writing import write_page
from comparison.panels import Options, compare
from comparison.records import group_records, run_records
from comparison.sources import find_runs
from comparison.strata import STRATA
from comparison.tables import build_tables
from comparison.units import settle_metrics
from runs.records import write_csv
from utils.files import write_atomically
from utils.logs import presentable
from utils.scripts import Parser, exit_status, leave, output_problems, show
from utils.types import ConfigError


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="compare.py",
        description="Compare finished runs: means over seeds, and which differences are more than noise.",
        epilog="example: python compare.py output --rows loss_function --columns architecture --markdown table.md",
    )
    keys: dict[str, Any] = {
        "action": "extend",  # an option that is repeated adds to the first
        "type": lambda text: list(filter(None, text.split(","))),
        "default": [],
        "metavar": "KEY[,KEY]",
    }
    parser.add_argument("words", nargs="*", metavar="RUNS | SWEEP | key=value", help="what to compare (output)")
    parser.add_argument("--rows", **keys, help="configuration keys of the rows; by default the settings that differ")
    parser.add_argument("--columns", **keys, help="configuration keys of the columns")
    parser.add_argument(
        "--metric",
        action="append",
        help=f"one or several, A,B: names in summary.json ({Options.metric}) or evaluation.json (calibration/ece)",
    )
    parser.add_argument("--rope", type=float, metavar="SIZE", help="differences below it do not matter (0.3 points)")
    parser.add_argument("--two-tests", action="store_true", help="also one test over images and one over seeds")
    parser.add_argument("--baseline", metavar="ROW", help="the row to compare the others with (cross entropy; CTC)")
    parser.add_argument(
        "--tests",
        choices=("auto", "all", "seeds", "none"),
        default="auto",
        help="auto: over seeds, and over test images unless there are very many comparisons",
    )
    parser.add_argument(
        "--pool",
        **keys,
        help=f"average over runs that differ in these, which separate groups by default: {', '.join(STRATA)}",
    )
    parser.add_argument("--exact", action="store_true", help="McNemar's exact test over images instead of its mid-p")
    parser.add_argument("--reach", type=float, metavar="VALUE", help="first epoch whose monitored metric reached it")
    parser.add_argument("--cost", action="store_true", help="also show seconds, images/s, parameters and multiply-adds")
    parser.add_argument("--trials", action="store_true", help="also show trials of searches, like other runs")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the tables in Markdown")
    parser.add_argument("--latex", type=Path, metavar="FILE", help="the tables in LaTeX, with booktabs")
    parser.add_argument("--html", type=Path, metavar="FILE", help="a page with tables, curves, classes and images")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="one row per group, with every number")
    parser.add_argument("--runs-csv", type=Path, metavar="FILE", help="one row per run, with every number")
    return parser.parse_intermixed_args(arguments)


def run(options: argparse.Namespace) -> None:
    names = ("markdown", "latex", "html", "csv", "runs_csv")
    problems = output_problems({f"--{name.replace('_', '-')}": getattr(options, name) for name in names})
    problems += settle_metrics(options)
    if problems:
        raise ConfigError("\n".join(problems))
    for name in ("rows", "columns", "pool"):
        setattr(options, name, tuple(dict.fromkeys(getattr(options, name))))
    selection = find_runs(options.words, with_epochs=options.reach is not None, trials=options.trials)
    chosen = {name: getattr(options, name) for name in Options.__dataclass_fields__}
    comparison = compare(selection, Options(**chosen))
    tables, lines = build_tables(comparison), notes(comparison)
    if options.markdown is not None:
        write_atomically(options.markdown, to_markdown(tables, lines))
    if options.latex is not None:
        write_atomically(options.latex, to_latex(tables, lines))
    if options.html is not None:
        write_atomically(options.html, write_page(comparison))
    if options.csv is not None:
        write_csv(options.csv, group_records(comparison))
    if options.runs_csv is not None:
        write_csv(options.runs_csv, run_records(comparison))
    width = shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None
    text = to_terminal(tables, lines, width)
    if written := [str(getattr(options, name)) for name in names if getattr(options, name) is not None]:
        text += f"\n\nwritten: {', '.join(written)}"
    show(presentable(text))  # last: what reads it may close, as head does


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: run(options))


if __name__ == "__main__":
    leave(main())
