"""What a reader of results should know of a data set before anything is trained: leaks and gaps."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from datasets.base import DataSet, ImageTable
from datasets.readers.files import progress, some
from datasets.readers.images import EncodedImage, remember, stamp_of
from datasets.sequences import same_label

Pairs = list[tuple[int, int]]
"""Test row and training row of the same content."""


def audit(data: DataSet) -> tuple[str, ...]:
    """Return notes on classes without training or test images and on images that are in both parts."""
    return (*_empty_classes(data), *_shared_images(data.train, data.test))


def _empty_classes(data: DataSet) -> list[str]:
    one, many = ("class has", "classes have") if data.kind == "image" else ("character has", "characters have")
    notes = []
    for part, table in (("training", data.train), ("test", data.test)):
        counts = np.bincount(table.labels[table.labels >= 0], minlength=len(data.classes))
        empty = [name for name, count in zip(data.classes, counts, strict=False) if count == 0]
        if empty and (part == "training" or data.kind == "image"):  # few texts hold every character
            notes.append(f"{len(empty):,} {one if len(empty) == 1 else many} no {part} image: {some(empty)}")
    return notes


def _shared_images(train: ImageTable, test: ImageTable) -> list[str]:
    pairs = shared_rows(train, test)
    if not pairs:
        return []
    differ = sum(not same_label(train, there, test, here) for here, there in pairs)
    shown = some([f"{test.name(here)} is {train.name(there)}" for here, there in pairs])
    labelled = f", {differ:,} of them with another label" if differ else ""
    return [f"{len(pairs):,} test images are training images too, byte for byte{labelled}: {shown}"]


def shared_rows(train: ImageTable, test: ImageTable) -> Pairs:
    """Return which test images are training images too, by content.

    Files are compared by their bytes, and only those are read whose size occurs in both parts. What was found is
    remembered as `check_images` remembers, until a file changes. Copies that were encoded anew are not found.
    """
    if isinstance(train.images, np.ndarray) or isinstance(test.images, np.ndarray):
        return _equal(enumerate(map(_content_digest, train.images)), enumerate(map(_content_digest, test.images)))
    stamp = stamp_of([*train.images, *test.images], "shared")
    stamp = stamp.with_name(f"{stamp.name}-{len(train)}")  # where one part ends counts too
    try:
        return [(here, there) for here, there in json.loads(stamp.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):  # not remembered, or not by us
        pairs = _shared_files(train.images, test.images)
    remember(stamp, json.dumps(pairs))
    return pairs


def _shared_files(train: Sequence[Path | EncodedImage], test: Sequence[Path | EncodedImage]) -> Pairs:
    sizes = [[_size(image) for image in part] for part in (train, test)]
    common = (set(sizes[0]) & set(sizes[1])) - {None}
    rows = [[row for row, size in enumerate(part) if size in common] for part in sizes]
    images = [part[row] for part, part_rows in zip((train, test), rows, strict=True) for row in part_rows]
    with ThreadPoolExecutor() as pool, progress(len(images), "comparing parts") as bar:
        digests = []
        for digest in pool.map(_content_digest, images):
            digests.append(digest)
            bar.update()
    return _equal(zip(rows[0], digests, strict=False), zip(rows[1], digests[len(rows[0]) :], strict=True))


def _equal(train: Iterable[tuple[int, bytes | None]], test: Iterable[tuple[int, bytes | None]]) -> Pairs:
    """Return the test rows whose digest a training row has, with the first such row."""
    first: dict[bytes, int] = {}
    for row, digest in train:
        if digest is not None:
            first.setdefault(digest, row)
    return [(row, first[digest]) for row, digest in test if digest in first]


def _size(image: Path | EncodedImage) -> int | None:
    """Return how many bytes an image has; None if it cannot be read, which the check of all images tells."""
    try:
        return len(image) if isinstance(image, EncodedImage) else os.stat(image).st_size
    except OSError:
        return None


def _content_digest(image: np.ndarray | Path | EncodedImage) -> bytes | None:
    """Return a digest of the pixels of an array or the bytes of a file; None if it cannot be read."""
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(image, np.ndarray):
        digest.update(str(image.shape).encode())
        digest.update(np.ascontiguousarray(image).data)
        return digest.digest()
    try:
        digest.update(image.content if isinstance(image, EncodedImage) else image.read_bytes())
    except OSError:
        return None
    return digest.digest()
