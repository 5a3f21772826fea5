"""Images of a run that are decoded, cut and resized once instead of in every epoch."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from configuration.schema import Configuration
from datasets.base import ImageTable
from datasets.cache import CachedImages, CacheUnavailable, cached_images
from datasets.preprocessing import Preprocessing
from datasets.readers.files import in_threads
from datasets.readers.images import stamp_of
from datasets.stream.image_stream import ImageStream

LOG = logging.getLogger("lossbench")


def keep_images(streams: Iterable[ImageStream], image_size: tuple[int, int], config: Configuration) -> None:
    """Have streams take their images from where `cache` says that they are kept, each image prepared once for all.

    Args:
        streams: of a run; those whose images need no preparation are left as they are.
        image_size: height and width of the prepared images.

    Raises: ConfigError if they are to be kept where there is no room; DataError naming those that cannot be decoded, of
        the first table that has some.
    """
    if config.cache == "none":
        return
    alike: dict[str, list[ImageStream]] = {}
    for stream in streams:
        if stream.needs_preparing:
            alike.setdefault(_key(stream), []).append(stream)
    for key, sharing in alike.items():
        _keep(key, sharing, image_size, config)


def _keep(key: str, streams: list[ImageStream], image_size: tuple[int, int], config: Configuration) -> None:
    """Keep the images of streams of one table that are prepared alike."""
    table, preprocessing = streams[0].table, streams[0].preprocessing
    in_memory = isinstance(table.images, np.ndarray)
    where = ("memory" if in_memory else "disk") if config.cache == "auto" else config.cache
    rows = np.concatenate([stream.rows for stream in streams])
    options: dict[str, Any] = {"where": where, "limit_gb": config.cache_limit_gb, "name": config.dataset}
    try:
        if streams[0].crops_originals:
            images: Any = _of_many_sizes(table, preprocessing, rows, key, options)
        else:
            shape = (len(table), *image_size, preprocessing.channels)
            images = cached_images(functools.partial(preprocessing.load, table), shape, rows, key, **options)
    except CacheUnavailable as error:
        if config.cache != "auto":
            raise config.error({("cache",): f"cannot be {config.cache}: {error}"}) from None
        LOG.info("images are decoded anew in every epoch: %s", error)
        return
    for stream in streams:
        stream.pixels = images


class ManySizes:
    """Images of many sizes in rows of one length: height and width, four bytes each, then the pixels."""

    HEAD = 8

    def __init__(self, rows: CachedImages, channels: int) -> None:
        self.rows, self.channels = rows, channels

    def __getitem__(self, row: int) -> np.ndarray:
        """Return the image of a row, uint8 [H, W, C], read-only."""
        content = self.rows[row].ravel()
        height, width = content[: self.HEAD].view("<u4").tolist()
        end = self.HEAD + height * width * self.channels
        return content[self.HEAD : end].reshape(height, width, self.channels)

    @classmethod
    def pack(cls, length: int, image: np.ndarray) -> np.ndarray:
        """Shapes: [H, W, C] uint8 -> [1, 1, length], zeros behind the pixels."""
        content = np.zeros((1, 1, length), dtype=np.uint8)
        content[0, 0, : cls.HEAD] = np.array(image.shape[:2], dtype="<u4").view(np.uint8)
        content[0, 0, cls.HEAD : cls.HEAD + image.size] = image.ravel()
        return content


def _of_many_sizes(
    table: ImageTable, preprocessing: Preprocessing, rows: np.ndarray, key: str, options: dict[str, Any]
) -> ManySizes:
    """Keep images each in its own size; every row takes the room of the table's largest, whatever the split."""
    most, number, limit = 0, len(np.unique(rows)), options["limit_gb"] * 1e9
    with contextlib.closing(in_threads(functools.partial(preprocessing.size_of, table), range(len(table)))) as sizes:
        for _, size in sizes:
            most = max(most, math.prod(size.result()))
            if number * most * preprocessing.channels > limit:
                break  # so much is refused; the other files need not be opened
    length = ManySizes.HEAD + most * preprocessing.channels

    def load(row: int) -> np.ndarray:
        return ManySizes.pack(length, preprocessing.load(table, row))

    return ManySizes(cached_images(load, (len(table), 1, 1, length), rows, key, **options), preprocessing.channels)


def _key(stream: ImageStream) -> str:
    """Return what tells the prepared pixels of a stream's table from any others."""
    table, preprocessing = stream.table, stream.preprocessing
    digest = hashlib.sha256(repr((preprocessing.pixels_key, table.banner)).encode())
    if preprocessing.crop and table.boxes is not None:
        digest.update(np.ascontiguousarray(table.boxes).tobytes())
    if isinstance(table.images, np.ndarray):
        digest.update(str(id(table.images)).encode())  # kept by this process alone
    else:
        digest.update(stamp_of(table.images, "").name.encode())
    return digest.hexdigest()
