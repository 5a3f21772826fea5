"""Made-up images that stand for a data set where only the code is tried out (`smoke: true`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from datasets import facts_of
from datasets.base import DataSet, ImageTable
from datasets.dense import BACKGROUND, Annotation, DenseTable
from utils.types import ConfigError

FACTS = {"made_up": {"num_classes": "made_up_classes", "images": (80, 30)}}
SIZE, CLASSES, TRAIN, TEST = 32, 10, 8, 3
"""Side in pixels, classes where none are asked for, training and test images a class."""
TEXT_SIZE, TEXT_LENGTH, TEXTS = (24, 94), 5, (40, 10)
"""Of images with texts: height and width in pixels, characters, training and test images."""
OBJECTS = (24, 10)
"""Training and test images with objects."""
SEED = 20250101
"""Of the images alone, never the run's."""


def made_up(*, like: str = "cifar10", num_classes: int | None = None, task: str = "classification") -> DataSet:
    """Draw 8 + 3 noisy images a class of 32x32 in RGB, each class around a colour of its own, with boxes.

    For other tasks than classification each image shows up to 3 rectangles, each of the colour of its class; the
    last image of either part shows none.

    In place of a data set of texts 40 + 10 of 24x94 are drawn, with a text of 5 characters each, a stripe a character.

    Args:
        like: the data set that they stand for; decides whether classes are ordered, whether they are characters, and
            how many there are: as many as there, at most 10.
        num_classes: how many classes instead, >= 2.

    Raises: ConfigError for fewer than 2 classes.
    """
    count = made_up_classes(like=like, num_classes=num_classes)
    if count < 2:
        raise ConfigError(f"data_params.num_classes: must be >= 2, got {count}")
    random = np.random.RandomState(SEED)  # frozen by NumPy's policy, as its newer generators are not
    colours = random.randint(64, 192, (count, 1, 1, 3))
    notes = (f"made-up images in place of {like}: the numbers mean nothing",)
    original = facts_of(like)
    if task != "classification":
        train, test = (_draw_objects(random, colours, number, task) for number in OBJECTS)
        classes = (BACKGROUND, *(f"made-up {k}" for k in range(1, count)))
        return DataSet(classes, train, test, notes, kind=task)
    if original.get("kind") == "sequence":
        train, test = (_draw_texts(random, colours, number) for number in TEXTS)
        return DataSet(tuple(chr(ord("A") + k) for k in range(count)), train, test, notes, kind="sequence")
    return DataSet(
        classes=tuple(f"made-up {k}" for k in range(count)),
        train=_draw(random, colours, TRAIN),
        test=_draw(random, colours, TEST),
        notes=notes,
        ordered=original.get("ordered", False),
    )


def made_up_classes(*, like: str = "cifar10", num_classes: int | None = None) -> int:
    """Return how many classes `made_up` draws."""
    return min(facts_of(like).get("num_classes", CLASSES), CLASSES) if num_classes is None else num_classes


def _draw(random: np.random.RandomState, colours: np.ndarray, per_class: int) -> ImageTable:
    """Draw `each` images of every class. Shapes: colours [K, 1, 1, 3]."""
    labels = np.repeat(np.arange(len(colours), dtype=np.int64), per_class)
    images = (colours[labels] + random.randint(-64, 64, (len(labels), SIZE, SIZE, 3))).astype(np.uint8)
    corner = random.randint(0, SIZE // 4, (len(labels), 2))
    boxes = np.concatenate([corner, SIZE - corner[:, ::-1]], axis=1).astype(np.int64)
    return ImageTable(images, labels, boxes)


def _draw_objects(random: np.random.RandomState, colours: np.ndarray, number: int, task: str) -> DenseTable:
    images = random.randint(0, 48, (number, SIZE, SIZE, 3)).astype(np.uint8)
    annotations = []
    for image in images:
        objects: list[Any] = []
        for _ in range(random.randint(1, 4) if len(annotations) < number - 1 else 0):
            label, (x, y) = random.randint(1, len(colours)), random.randint(0, 20, 2)
            width, height = random.randint(8, 13, 2)
            image[y : y + height, x : x + width] = colours[label, 0, 0] + random.randint(-16, 16, (height, width, 3))
            objects.append([int(value) for value in (label, x, y, x + width, y + height)])
        annotations.append({"task": task, "objects": objects})
    return DenseTable(images, np.zeros(number, dtype=np.int64), annotations=annotations, read=_read_objects)


def _read_objects(value: dict[str, Any]) -> Annotation:
    pixels, masks = np.zeros((SIZE, SIZE), dtype=np.uint8), np.zeros((len(value["objects"]), SIZE, SIZE), dtype=bool)
    for mask, (label, x1, y1, x2, y2) in zip(masks, value["objects"], strict=True):
        pixels[y1:y2, x1:x2], mask[y1:y2, x1:x2] = label, True
    if value["task"] == "segmentation":
        return Annotation(pixels=pixels)
    numbers = np.array(value["objects"], dtype=np.int64).reshape(-1, 5)
    boxes = numbers[:, 1:].astype(np.float32)
    return Annotation(boxes=boxes, labels=numbers[:, 0], masks=masks if value["task"] != "detection" else None)


def _draw_texts(random: np.random.RandomState, colours: np.ndarray, number: int) -> ImageTable:
    """Draw images with texts, each in a box that leaves out the outermost pixels. Shapes: colours [K, 1, 1, 3]."""
    height, width = TEXT_SIZE
    labels = random.randint(0, len(colours), (number, TEXT_LENGTH)).astype(np.int64)
    stripes = np.arange(width) * TEXT_LENGTH // width  # [W], whose character a column shows
    images = colours[labels[:, stripes], 0].transpose(0, 2, 1, 3)  # [N, 1, W, 3]
    images = (images + random.randint(-64, 64, (number, height, width, 3))).astype(np.uint8)
    boxes = np.tile(np.array([1, 1, width - 1, height - 1], dtype=np.int64), (number, 1))
    return ImageTable(images, labels, boxes, strata=labels[:, 0])
