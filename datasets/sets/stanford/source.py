"""The user's folder, unpacked or not, and the class names in it, which every edition spells a little differently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from datasets.readers.archives import extract, is_archive
from datasets.readers.files import list_folder, listing, progress
from datasets.readers.images import is_image_name
from datasets.readers.matlab import read_matlab
from datasets.sets.stanford_cars import NUM_CLASSES, Row
from utils.lookup import did_you_mean
from utils.types import DataError

ARCHIVE_ENDINGS = ("", ".tgz", ".tar.gz", ".tar", ".zip")
PUBLISHED_NAMES = Path(__file__).with_name("class_names.txt")

Say = Callable[[str], object]


class Annotations(NamedTuple):
    """The 196 classes in the devkit's order; by part the annotations, and name -> file of the images that are there."""

    classes: list[str]
    rows: dict[str, list[Row]]
    images: dict[str, dict[str, Path]]


class Source(NamedTuple):
    """The user's folder, unpacked or not.

    Args:
        folder: where the files of a layout lie.
        raw: the folder to unpack archives into.
        say: takes a line for each step.
        expected: the layouts, for messages.
    """

    folder: Path
    raw: Path
    say: Say
    expected: str

    def find(self, *names: str, place: Path | None = None) -> Path | None:
        """Find the first of some names, a file, a folder or the archive of a folder, in the folder or another place."""
        endings = {name: ("",) if Path(name).suffix else ARCHIVE_ENDINGS for name in names}
        paths = ((place or self.folder) / (name + ending) for name in names for ending in endings[name])
        return next((path for path in paths if path.exists()), None)

    def need(self, *names: str, place: Path | None = None) -> Path:
        """Find as `find`. Raises: DataError saying what is expected."""
        if path := self.find(*names, place=place):
            return path
        raise DataError(f"{place or self.folder}: {' or '.join(names)} is missing; {self.expected}")

    def open(self, path: Path) -> Path:
        """Return a folder's content: unpacked if it is an archive, without levels of a single folder."""
        if path.is_file():
            if not is_archive(path):
                raise DataError(f"{path}: neither a folder nor a .tgz, .tar or .zip file")
            self.say(f"unpacking {path.name}")
            folder = self.raw / path.name.split(".")[0]
            # photographs hardly shrink, so an archive's size is near that of its content
            with progress(path.stat().st_size, path.name, unit="B") as bar:
                extract(path, folder, progress=bar.update)
            path = folder
        return without_single_levels(path)

    def devkit_classes(self, devkit: Path) -> list[str]:
        """Return the class names of an unpacked devkit, in its order."""
        return class_names(self.need("cars_meta.mat", place=devkit))

    def classes(self) -> list[str]:
        """Return the class names of the devkit beside other files, or, without one, those it was published with."""
        devkit = self.find("devkit", "car_devkit")
        self.say(f"class names in the devkit's order: {f'from {devkit.name}' if devkit else 'as published'}")
        if devkit:
            return self.devkit_classes(self.open(devkit))
        return PUBLISHED_NAMES.read_text(encoding="utf-8").splitlines()

    def class_folders(self, folder: Path, classes: Sequence[str]) -> tuple[list[Row], dict[str, Path]]:
        """Return rows without boxes, and name -> file, of the images in folders named after classes, sorted by name.

        Names that occur in several folders get their label before them.

        Raises: DataError if there are no such folders, or some of other names.
        """
        content, by_class = self.open(folder), {}
        for outer in (path for path in list_folder(content) if path.is_dir()):
            for place in (outer, *(path for path in list_folder(outer) if path.is_dir())):  # a slash makes a folder
                if images := images_in(place):
                    by_class[place.relative_to(content).as_posix()] = images
        if not by_class:
            raise DataError(f"{folder}: holds no folders of images, one a class")
        label_of = labels_of(folder.name, by_class, classes, self.say)
        counts = Counter(name for images in by_class.values() for name in images)
        files = {
            (name if counts[name] == 1 else f"{label_of[held_by]:03d}_{name}", label_of[held_by]): path
            for held_by, images in by_class.items()
            for name, path in images.items()
        }
        return [Row(*key) for key in sorted(files)], {name: files[name, label] for name, label in sorted(files)}


def without_single_levels(path: Path) -> Path:
    """Go down, three levels at most, while a folder holds one folder and nothing else."""
    for _ in range(3):
        content = list_folder(path)
        if len(content) != 1 or not content[0].is_dir():
            break
        path = content[0]
    return path


def images_in(folder: Path) -> dict[str, Path]:
    """Return name -> path of a folder's images."""
    return {path.name: path for path in list_folder(folder) if is_image_name(path)}


def class_names(mat: Path) -> list[str]:
    """Return the class names in a .mat file. Raises: DataError unless they are 196."""
    classes = [str(name).strip() for name in read_matlab(mat, "class_names")["class_names"]]
    if len(classes) != NUM_CLASSES or len(set(classes)) != NUM_CLASSES:
        raise DataError(f"{mat}: expected {NUM_CLASSES} different class names, found {len(set(classes))}")
    return classes


def plain(name: str) -> str:
    """Return a name's letters and digits, so that "Ram C/V" is "ram c-v" and the folder V inside the folder Ram C."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def labels_of(where: object, names: Iterable[str], classes: Sequence[str], say: Say) -> dict[str, int]:
    """Return name -> 1-based label in the devkit's order; classes are matched by their names, never by their order.

    Args:
        where: what holds the names, for messages.
        classes: the 196 names in the devkit's order.

    Raises: DataError that lists the names that are no class, and those that are the same class.
    """
    names = list(dict.fromkeys(names))
    label_of = {plain(name): label for label, name in enumerate(classes, start=1)}
    if unknown := [
        f"{name!r} is no class{did_you_mean(name, classes)}" for name in names if plain(name) not in label_of
    ]:
        raise DataError(
            f"{where}: class names that are not Stanford Cars':\n{listing(unknown)}\nRename them to the class meant."
        )
    labels = {name: label_of[plain(name)] for name in names}
    counts = Counter(labels.values())
    if doubled := [name for name in names if counts[labels[name]] > 1]:
        raise DataError(f"{where}: several names of one class:\n{listing(doubled)}")
    other = [f"{name} for {classes[label - 1]}" for name, label in labels.items() if name != classes[label - 1]]
    if other:
        say(f"{where}: {len(other)} classes are spelled differently:\n{listing(other, 5)}")
    return labels
