"""Accuracy of every loss on one configuration: python benchmarks/accuracy.py [FILE] [key=value ...]

Each loss runs with its default parameters, once a seed; a run that is finished is not run again, so that the table
grows while it is being measured. FILE is config_template.yml unless given.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # else benchmarks/losses.py is what `import losses` finds

from configuration.reading import read_configuration
from evaluation.catalogue import NAME_CHECKS
from losses import LOSSES, TORCH_LOSSES
from runs.environment import environment
from training import runner
from utils.files import write_atomically
from utils.lookup import load_entry
from utils.scripts import exit_status
from utils.types import ConfigError, TrainingError

TEMPLATE = Path(__file__).resolve().parents[1] / "config_template.yml"
OF_IMAGES = [name for name, entry in LOSSES.items() if load_entry(entry).kind == "image"]
FIXED = ("trackers=[]",)


def changes_for(loss: str, overrides: Sequence[str], two_classes: Sequence[str]) -> list[str]:
    """Return what a loss's run changes in the file; losses of one score get two classes."""
    needs_two = loss in LOSSES and load_entry(LOSSES[loss]).num_classes == 2
    return [*overrides, *FIXED, f"loss_function={loss}", *([f"classes={list(two_classes)}"] if needs_two else [])]


def summary_of(file: str, overrides: Sequence[str], seed: int) -> dict[str, Any] | str:
    """Train a run unless it is finished and return its summary, or why there is none."""
    try:
        config = read_configuration(file, [*overrides, f"seed={seed}"], NAME_CHECKS)
        return runner.train(config)[1]
    except (ConfigError, TrainingError) as error:
        return str(error).splitlines()[0]


def row(loss: str, results: Sequence[dict[str, Any] | str]) -> str:
    """Return a loss's line of the table: mean ± std in per cent, or what went wrong."""
    done = [result for result in results if isinstance(result, dict)]
    failed = [result for result in results if isinstance(result, str)]
    if not done:
        return f"| {loss} | {failed[0]} | | | |"
    accuracy = [100 * result["test/accuracy"] for result in done]
    spread = f" ± {statistics.stdev(accuracy):.2f}" if len(accuracy) > 1 else ""
    cross_entropy = statistics.mean(result["test/cross_entropy"] for result in done)
    seconds = statistics.median(result["seconds"] for result in done)
    note = f"; {len(failed)} failed: {failed[0]}" if failed else ""
    middle = f"{statistics.mean(accuracy):.2f}{spread} | {len(done)}{note} | {cross_entropy:.3f} | {seconds:.0f}"
    return f"| {loss} | {middle} |"


def main() -> int:
    """Print the table and return the exit status: 1 if a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="FILE | key=value", help="the configuration, and what to change")
    names = [*LOSSES, *TORCH_LOSSES]
    parser.add_argument("--losses", nargs="+", default=["CrossEntropyLoss", *OF_IMAGES], choices=names, metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N")
    parser.add_argument("--two-classes", nargs=2, default=["3", "8"], metavar="NAME", help="for losses of one score")
    parser.add_argument("--write", type=Path, metavar="FILE", help="keep the table there, after every loss")
    arguments = parser.parse_intermixed_args()
    files = [word for word in arguments.words if "=" not in word]
    overrides = [word for word in arguments.words if "=" in word]
    file = files[0] if files else os.path.relpath(TEMPLATE)
    for name in ("lossbench", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)

    config = read_configuration(file, overrides, NAME_CHECKS)
    facts = environment(config.accelerator, config.precision, "")
    packages = ", ".join(f"{name} {facts['packages'][name]}" for name in ("torch", "pytorch-lightning", "timm"))
    heading = (
        f"`{' '.join([Path(file).name, *overrides])}`, default parameters, seeds {arguments.seeds}: mean ± std; "
        f"checkpoint selected on the {config.select_on} part; losses of one score tell "
        f"{' from '.join(arguments.two_classes)}. "
        f"Commit {facts['git_commit'][:7]}, Python {facts['python']}, {packages}, accelerator {config.accelerator}."
    )
    lines = [heading, "", "| loss | test accuracy, % | n | test cross entropy | seconds |", "|---|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    failed = False
    for loss in arguments.losses:
        changes = changes_for(loss, overrides, arguments.two_classes)
        results = [summary_of(file, changes, seed) for seed in arguments.seeds]
        failed |= any(isinstance(result, str) for result in results)
        lines.append(row(loss, results))
        print(lines[-1], flush=True)
        if arguments.write:
            write_atomically(arguments.write, "\n".join(lines) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(exit_status(main))
