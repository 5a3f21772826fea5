"""The user's own images: one folder a class."""

from __future__ import annotations

from pathlib import Path

from datasets.base import DataSet, table_by_class
from datasets.readers.files import Paths, list_folder, listing, some
from datasets.readers.images import ENDINGS, list_images
from datasets.readers.tables import TEST_NAMES, choose_test_part
from utils.types import ConfigError, DataError

LAYOUT = f"data_path/train/<class>/<image> and data_path/test/<class>/<image>, images ending in {', '.join(ENDINGS)}"


def image_folder(*, data_path: str | None = None) -> DataSet:
    """Read DATA/train/<class>/<image> and DATA/test/<class>/<image>.

    Classes are the folders of train, sorted by name; images are sorted by name within their class. Where there is no
    folder test, val, valid or validation is the test part, and a note says so: a run holds its own validation images
    out of train.
    Files that are no images by their ending, and folders inside a class, are left out with a note.

    Raises: ConfigError without a data_path; DataError if folders or images are missing, or test has a class that train
        lacks.
    """
    if data_path is None:
        raise ConfigError(f"data_path: missing; dataset image_folder reads {LAYOUT}")
    folder = Path(data_path).expanduser()
    test_name, notes = choose_test_part([name for name in TEST_NAMES if (folder / name).is_dir()], "folder")
    if not (folder / "train").is_dir() or test_name is None:
        lacking = "train" if not (folder / "train").is_dir() else "test"
        raise DataError(f"{folder}: no folder {lacking}; expected {LAYOUT}")

    ignored: list[Path] = []
    train = _images_by_class(folder / "train", ignored)
    test = _images_by_class(folder / test_name, ignored)
    if unknown := sorted(set(test) - set(train)):
        raise DataError(f"{folder / test_name}: classes that train lacks:\n{listing(unknown)}")
    if empty := [name for name, images in train.items() if not images]:
        raise DataError(f"{folder / 'train'}: classes without images:\n{listing(empty)}\nExpected {LAYOUT}.")
    if len(train) < 2:
        raise DataError(f"{folder / 'train'}: {len(train)} class folders, at least 2 are needed; expected {LAYOUT}")
    if not any(test.values()):
        raise DataError(f"{folder / test_name}: no images; expected {LAYOUT}")
    classes = tuple(sorted(train))
    if ignored:
        notes.append(f"{len(ignored)} files ignored: {some([str(path.relative_to(folder)) for path in ignored])}")
    return DataSet(classes, table_by_class(train, classes), table_by_class(test, classes), tuple(notes))


def _images_by_class(folder: Path, ignored: list[Path]) -> dict[str, Paths]:
    by_class = {}
    for entry in list_folder(folder):
        if not entry.is_dir():
            ignored.append(entry)
            continue
        by_class[entry.name], others = list_images(entry)
        ignored += others
    return by_class
