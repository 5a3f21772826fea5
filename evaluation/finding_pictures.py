"""Which pictures words name: files, folders, patterns."""

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
class Found:
    """Pictures, each once, and the files beside them in folders and patterns that are passed over."""

    pictures: dict[Path, None] = field(default_factory=dict)
    others: dict[Path, None] = field(default_factory=dict)

    def take(self, paths: Iterable[Path]) -> bool:
        """Sort files by their endings, hidden ones left out, and tell whether there was a picture among them."""
        taken = False
        for path in paths:
            if not is_hidden(path):
                (self.pictures if is_image_name(path) else self.others)[path] = None
                taken = taken or is_image_name(path)
        return taken

    def passed_over(self) -> str | None:
        """Return how many files of which endings are no pictures, such as "3 files that are no images (.txt 3)"."""
        others = [path for path in self.others if path not in self.pictures]  # a file named by itself is told
        if not others:
            return None
        counts = Counter(path.suffix.lower() or "without an ending" for path in others)
        most_first = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
        each = ", ".join(f"{ending} {count:,}" for ending, count in most_first)
        what = "file that is no image" if len(others) == 1 else "files that are no images"
        return f"passed over: {len(others):,} {what} ({each})"


def find_pictures(words: Sequence[str]) -> Found:
    """Return the pictures that words name: files as they are, folders and patterns by the endings of their files.

    Each once, in the order of the words; within a folder by name.

    Raises: DataError naming every word that names none.
    """
    found = Found()
    if problems := [problem for word in words if (problem := _find(word, found))]:
        raise DataError("\n".join(problems))
    return found


def _find(word: str, found: Found) -> str | None:
    """Take what a word names; return what is wrong with it, or None."""
    path = Path(word).expanduser()
    if path.is_dir():
        return None if found.take(_in_folder(path)) else f"{word}: no pictures in it, ending in {', '.join(ENDINGS)}"
    if path.exists():
        found.pictures[path] = None
        return None
    if not glob.has_magic(word):
        return f"{word}: no such file or folder"
    matches = [Path(each) for each in sorted(glob.glob(str(path), recursive=True))]
    if found.take(file for match in matches for file in (_in_folder(match) if match.is_dir() else [match])):
        return None
    what = f"{len(matches)} files, none ending in {', '.join(ENDINGS)}" if matches else "nothing"
    return f"{word}: matches {what}"


def _in_folder(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_hidden(Path(name)))
        yield from (Path(place, name) for name in sorted(files))
