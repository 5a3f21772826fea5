"""Class folders: train/<class>/<image> and test/<class>/<image>. No boxes."""

from __future__ import annotations

from pathlib import Path

from datasets.sets.stanford.devkit import class_names
from datasets.sets.stanford.labelled_folders import read_part_folders
from datasets.sets.stanford.source import Annotations, Say, find, need
from datasets.sets.stanford_cars import OFFICIAL_COUNTS, Row

NAME = "class folders"
FILES = "train/<class>/<image> and test/<class>/<image>"
NEEDS = "train and test"


def marks(source: Path) -> list[str]:
    """Return what of the layout a folder holds; a prepared folder has such names too."""
    if (source / "train_labels.csv").exists():
        return []
    return [path.name for name in OFFICIAL_COUNTS if (path := find(source, name))]


def read(source: Path, raw: Path, say: Say, expected: str) -> Annotations:
    """Read labels from the names of the folders."""
    classes = class_names(source, raw, say)
    folders = {part: need(source, part, expected=expected) for part in OFFICIAL_COUNTS}
    found = read_part_folders(folders, raw, classes, say)
    say("boxes: none in this layout")
    rows = {
        part: [Row(name, label, None, classes[label - 1]) for name, (label, _) in images.items()]
        for part, images in found.items()
    }
    return Annotations(classes, rows, {part: {name: path for name, (_, path) in found[part].items()} for part in found})
