"""Export the trained model of a run: to ONNX, to a page for a phone or a browser, to ExecuTorch, to a hub.

    python export.py RUN [--to onnx,page,executorch,hub,weights] [--int8] [--output FOLDER] [key=value ...]

RUN is a run folder, such as those in output. What is exported answers as the run does: this is checked on its test
images before anything is written, and a failed check ends with status 1.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from exporting import list_targets
from exporting.requests import Request
from utils.scripts import Parser, exit_status, leave


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="export.py",
        description="Export the trained model of a run.",
        epilog=f"targets:\n{list_targets()}\n\nexample: python export.py output/flowers102-... --to onnx,page --int8",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("words", nargs="*", metavar="RUN | key=value", help="a run folder, and settings such as data_path=...")
    add("--to", type=separate, default=("onnx",), metavar="NAME[,NAME]", help="targets (onnx)")
    add("--int8", action="store_true", help="weights and activations of 8 bits, which cost some accuracy")
    add("--allow", type=float, default=0.5, metavar="POINTS", help="accuracy that 8 bits may cost, of 100 points (0.5)")
    add("--output", type=Path, metavar="FOLDER", help="where a folder for each target goes (RUN/export)")
    add("--fresh", action="store_true", help="replace what is there")
    add("--check", action="store_true", help="do everything but the writing")
    add("--list", action="store_true", help="show the targets, what they need and whether that is installed")
    add("--no-check-images", action="store_true", help="let images of noise go along instead of some test images")
    add("--uncropped", action="store_true", help="export for whole images a run that saw only what is in their boxes")
    add("--runtime", type=Path, metavar="FOLDER", help="page: the browser's runtime, onnxruntime-web's folder dist")
    add("--license", metavar="NAME", help="hub: the licence of the weights")
    add("--push", metavar="OWNER/NAME", help="hub: upload the folder to this repository, with your HF_TOKEN")
    return parser.parse_intermixed_args(arguments)


def separate(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))


def run(options: argparse.Namespace) -> None:
    if options.list:
        print(list_targets())
        return
    request = Request(
        options.words,
        options.to,
        options.output,
        options.int8,
        options.allow,
        options.fresh or options.check,
        not options.no_check_images,
        options.uncropped,
        options.runtime,
        options.license,
        options.push,
    )
    request.check()
    from exporting.exporting import export
    from utils import logs  # after --help, --list and mistakes, as torch takes seconds

    logs.configure("WARNING", "logs")
    export(request, print, write=not options.check)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: run(options))


if __name__ == "__main__":
    leave(main())
