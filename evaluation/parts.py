"""Which images a run is evaluated on: its test or validation part, or a folder of the user's."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from datasets.base import ImageTable, table_by_class
from datasets.data_module import DataModule
from datasets.preprocessing import Preprocessing
from datasets.readers.files import list_folder
from datasets.readers.images import ENDINGS, check_images, is_image_name
from datasets.stream.image_stream import ImageStream
from evaluation.record import folder_of
from evaluation.requests import PARTS, part_problem
from utils.lookup import did_you_mean
from utils.types import DataError


@dataclass(frozen=True)
class Part:
    """Images and what is known of them.

    Args:
        name: "test", "valid" or the folder's name.
        stream: gives the images as the network sees them, not augmented.
        notes: what a reader of the numbers must know.
        folder: where a folder of the user's lies, in full; None for a part of the run's own data.
    """

    name: str
    stream: ImageStream
    notes: tuple[str, ...] = ()
    folder: str | None = None

    def output(self, run: Path) -> Path:
        """Return where in a run's folder the evaluation goes; folders of one name that lie elsewhere are numbered."""
        name = "evaluation" if self.name == "test" else f"evaluation-{self.name}"
        if self.folder is not None and self.name in PARTS:
            name = f"evaluation-{self.name}-folder"
        paths = (run / (name if number == 1 else f"{name}-{number}") for number in itertools.count(1))
        return next(path for path in paths if folder_of(path) in (None, self.folder))

    def __len__(self) -> int:
        return len(self.stream)


def choose_part(data: DataModule, on: str) -> Part:
    """Return the part that a word names; images of a folder are resized to those that the network was trained on.

    Raises: DataError for a folder that cannot be used, naming every image that cannot be decoded.
    """
    if on in PARTS:
        return Part(on, data.test_stream if on == "test" else data.valid_stream)
    folder = Path(on).expanduser()
    table = read_folder(folder, data.data.classes)
    check_images(table.images)
    stream = ImageStream(table, range(len(table)), preprocessing_of_others(data))
    return Part(folder.resolve().name, stream, _notes(data, table, folder), str(folder.resolve()))


def _notes(data: DataModule, table: ImageTable, folder: Path) -> tuple[str, ...]:
    """Say how many images are resized, where a run resizes none of its own."""
    resized = sum(table.size(row) != data.image_size for row in range(len(table)))
    if data.config.size is not None or not resized:
        return ()
    height, width = data.image_size
    what = f"{resized:,} of {len(table):,} images of {folder} are resized to {width} x {height} pixels"
    return (f"{what}, those of the run's own, which resizes none (image_size: null)",)


def preprocessing_of_others(data: DataModule) -> Preprocessing:
    """Return how images of no data set are prepared: as the run's, and resized to what the network was trained on."""
    return replace(Preprocessing.of(data.config, training=False), size=data.image_size)


def read_folder(folder: Path, classes: Sequence[str]) -> ImageTable:
    """Read FOLDER/<class>/<image>; classes may be missing, but none may be unknown.

    Raises: DataError naming every folder that is no class of the run's, and a folder without images.
    """
    if problem := part_problem(str(folder)):
        raise DataError(problem)
    inner = {entry.name: entry for entry in list_folder(folder) if entry.is_dir()}
    if unknown := [name for name in inner if name not in classes]:
        some = ", ".join(classes[:12]) + (f", and {len(classes) - 12} more" if len(classes) > 12 else "")
        lines = [f"{folder / name}: no class of this run{did_you_mean(name, classes)}" for name in unknown]
        raise DataError("\n".join([*lines, f"its {len(classes)} classes: {some}"]))
    images = {
        name: [image for image in list_folder(path) if image.is_file() and is_image_name(image)]
        for name, path in inner.items()
    }
    if not any(images.values()):
        hint = "; predict.py tells the classes of images without labels" if not inner else ""
        raise DataError(f"{folder}: no images in folders of classes, ending in {', '.join(ENDINGS)}{hint}")
    return table_by_class(images, classes)
