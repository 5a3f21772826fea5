"""Train one run from one YAML file, or the runs of its `sweep:`.

    python train.py [FILE] [key=value ...] [--check | --profile | --find-lr | --list [TABLE] | --fresh] [--shard i/n]
                    [--changed-code keep | retrain] [--seeds-to N]
    python train.py [FILE] --new FOLDER_OR_SET [--pretrained NAME] [data_path=PATH]

FILE is config.yml unless given; without a config.yml, config_template.yml is used.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evaluation.catalogue import LISTS, NAME_CHECKS, list_names
from sweeps.seeds import with_seeds
from training import MEASUREMENTS
from utils.lookup import load_entry
from utils.scripts import Parser, choose_file, exit_status, leave
from utils.signals import Interrupted, raise_on_signals
from utils.types import ConfigError

if TYPE_CHECKING:
    from configuration.schema import Configuration


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="train.py",
        description="Train one run from one YAML file, or the runs of its sweep.",
        epilog="example: python train.py config.yml loss_function=OneSidedMarginLoss lr_scheduler_params.max_lr=1e-3",
    )
    parser.add_argument("words", nargs="*", metavar="FILE | key=value", help="the file, and what to change")
    parser.add_argument("-d", metavar="PATH", dest="data_path", help="where the data lies; the same as data_path=PATH")
    parser.add_argument("--check", action="store_true", help="check everything, print what would run, train nothing")
    for option, entry in MEASUREMENTS.items():
        parser.add_argument(option, dest="measure", action="store_const", const=option, help=entry.summary)
    parser.add_argument("--list", nargs="?", const="all", metavar="TABLE", help=f"show the names of {', '.join(LISTS)}")
    parser.add_argument("--new", metavar="FOLDER | SET", help="write a short FILE (config.yml) for these images")
    parser.add_argument("--pretrained", metavar="NAME", help="with --new: the architecture whose weights to start from")
    parser.add_argument("--fresh", action="store_true", help="train anew whatever is there already")
    changed = "keep runs whose code has changed since, or retrain them alone; without it, they are refused"
    parser.add_argument("--changed-code", choices=("keep", "retrain"), help=changed)
    parser.add_argument("--shard", metavar="i/n", help="of a sweep's runs, train the i-th of n parts")
    parser.add_argument("--seeds-to", type=int, metavar="N", help="train what a sweep lacks of N seeds in all")
    return parser.parse_intermixed_args(arguments)


def read(options: argparse.Namespace) -> Configuration:
    from configuration.reading import read_configuration
    from sweeps.mistakes import find_mistakes

    overrides = [word for word in options.words if "=" in word]
    overrides += [] if options.data_path is None else [f"data_path={options.data_path}"]
    file = choose_file([word for word in options.words if "=" not in word])
    return read_configuration(file, overrides, NAME_CHECKS, find_mistakes)


def run(options: argparse.Namespace) -> None:
    if options.list:
        print(list_names(options.list))
        return
    if options.new is not None:
        from training.new_configuration import write_new

        print(write_new(options.new, options.pretrained, options.data_path, options.words))
        return
    if options.pretrained is not None:
        raise ConfigError("--pretrained goes with --new; for a run write pretrained=true architecture=NAME")
    if options.fresh and options.changed_code is not None:
        raise ConfigError(f"--fresh retrains whatever is there: leave out --changed-code {options.changed_code}")
    config = with_seeds(read(options), options.seeds_to)
    again: dict[str, Any] = {"fresh": options.fresh, "changed_code": options.changed_code}
    if config.sweep is not None:
        from comparison.sequential import train_sweep
        from sweeps.jobs import Shard

        if options.measure:
            raise config.error({("sweep",): f"{options.measure} measures one run; leave the sweep out"})
        train_sweep(config, Shard.parse(options.shard), check=options.check, **again)
        return
    if options.shard is not None:
        raise ConfigError("--shard: there is one run only, the configuration has no sweep")
    from evaluation.after_training import AFTER_TRAINING
    from training import runner  # torch and Lightning take seconds: not for --help, --list or a mistyped key
    from utils import logs

    logs.configure(config.loglevel, config.logging_dir)
    if options.measure:
        print(load_entry(MEASUREMENTS[options.measure])(config))
    elif options.check:
        found = runner.check(config, AFTER_TRAINING)  # before anything is printed: a mistake stands alone
        print(config.to_yaml())
        print(found)
    else:
        runner.train(config, sequel=AFTER_TRAINING, **again)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: run_in_order(options))


def run_in_order(options: argparse.Namespace) -> int:
    """Run, and end in order after a signal."""
    try:
        with raise_on_signals():
            run(options)
    except Interrupted as interruption:
        if os.environ.get("LOCAL_RANK", "0") == "0":  # one process speaks for all
            print(interruption, file=sys.stderr)
        return interruption.status
    return 0


if __name__ == "__main__":
    leave(main())
