"""Evaluate the trained models of runs: calibration, attacks, stability and more.

    python evaluate.py RUN [RUN ...] [--on test|valid|FOLDER] [--only NAMES] [--also NAMES] [key=value ...]

RUN is a run folder, such as those in output; FOLDER holds FOLDER/<class>/<image>.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from evaluation import list_evaluations
from evaluation.requests import Request
from utils.scripts import Parser, exit_status, leave
from utils.types import ConfigError, UserError


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="evaluate.py",
        description="Evaluate the trained models of runs.",
        epilog=f"evaluations and their parameters:\n{list_evaluations()}\n\n"
        "example: python evaluate.py output/digits-* --also attacks attacks.eps=4",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = {"type": lambda text: tuple(filter(None, map(str.strip, text.split(",")))), "metavar": "NAME[,NAME]"}
    parser.add_argument("words", nargs="*", metavar="RUN | key=value", help="run folders, and settings to change")
    parser.add_argument("--on", default="test", metavar="PART", help="test, valid or a folder of <class>/<image>")
    parser.add_argument("--only", **names, help="these evaluations and no others")
    parser.add_argument("--also", **names, help="these in addition to the default ones")
    parser.add_argument("--list", action="store_true", help="show the evaluations with their parameters")
    return parser.parse_intermixed_args(arguments)


def run(options: argparse.Namespace) -> None:
    if options.list:
        print(list_evaluations())
        return
    request = Request(options.words, options.on, options.only, options.also)
    request.check()
    from evaluation.evaluating import evaluate
    from evaluation.subject import open_subject
    from utils import logs  # after --help, --list and mistakes, as torch takes seconds

    logs.configure("WARNING", "logs")
    mistakes = []
    for path in request.runs:
        if len(request.runs) > 1:
            print(f"\n{path}", flush=True)
        try:
            evaluate(open_subject(path, request.on, request.changes), request.only or (), request.also or ())
        except UserError as error:  # the other runs may succeed
            mistakes.append(f"{path}: {error}" if len(request.runs) > 1 else str(error))
    if mistakes:
        raise ConfigError("\n".join(mistakes))


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: run(options))


if __name__ == "__main__":
    leave(main())
