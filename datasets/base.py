"""A data set: for each part one table, whose rows are an image, a label and perhaps a box."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.readers.files import Paths
from datasets.readers.images import EncodedImage, decode, image_size
from utils.lookup import did_you_mean
from utils.types import ConfigError


@dataclass(frozen=True)
class ImageTable:
    """One part of a data set. The image, label and box of an index stand together and are never matched by a listing.

    Args:
        images: uint8 array [N, H, W] (grayscale) or [N, H, W, 3] (RGB) for sets held in memory, else N paths or encoded
            images.
        labels: [N] int64, 0-based, in the order of the data set's `classes`; of sequences [N, L], a row a text, a
            character a class, with -1 behind the text.
        boxes: [N, 4] int64 or None: x1, y1, x2, y2 in pixels, 0-based, x2 and y2 exclusive, inside the image.
        banner: rows of pixels at the bottom of every file that are no part of the image and are cut off.
        strata: [N] int64, by which a share for validation is held out; None for the classes.
    """

    images: np.ndarray | Sequence[Path | EncodedImage]
    labels: np.ndarray
    boxes: np.ndarray | None = None
    banner: int = 0
    strata: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: np.ndarray) -> ImageTable:
        """Return some images as a table of their own. Shapes: indices [M]."""
        table = self.images
        images = table[indices] if isinstance(table, np.ndarray) else [table[int(index)] for index in indices]
        columns = {"labels": self.labels, "boxes": self.boxes, "strata": self.strata}
        selected = {name: None if column is None else column[indices] for name, column in columns.items()}
        return dataclasses.replace(self, images=images, **selected)

    def pixels(self, index: int) -> np.ndarray:
        """Return an image: uint8 [H, W, 1] (grayscale), [H, W, 3] (RGB) or [H, W, 4] (nothing in the fourth).

        Raises: DataError naming the file if it cannot be decoded.
        """
        image = self.images[index]
        pixels = image if isinstance(image, np.ndarray) else decode(image)
        pixels = pixels if pixels.ndim == 3 else pixels[..., None]
        return pixels[: -self.banner] if self.banner else pixels

    def load(self, index: int) -> Image.Image:
        """Return an image of mode L or RGB. Raises: as `pixels`."""
        pixels = self.pixels(index)
        return Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else np.ascontiguousarray(pixels[..., :3]))

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width of an image, read from its file's head only.

        Raises: DataError as `load`, as far as the head shows.
        """
        image = self.images[index]
        if isinstance(image, np.ndarray):
            return image.shape[0], image.shape[1]
        width, height = image_size(image)
        return height - self.banner, width

    def name(self, index: int) -> str:
        """Return the name of an image in messages."""
        image = self.images[index]
        return f"image {index}" if isinstance(image, np.ndarray) else str(image)


@dataclass(frozen=True)
class DataSet:
    """A data set as its authors publish it.

    Args:
        classes: class names in official order; label k is `classes[k]`. Of sequences the characters; the blank that a
            loss may need is none of them.
        train: the training part; validation is held out of it by the data module.
        test: the official test part.
        notes: what a reader of the results must know, such as "512 boxes clipped"; printed once, kept with the run.
        kind: "image" or "sequence", which must match the loss, or the `task` that the tables are annotated for.
        ordered: the classes stand in an order that means something, such as ages.
    """

    classes: tuple[str, ...]
    train: ImageTable
    test: ImageTable
    notes: tuple[str, ...] = ()
    kind: str = "image"
    ordered: bool = False


def table_by_class(images: Mapping[str, Sequence[Path]], classes: Sequence[str]) -> ImageTable:
    """Return the images of each class, class after class; those of other classes are left out."""
    parts = [images.get(name, ()) for name in classes]
    paths = Paths(text for part in parts for text in (part.texts if isinstance(part, Paths) else map(str, part)))
    counts = [len(part) for part in parts]
    return ImageTable(paths, np.repeat(np.arange(len(classes), dtype=np.int64), counts))


def join_tables(tables: Sequence[ImageTable]) -> ImageTable:
    """Return the rows of tables held in memory, without boxes and of equal image sizes, one table after the other."""
    images = np.concatenate([np.asarray(table.images) for table in tables])
    return ImageTable(np.ascontiguousarray(images), np.concatenate([table.labels for table in tables]))


def sample_note(counts: Sequence[int], official: Sequence[int]) -> tuple[str, ...]:
    """Return the note on parts that hold other numbers of images than the published ones, or none."""
    if tuple(counts) == tuple(official):
        return ()
    here, whole = (" + ".join(f"{count:,}" for count in numbers) for numbers in (counts, official))
    return (f"a sample: {here} of {whole} images",)


def keep_classes(data_set: DataSet, names: Sequence[str]) -> DataSet:
    """Return a data set of some of its classes only; label k is then `names[k]`.

    Raises: ConfigError for a name that is no class or stands twice, for fewer than two, and for sequences, whose
        classes are characters.
    """
    if data_set.kind == "sequence":
        raise ConfigError(f"classes: leave it out: the data holds {data_set.kind}s, whose classes are characters")
    if data_set.kind != "image":
        raise ConfigError("classes: leave it out: an image shows several")
    more = f", and {len(data_set.classes) - 12} more" if len(data_set.classes) > 12 else ""
    held = f"; it has {', '.join(data_set.classes[:12])}{more}"
    problems = [
        f"classes: {name!r} is no class of the data{did_you_mean(name, data_set.classes)}{held}"
        for name in names
        if name not in data_set.classes
    ]
    problems += [f"classes: {name!r} stands twice" for name in dict.fromkeys(names) if list(names).count(name) > 1]
    if len(names) < 2:
        problems.append(f"classes: must name at least two, got {len(names)}")
    if problems:
        raise ConfigError("\n".join(problems))
    old_labels = [data_set.classes.index(name) for name in names]
    new_label = np.full(len(data_set.classes), -1)
    new_label[old_labels] = np.arange(len(names))
    ordered = data_set.ordered and old_labels == sorted(old_labels)
    parts = {}
    for part in ("train", "test"):
        table = getattr(data_set, part)
        kept = table.select(np.flatnonzero(new_label[table.labels] >= 0))
        parts[part] = dataclasses.replace(kept, labels=new_label[kept.labels])
    return dataclasses.replace(data_set, classes=tuple(names), ordered=ordered, **parts)
