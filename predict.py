"""Classify image files by the trained model of a run.

    python predict.py IMAGE [IMAGE ...] --run RUN [--top N] [--csv FILE] [--json FILE] [--draw FOLDER]
        [key=value ...]

IMAGE is a file, a pattern such as "photos/*.jpg", or a folder, which is searched at any depth. Unreadable images are
reported, the others classified, and the exit status is then 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evaluation.image_files import find_images
from evaluation.requests import run_problem
from utils.logs import presentable
from utils.scripts import Parser, exit_status, leave, output_problems
from utils.types import ConfigError, DataError

ON_SCREEN = 100


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="predict.py",
        description="Classify image files by the trained model of a run.",
        epilog="example: python predict.py photos --run output/flowers102-... --csv classes.csv",
    )
    parser.add_argument("words", nargs="+", metavar="IMAGE | key=value", help="files, patterns, folders; settings")
    parser.add_argument(
        "--run", required=True, type=Path, metavar="RUN", help="a run's folder, such as those in output"
    )
    parser.add_argument("--top", type=int, default=3, metavar="N", help="number of classes for each image (3)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a line for each image")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write an object for each image")
    parser.add_argument("--draw", type=Path, metavar="FOLDER", help="write images with their objects or pixels drawn")
    return parser.parse_intermixed_args(arguments)


def run(options: argparse.Namespace) -> int:
    words = [word for word in options.words if not is_change(word)]
    mistakes = [f"--run {problem}"] if (problem := run_problem(options.run)) else []
    mistakes += output_problems({"--csv": options.csv, "--json": options.json})
    if options.top < 1:
        mistakes.append(f"--top: must be a whole number >= 1, got {options.top}")
    if not words:
        mistakes.append("name an image, a pattern or a folder: python predict.py IMAGE --run RUN")
    try:
        files = find_images(words)
    except DataError as error:
        mistakes += str(error).splitlines()
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    from evaluation.predicting import as_table, predict, write_csv, write_json
    from evaluation.subject import open_subject
    from utils import logs  # after --help and mistakes, as torch takes seconds

    logs.configure("WARNING", "logs")
    subject = open_subject(options.run, "test", [word for word in options.words if is_change(word)])
    if options.draw and not hasattr(subject.classifier, "look"):
        raise ConfigError(f"--draw: {options.run} classifies whole images, of which nothing can be drawn")
    predictions = predict(subject, [*files.images], options.top, options.draw)
    if options.csv:
        write_csv(predictions, options.csv)
    if options.json:
        write_json(predictions, options.json)
    print(as_table(predictions, ON_SCREEN if options.csv or options.json else None))
    if ignored := files.ignored():
        print(presentable(ignored))
    if subject.config.crop_to_bboxes:
        print("this run was trained on images cropped to their boxes (crop_to_bboxes); these images are not cropped")
    for line in predictions.unreadable:
        print(presentable(ConfigError(line)), file=sys.stderr)
    return 1 if predictions.unreadable else 0


def is_change(word: str) -> bool:
    """Tell whether a word is a setting such as "accelerator=cpu" and not a file whose name has an equals sign."""
    return "=" in word and not Path(word).exists() and word.partition("=")[0].replace("_", "").isalpha()


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: run(options))


if __name__ == "__main__":
    leave(main())
