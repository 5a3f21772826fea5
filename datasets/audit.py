"""Leaks and gaps of a data set, reported before anything is trained."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datasets.base import DataSet, ImageTable
from datasets.readers.files import in_threads, progress, remembered_pairs, some
from datasets.readers.images import EncodedImage, quick_to_name, stamp_of
from datasets.sequences import same_label

Pairs = list[tuple[int, int]]
"""Test row and training row of the same content."""


def audit(data: DataSet) -> tuple[str, ...]:
    """Return notes on classes without training or test images and on images that are in both parts."""
    one, many = ("class has", "classes have") if data.kind == "image" else ("character has", "characters have")
    notes = []
    parts = (("training", data.train), ("test", data.test))
    for part, table in parts if data.kind in ("image", "sequence") else ():
        counts = np.bincount(table.labels[table.labels >= 0], minlength=len(data.classes))
        empty = [name for name, count in zip(data.classes, counts, strict=False) if count == 0]
        if empty and (part == "training" or data.kind == "image"):  # few texts hold every character
            notes.append(f"{len(empty):,} {one if len(empty) == 1 else many} no {part} image: {some(empty)}")
    if pairs := shared_rows(data.train, data.test):
        differ = sum(not same_label(data.train, there, data.test, here) for here, there in pairs)
        shown = some([f"{data.test.name(here)} is {data.train.name(there)}" for here, there in pairs])
        labelled = f", {differ:,} of them with another label" if differ else ""
        notes.append(f"{len(pairs):,} test images are training images too, byte for byte{labelled}: {shown}")
    return tuple(notes)


def shared_rows(train: ImageTable, test: ImageTable) -> Pairs:
    """Return which test images are training images too, by content.

    Files are compared by their bytes, and only those are read whose size occurs in both parts. The result is
    remembered, as by `check_images`, until a file changes. Copies that were encoded again are not detected.
    """
    if isinstance(train.images, np.ndarray) or isinstance(test.images, np.ndarray):
        return _equal(enumerate(map(_digest, train.images)), enumerate(map(_digest, test.images)))
    stamp = stamp_of(itertools.chain(quick_to_name(train.images), quick_to_name(test.images)), "shared")
    stamp = stamp.with_name(f"{stamp.name}-{len(train)}")  # where one part ends counts too
    files = train.images, test.images
    return remembered_pairs(stamp, lambda: _shared_files(*files))


def _shared_files(train: Sequence[Path | EncodedImage], test: Sequence[Path | EncodedImage]) -> Pairs:
    sizes = [[_size(image) for image in quick_to_name(part)] for part in (train, test)]
    common = (set(sizes[0]) & set(sizes[1])) - {None}
    rows = [[row for row, size in enumerate(part) if size in common] for part in sizes]
    images = [part[row] for part, part_rows in zip((train, test), rows, strict=True) for row in part_rows]
    digests = []
    with progress(len(images), "comparing parts") as bar, contextlib.closing(in_threads(_digest, images)) as hashed:
        for _, future in hashed:
            digests.append(future.result())
            bar.update()
    return _equal(zip(rows[0], digests, strict=False), zip(rows[1], digests[len(rows[0]) :], strict=True))


def _equal(train: Iterable[tuple[int, bytes | None]], test: Iterable[tuple[int, bytes | None]]) -> Pairs:
    """Return the test rows whose digest a training row has, with the first such row."""
    first: dict[bytes, int] = {}
    for row, digest in train:
        if digest is not None:
            first.setdefault(digest, row)
    return [(row, first[digest]) for row, digest in test if digest in first]


def _size(image: Path | EncodedImage | str) -> int | None:
    """Return how many bytes an image has; None if it cannot be read, which the check of all images reports."""
    try:
        return len(image) if isinstance(image, EncodedImage) else os.stat(image).st_size
    except OSError:
        return None


def _digest(image: np.ndarray | Path | EncodedImage) -> bytes | None:
    """Return a digest of the pixels of an array or the bytes of a file; None if it cannot be read."""
    try:
        if isinstance(image, np.ndarray):
            content: Any = str(image.shape).encode() + image.tobytes()
        else:
            content = image.content if isinstance(image, EncodedImage) else image.read_bytes()
    except OSError:
        return None
    return hashlib.blake2b(content, digest_size=16).digest()
