"""Folders named after classes, as two layouts have them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.readers.files import list_folder
from datasets.sets.stanford.names import labels_of
from datasets.sets.stanford.source import Say, images_in, open_folder
from utils.types import DataError


def read_part_folders(
    folders: Mapping[str, Path], raw: Path, classes: Sequence[str], say: Say
) -> dict[str, dict[str, tuple[int, Path]]]:
    """Return by part: name -> 1-based label and file, sorted by name.

    Names that occur in several folders of a part get their label before them.

    Args:
        folders: by part, the folder or archive of class folders.

    Raises: DataError if a part has no class folders, or some of other names.
    """
    found = {}
    for part, folder in folders.items():
        by_class = _images_by_class(open_folder(folder, raw, say))
        if not by_class:
            raise DataError(f"{folder}: holds no folders of images, one a class")
        label_of = labels_of(folder.name, by_class, classes, say)
        files = [(label_of[name], path) for name, paths in by_class.items() for path in paths]
        counts = Counter(path.name for _, path in files)
        named = {
            path.name if counts[path.name] == 1 else f"{label:03d}_{path.name}": (label, path) for label, path in files
        }
        found[part] = dict(sorted(named.items()))
    return found


def _images_by_class(folder: Path) -> dict[str, list[Path]]:
    """Return the class of each folder of images; a name with a slash may have become a folder in a folder."""
    found = {}
    for outer in (path for path in list_folder(folder) if path.is_dir()):
        for place in (outer, *(path for path in list_folder(outer) if path.is_dir())):
            if images := list(images_in(place).values()):
                found[place.relative_to(folder).as_posix()] = images
    return found
