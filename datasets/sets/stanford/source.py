"""The folder that the user has: its pieces, unpacked or not, and what a layout reads out of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from datasets.readers.archives import extract, is_archive
from datasets.readers.files import list_folder, progress
from datasets.readers.images import is_image_name
from datasets.sets.stanford_cars import Row
from utils.types import DataError

ARCHIVE_ENDINGS = ("", ".tgz", ".tar.gz", ".tar", ".zip")

Say = Callable[[str], object]


@dataclass(frozen=True)
class Annotations:
    """What a layout says.

    Args:
        classes: the 196 names in the devkit's order.
        rows: by part, each image under the name that it gets; whether it is there is still to be found out.
        images: by part, name -> the image file that is there.
    """

    classes: list[str]
    rows: dict[str, list[Row]]
    images: dict[str, dict[str, Path]]


def find(source: Path, name: str) -> Path | None:
    """Find a file, a folder or the archive of a folder; of a folder and its archive, the folder."""
    endings = ("",) if Path(name).suffix else ARCHIVE_ENDINGS
    return next((path for ending in endings if (path := source / (name + ending)).exists()), None)


def need(source: Path, *names: str, expected: str) -> Path:
    """Find the first of some names. Raises: DataError saying what is expected."""
    for name in names:
        if path := find(source, name):
            return path
    raise DataError(f"{source}: {' or '.join(names)} is missing; {expected}")


def open_folder(path: Path, raw: Path, say: Say) -> Path:
    """Return a folder's content: unpacked if it is an archive, without levels that hold one folder and nothing else.

    Args:
        raw: the folder to unpack into.
    """
    if path.is_file():
        if not is_archive(path):
            raise DataError(f"{path}: neither a folder nor a .tgz, .tar or .zip file")
        say(f"unpacking {path.name}")
        folder = raw / path.name.split(".")[0]
        # photographs hardly shrink, so an archive's size is near that of its content
        with progress(path.stat().st_size, path.name, unit="B") as bar:
            extract(path, folder, progress=bar.update)
        path = folder
    return without_single_levels(path)


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
