"""Tell what the trained model of a run is worth: calibration, attacks, stability and more.

    python evaluate.py RUN [RUN ...] [--on test|valid|FOLDER] [--only NAMES] [--also NAMES] [key=value ...]

RUN is a run folder, such as those in output; FOLDER holds FOLDER/<class>/<image>.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from utils.catalogue import list_names
from utils.evaluation import EVALUATIONS, check_evaluation_name
from utils.scripts import exit_status
from utils.types import ConfigError


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="evaluate.py",
        description="Tell what the trained model of a run is worth.",
        epilog="example: python evaluate.py output/digits-* --also attacks attacks.eps=4",
    )
    names = {"type": lambda text: tuple(filter(None, text.split(","))), "default": (), "metavar": "NAME[,NAME]"}
    parser.add_argument("words", nargs="*", metavar="RUN | key=value", help="run folders, and what to change")
    parser.add_argument("--on", default="test", metavar="PART", help="test, valid or a folder of <class>/<image>")
    parser.add_argument("--only", **names, help="these evaluations and no others")
    parser.add_argument("--also", **names, help="these beside those that are always done")
    parser.add_argument("--list", action="store_true", help="show the names of evaluations")
    return parser.parse_intermixed_args(arguments)


def run(options: argparse.Namespace) -> None:
    if options.list:
        print(list_names("evaluations"))
        return
    runs = [Path(word) for word in options.words if "=" not in word]
    mistakes = [problem for name in (*options.only, *options.also) if (problem := check_evaluation_name(name))]
    mistakes += [f"{path}: no such folder" for path in runs if not path.is_dir()]
    if not runs:
        mistakes.append("give a run's folder, such as those in output: python evaluate.py RUN")
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    from utils import logs  # torch takes seconds: not for --help, --list or a mistyped name
    from utils.evaluation.evaluating import evaluate
    from utils.evaluation.subject import open_subject

    logs.configure("WARNING", "logs")
    changes = [as_key(word) for word in options.words if "=" in word]
    for path in runs:
        if len(runs) > 1:
            print(f"\n{path}")
        evaluate(open_subject(path, options.on, changes), options.only, options.also)


def as_key(word: str) -> str:
    """Return "attacks.eps=4" as the configuration spells it."""
    return f"evaluate_params.{word}" if word.partition(".")[0] in EVALUATIONS else word


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
