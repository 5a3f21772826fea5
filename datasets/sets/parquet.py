"""Data sets in Parquet files, as Hugging Face offers them for download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.base import DataSet, ImageTable
from datasets.readers.files import listing
from datasets.readers.parquet_files import Part, files_by_split, read_part
from datasets.readers.tables import choose_test_part, natural_order
from utils.types import ConfigError, DataError

MANY_CLASSES = 10_000
"""Up to here, numbers may be left out, as in a part of a larger set; beyond, they are no numbers of classes."""
LAYOUT = "data_path/train-*.parquet and data_path/test-*.parquet, perhaps in a folder data"


def parquet(
    *, data_path: str | None = None, image_column: str | None = None, label_column: str | None = None
) -> DataSet:
    """Read images and labels from DATA/train-*.parquet and DATA/test-*.parquet, or DATA/data/ of the same.

    Images are bytes, or {bytes, path}, in any format that files may have. They stay encoded, in memory. Labels are
    numbers, whose class names the file says in the manner of Hugging Face's ClassLabel, or class names, which are then
    sorted as a reader would ("2" before "10"). Rows keep their order. Where there is no part test, val, valid or
    validation is the test part, and a note says so; parts of other names are left out with a note.

    Args:
        data_path: the folder.
        image_column, label_column: their names, where several columns can be meant.

    Raises: ConfigError without a data_path and for a column that is not there or not the only one; DataError for
        missing or damaged files and rows, and for parts that do not fit one another.
    """
    if data_path is None:
        raise ConfigError(f"data_path: missing; dataset parquet reads {LAYOUT}")
    folder = Path(data_path).expanduser()
    files = files_by_split(folder)
    test_name, notes = choose_test_part(files, "part")
    if "train" not in files or test_name is None:
        lacking, held = "test" if "train" in files else "train", ", ".join(files) or "none"
        raise DataError(f"{folder}: no files of part {lacking} (parts found: {held}); expected {LAYOUT}")
    if others := sorted(set(files) - {"train", "test", "val", "valid", "validation"}):
        notes.append(f"parts that are not used: {', '.join(others)}")
    train = read_part(files["train"], image_column, label_column)
    test = read_part(files[test_name], image_column, label_column)
    classes = _classes(folder, train, test, notes)
    if len(classes) < 2:
        raise DataError(f"{folder}: {len(classes)} class, at least 2 are needed")
    return DataSet(classes, _table(train, classes), _table(test, classes), tuple(notes))


def _classes(folder: Path, train: Part, test: Part, notes: list[str]) -> tuple[str, ...]:
    if train.names != test.names:
        raise DataError(f"{folder}: the parts have different class names")
    if len({type(label) for part in (train, test) for label in part.labels}) > 1:
        raise DataError(f"{folder}: labels are numbers in one part and text in another")
    if train.names is not None:
        return train.names
    names = natural_order({str(label) for label in train.labels})
    if isinstance(train.labels[0], int):
        notes.append("the files name no classes: they are called by their numbers")
        labels = [int(label) for part in (train, test) for label in part.labels]
        highest = max(labels)
        if highest >= max(len(labels), MANY_CLASSES):
            raise DataError(
                f"{folder}: a label of {highest:,} among {len(labels):,} images; numbers of classes begin with 0"
            )
        return tuple(str(label) for label in range(highest + 1))
    if unknown := natural_order({str(label) for label in test.labels} - set(names)):
        raise DataError(f"{folder}: labels that no training image has:\n{listing(unknown)}")
    return tuple(names)


def _table(part: Part, classes: tuple[str, ...]) -> ImageTable:
    label_of = {name: label for label, name in enumerate(classes)}
    labels = [label if isinstance(label, int) else label_of[label] for label in part.labels]
    return ImageTable(part.images, np.array(labels, dtype=np.int64))
