"""Tell the classes of pictures by the trained model of a run.

    python predict.py PICTURE [PICTURE ...] --run RUN [--top N] [--csv FILE] [--json FILE] [key=value ...]

PICTURE is a file, a pattern such as "photos/*.jpg", or a folder, whose pictures are found at any depth. Those that
cannot be read are named; the others are told all the same, and the exit status is then 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evaluation.finding_pictures import find_pictures
from evaluation.requests import run_problem
from utils.logs import presentable
from utils.scripts import Parser, exit_status, leave, output_problems
from utils.types import ConfigError, DataError

ON_SCREEN = 100


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="predict.py",
        description="Tell the classes of pictures by the trained model of a run.",
        epilog="example: python predict.py photos --run output/flowers102-... --csv told.csv",
    )
    parser.add_argument("words", nargs="+", metavar="PICTURE | key=value", help="files, patterns, folders; changes")
    parser.add_argument(
        "--run", required=True, type=Path, metavar="RUN", help="a run's folder, such as those in output"
    )
    parser.add_argument("--top", type=int, default=3, metavar="N", help="how many classes of each picture (3)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a line for each picture")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write an object for each picture")
    return parser.parse_intermixed_args(arguments)


def run(options: argparse.Namespace) -> int:
    pictures = [word for word in options.words if not is_change(word)]
    mistakes = [f"--run {problem}"] if (problem := run_problem(options.run)) else []
    mistakes += output_problems({"--csv": options.csv, "--json": options.json})
    if options.top < 1:
        mistakes.append(f"--top: must be a whole number >= 1, got {options.top}")
    if not pictures:
        mistakes.append("give a picture, a pattern or a folder: python predict.py PICTURE --run RUN")
    try:
        found = find_pictures(pictures)
    except DataError as error:
        mistakes += str(error).splitlines()
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    from evaluation.predicting import predict
    from evaluation.predictions import as_table, write_csv, write_json
    from evaluation.subject import open_subject
    from utils import logs  # torch takes seconds: not for --help or a mistake

    logs.configure("WARNING", "logs")
    changes = [word for word in options.words if is_change(word)]
    subject = open_subject(options.run, "test", changes)
    told = predict(subject, [*found.pictures], options.top)
    if options.csv:
        write_csv(told, options.csv)
    if options.json:
        write_json(told, options.json)
    print(as_table(told, None if not (options.csv or options.json) else ON_SCREEN))
    if passed_over := found.passed_over():
        print(presentable(passed_over))
    if subject.config.crop_to_bboxes:
        print("this run was trained on images cut to their boxes (crop_to_bboxes); pictures are taken as they are")
    for line in told.unreadable:
        print(presentable(ConfigError(line)), file=sys.stderr)
    return 1 if told.unreadable else 0


def is_change(word: str) -> bool:
    """Tell "accelerator=cpu" from a picture whose name has an equals sign."""
    return "=" in word and not Path(word).exists() and word.partition("=")[0].replace("_", "").isalpha()


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: run(options))


if __name__ == "__main__":
    leave(main())
