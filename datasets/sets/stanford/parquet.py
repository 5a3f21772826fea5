"""Parquet files as on Hugging Face: data/train-*.parquet, data/test-*.parquet. No boxes."""

from __future__ import annotations

from pathlib import Path

from datasets.readers.files import progress
from datasets.readers.images import is_image_name
from datasets.readers.parquet_files import Part, files_by_split, read_part
from datasets.sets.stanford.devkit import class_names
from datasets.sets.stanford.names import labels_of
from datasets.sets.stanford.source import Annotations, Say
from datasets.sets.stanford_cars import NUM_CLASSES, OFFICIAL_COUNTS, Row
from utils.types import DataError

NAME = "parquet"
FILES = "train-*.parquet and test-*.parquet, perhaps in data"
NEEDS = "train-*.parquet and test-*.parquet"


def marks(source: Path) -> list[str]:
    """Return what of the layout a folder holds."""
    found = files_by_split(source)
    return [found[part][0].name for part in OFFICIAL_COUNTS if part in found]


def read(source: Path, raw: Path, say: Say, expected: str) -> Annotations:
    """Write the images to files and read their labels; other parts, such as distorted copies, are left out."""
    classes = class_names(source, raw, say)
    files = files_by_split(source)
    if lacking := [part for part in OFFICIAL_COUNTS if part not in files]:
        raise DataError(f"{source}: {', '.join(lacking)}-*.parquet is missing; {expected}")
    if others := sorted(set(files) - set(OFFICIAL_COUNTS)):
        say(f"parts that are left out: {', '.join(others)}")
    rows, images = {}, {}
    for part in OFFICIAL_COUNTS:
        content = read_part(files[part])
        labels = _labels(source, part, content, classes, say)
        names = _file_names(content)
        images[part] = _write_images(raw / part, names, content)
        rows[part] = [Row(name, k, None, classes[k - 1]) for name, k in zip(names, labels, strict=True)]
    say("boxes: none in this layout")
    return Annotations(classes, rows, images)


def _labels(source: Path, part: str, content: Part, classes: list[str], say: Say) -> list[int]:
    """Return 1-based labels in the devkit's order, by name where the files say names."""
    if content.names is None and all(isinstance(label, int) for label in content.labels):
        say(f"{part}: the files name no classes; their numbers are taken for the devkit's, from 0")
        labels = [int(label) + 1 for label in content.labels]
        if wrong := sorted({label - 1 for label in labels if not 1 <= label <= NUM_CLASSES}):
            raise DataError(f"{source}: labels outside 0..{NUM_CLASSES - 1}: {', '.join(map(str, wrong[:20]))}")
        return labels
    names = content.names
    if names is None:
        named = [str(label) for label in content.labels]
    else:
        if wrong := sorted({int(label) for label in content.labels if not 0 <= int(label) < len(names)}):
            raise DataError(f"{source}: labels outside 0..{len(names) - 1}: {', '.join(map(str, wrong[:20]))}")
        named = [names[int(label)] for label in content.labels]
    label_of = labels_of(f"{source.name} ({part})", named, classes, say)
    return [label_of[name] for name in named]


def _file_names(content: Part) -> list[str]:
    """Return what the files call the images, or numbers where they do not or not each differently."""
    names = [(path or "").replace("\\", "/").rpartition("/")[2] for path in content.paths]
    if len(set(names)) == len(names) and all(is_image_name(Path(name)) and name[0] != "." for name in names):
        return names
    return [f"{number:05d}.jpg" for number in range(1, len(names) + 1)]


def _write_images(folder: Path, names: list[str], content: Part) -> dict[str, Path]:
    folder.mkdir(parents=True)
    with progress(len(names), f"unpacking {folder.name}") as bar:
        for name, image in zip(names, content.images, strict=True):
            (folder / name).write_bytes(image.content)
            bar.update()
    return {name: folder / name for name in names}
