"""Image files that command-line arguments name: files, folders, patterns."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datasets.readers.files import is_hidden
from datasets.readers.images import ENDINGS, is_image_name
from utils.types import DataError


@dataclass
class ImageFiles:
    """Image files, each once, and other files that lie beside them in folders and patterns."""

    images: dict[Path, None] = field(default_factory=dict)
    others: dict[Path, None] = field(default_factory=dict)

    def add(self, paths: Iterable[Path]) -> bool:
        """Add files by their endings, except hidden ones, and tell whether there was an image among them."""
        shown = [path for path in paths if not is_hidden(path.name)]
        for path in shown:
            (self.images if is_image_name(path) else self.others)[path] = None
        return any(map(is_image_name, shown))

    def ignored(self) -> str | None:
        """Return the number of other files, such as "ignored: 3 files that are not images (.txt 3)"; None for none."""
        others = [path for path in self.others if path not in self.images]  # a file may also be named by itself
        if not others:
            return None
        counts = Counter(path.suffix.lower() or "without an ending" for path in others)
        most_first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        endings = ", ".join(f"{ending} {count:,}" for ending, count in most_first)
        noun = "file that is not an image" if len(others) == 1 else "files that are not images"
        return f"ignored: {len(others):,} {noun} ({endings})"


def find_images(words: Sequence[str]) -> ImageFiles:
    """Return the image files that words name: files as they are, those of folders and patterns by their endings.

    Each once, in the order of the words; within a folder by name.

    Raises: DataError naming every word that names no image.
    """
    files = ImageFiles()
    if problems := [problem for word in words if (problem := _add(word, files))]:
        raise DataError("\n".join(problems))
    return files


def _add(word: str, files: ImageFiles) -> str | None:
    """Add the files that a word names; return what is wrong with it, or None."""
    path, endings = Path(word).expanduser(), ", ".join(ENDINGS)
    if path.is_dir():
        return None if files.add(_walk(path)) else f"{word}: no images in this folder, ending in {endings}"
    if path.exists():
        files.images[path] = None
        return None
    if not glob.has_magic(word):
        return f"{word}: no such file or folder"
    matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
    if files.add(file for match in matches for file in (_walk(match) if match.is_dir() else [match])):
        return None
    return f"{word}: matches " + (f"{len(matches)} files, none ending in {endings}" if matches else "nothing")


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        yield from (Path(parent, name) for name in sorted(files))
