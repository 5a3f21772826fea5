"""Accuracy of every loss on one configuration: python benchmarks/accuracy.py [FILE] [key=value ...]

Trains a sweep of all losses with their default parameters and compares its runs; losses of one score get two classes.
A run that is finished is not run again. FILE is config_template.yml unless given.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # else benchmarks/losses.py is what `import losses` finds

import compare
import train
from losses import LOSSES, TORCH_LOSSES
from utils.lookup import load_entry
from utils.scripts import leave

TEMPLATE = Path(__file__).resolve().parents[1] / "config_template.yml"
OF_IMAGES = [name for name, entry in LOSSES.items() if load_entry(entry).kind == "image"]


def grid(losses: Sequence[str], two_classes: Sequence[str]) -> str:
    """Return the values of a sweep, as the command line takes them."""
    two = [name for name in losses if name in LOSSES and load_entry(LOSSES[name]).num_classes == 2]
    values = [f"{{name: {name}, loss_function: {name}}}" for name in losses if name not in two]
    values += [f"{{name: {name}, loss_function: {name}, classes: {[*two_classes]}}}" for name in two]
    return f"sweep.grid={{loss: [{', '.join(values)}]}}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and compare. Returns: 1 if a run failed, 2 for a mistake."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="FILE | key=value", help="the configuration, and what to change")
    names = [*LOSSES, *TORCH_LOSSES]
    parser.add_argument("--losses", nargs="+", default=["CrossEntropyLoss", *OF_IMAGES], choices=names, metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N")
    parser.add_argument("--two-classes", nargs=2, default=["3", "8"], metavar="NAME", help="for losses of one score")
    parser.add_argument("--write", metavar="FILE", help="keep the tables there, in Markdown")
    options = parser.parse_intermixed_args(arguments)
    files = [word for word in options.words if "=" not in word]
    changes = [word for word in options.words if "=" in word]
    words = [*(files or [os.path.relpath(TEMPLATE)]), "trackers=[]", *changes]
    words += [f"sweep.seeds={options.seeds}", grid(options.losses, options.two_classes)]
    status = train.main(words)
    if status == 2:
        return status
    return compare.main([*words, *(["--markdown", options.write] if options.write else [])]) or status


if __name__ == "__main__":
    leave(main())
