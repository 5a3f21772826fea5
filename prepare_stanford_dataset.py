"""Turn Stanford Cars as it is passed on into the folder that train.py reads.

Takes any of these layouts, folders also as archives, and finds out which:
  older: car_ims.tgz, cars_annos.mat, car_devkit.tgz
  newer: cars_train, cars_test, devkit, cars_test_annos_withlabels.mat
  class folders with boxes: car_data/{train,test}/<class>, anno_train.csv, anno_test.csv, names.csv
  class folders: train/<class>, test/<class>                 (no boxes)
  parquet: train-*.parquet, test-*.parquet, perhaps in data  (no boxes)
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "configuration",
        nargs="*",
        metavar="CONFIG.yml | key=value",
        help="where stanford_raw_data_path and stanford_data_path stand; config.yml if it is there",
    )
    parser.add_argument("--source", type=Path, metavar="DIR", help="the folder of those files (stanford_raw_data_path)")
    parser.add_argument("--dest", type=Path, metavar="DIR", help="the folder to write (stanford_data_path)")
    parser.add_argument("--allow-partial", action="store_true", help="accept a sample of the 8,144 + 8,041 images")
    options = parser.parse_args(arguments)
    options.files = [text for text in options.configuration if "=" not in text]
    options.overrides = [text for text in options.configuration if "=" in text]
    if len(options.files) > 1:
        parser.error(f"one configuration file at most, got {' '.join(options.files)}")
    return options


def folders(options: argparse.Namespace) -> tuple[Path, Path]:
    """Return source and destination, from the options where given, else from the configuration."""
    if options.source and options.dest and not options.configuration:
        return options.source, options.dest
    from configuration.reading import read_configuration
    from utils.types import ConfigError

    file = options.files[0] if options.files else "config.yml" if Path("config.yml").is_file() else None
    configuration = read_configuration(file, options.overrides)
    source = options.source or configuration.stanford_raw_data_path
    if source is None:
        raise ConfigError("stanford_raw_data_path: not set; name the folder of the published files, or give --source")
    return Path(source), options.dest or Path(configuration.stanford_data_path)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    from utils.logs import presentable
    from utils.types import UserError

    try:
        source, dest = folders(options)
        from datasets.sets.stanford.preparation import prepare_stanford

        done = prepare_stanford(source.expanduser(), dest.expanduser(), allow_partial=options.allow_partial)
    except UserError as error:
        print(presentable(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was prepared", file=sys.stderr)
        return 130
    for note in done.notes:
        print(f"note: {presentable(note)}")
    what = "prepared" if done.new else "was prepared before and is intact, nothing to do"
    extent = "a sample" if done.partial else "the full set"
    print(f"{dest}: {what}: {extent}, {done.counts['train']:,} + {done.counts['test']:,} images, {done.layout} layout")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
