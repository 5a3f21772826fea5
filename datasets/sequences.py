"""Labels that are texts: a row of characters instead of one class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from datasets.base import ImageTable
from losses.contract import Sequences

PADDING = -1
"""The filling behind a text in a row of labels."""


def encode_texts(texts: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Return texts as labels of a table: [N, L] int64, L the longest text's length, each followed by `PADDING`.

    Args:
        texts: N of them, of characters that are all in `classes`.
        classes: the characters; label k is `classes[k]`.
    """
    label_of = {name: label for label, name in enumerate(classes)}
    labels = np.full((len(texts), max(map(len, texts), default=0)), PADDING, dtype=np.int64)
    for row, text in zip(labels, texts, strict=True):
        row[: len(text)] = [label_of[character] for character in text]
    return labels


def targets(table: ImageTable, indices: int | np.ndarray) -> Tensor | Sequences:
    """Return what a batch's target is for some images: their classes, or their texts with 0 for padding.

    Shapes: indices [B] -> [B] int64, or `Sequences` of labels [B, L] and lengths [B]; one index, a number -> without B.
    """
    labels = torch.tensor(table.labels[indices])
    return labels if table.labels.ndim == 1 else Sequences.of(labels)


def example_targets(table: ImageTable, num_classes: int) -> Tensor | Sequences:
    """Return a target of two samples, the first class and the last, or texts of these alone.

    Shapes: as `targets`, B = 2.
    """
    ends = torch.tensor([0, num_classes - 1])
    return ends if table.labels.ndim == 1 else Sequences.of(ends[:, None])


def decode_texts(labels: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Return the texts that rows of labels mean; negative ones are no character. Shapes: [N, L]."""
    return ["".join([str(classes[label]) for label in row if label >= 0]) for row in labels.tolist()]


def label_in_words(table: ImageTable, index: int, classes: Sequence[str]) -> str:
    """Return the class of an image, or its text."""
    return decode_texts(_characters(table, index)[None], classes)[0]


def same_label(first: ImageTable, index: int, second: ImageTable, other_index: int) -> bool:
    """Tell whether images of two tables have one class, or one text, however long the tables' longest texts are."""
    return np.array_equal(_characters(first, index), _characters(second, other_index))


def _characters(table: ImageTable, index: int) -> np.ndarray:
    """Return an image's label without padding, [length], of length 1 for a class."""
    labels = np.atleast_1d(table.labels[index])
    return labels[labels != PADDING]


def text_problems(part: str, table: ImageTable, num_classes: int) -> list[str]:
    """Return what is wrong with the texts of a part: none, padding before the end or characters that are no class."""
    inside = (table.labels >= 0) & (table.labels < num_classes)  # [N, L]
    lengths = inside.sum(axis=1)
    expected = np.arange(table.labels.shape[1]) < lengths[:, None]
    wrong = np.flatnonzero((lengths == 0) | (np.where(expected, inside, table.labels == PADDING) == 0).any(axis=1))
    if len(wrong) == 0:
        return []
    named = ", ".join(f"{table.name(index)} {table.labels[index].tolist()}" for index in wrong[:5])
    return [
        f"the {part} part has {len(wrong)} labels that are no text of the {num_classes} characters, 0 to "
        f"{num_classes - 1}, with {PADDING} after it: {named}"
    ]


def label_problems(part: str, table: ImageTable, num_classes: int) -> list[str]:
    """Return what is wrong with the labels of a part."""
    if len(table) == 0:
        return [f"the {part} part holds no images"]
    if len(table.images) != len(table.labels):
        return [f"the {part} part has {len(table.images)} images and {len(table.labels)} labels"]
    if table.labels.ndim == 2:
        return text_problems(part, table, num_classes)
    outside = np.flatnonzero((table.labels < 0) | (table.labels >= num_classes))
    if len(outside) == 0:
        return []
    named = ", ".join(f"{table.name(index)} ({table.labels[index]})" for index in outside[:5])
    return [
        f"the {part} part has {len(outside)} labels outside 0 to {num_classes - 1}, the {num_classes} classes: {named}"
    ]
