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
from datasets.cache import CacheUnavailable, cached_images
from datasets.readers.files import in_threads
from datasets.readers.images import stamp_of
from datasets.stream.image_stream import ImageStream

LOG = logging.getLogger("lossbench")
HEAD = 8  # bytes before an image of its own size: height and width


def keep_images(streams: Iterable[ImageStream], image_size: tuple[int, int], config: Configuration) -> None:
    """Have streams take their images from where `cache` says that they are kept, each prepared once for all.

    Args:
        streams: of a run; those whose images need no preparation are left as they are.
        image_size: height and width of the prepared images.

    Raises: ConfigError if they are to be kept where there is no room; DataError naming those that cannot be decoded, of
        the first table that has some.
    """
    groups: dict[str, list[ImageStream]] = {}
    for stream in streams:
        if stream.needs_preparing and config.cache != "none":
            groups.setdefault(_key(stream), []).append(stream)
    for key, group in groups.items():
        table, preprocessing = group[0].table, group[0].preprocessing
        auto = "memory" if isinstance(table.images, np.ndarray) else "disk"
        options: dict[str, Any] = {"where": auto if config.cache == "auto" else config.cache, "name": config.dataset}
        options |= {"limit_gb": config.cache_limit_gb, "indices": np.concatenate([stream.rows for stream in group])}
        try:
            if group[0].crops_originals:
                images: Any = ManySizes(group[0], key, options)
            else:
                shape = (len(table), *image_size, preprocessing.channels)
                images = cached_images(functools.partial(preprocessing.load, table), shape, key=key, **options)
        except CacheUnavailable as error:
            if config.cache != "auto":
                raise config.error({("cache",): f"cannot be {config.cache}: {error}"}) from None
            LOG.info("images are decoded again in every epoch: %s", error)
            continue
        for stream in group:
            stream.pixels = images


class ManySizes:
    """Images of many sizes in rows of one length, the table's largest: height and width, then the pixels."""

    def __init__(self, stream: ImageStream, key: str, options: dict[str, Any]) -> None:
        table, preprocessing = stream.table, stream.preprocessing
        self.channels, most = preprocessing.channels, 0
        affordable = options["limit_gb"] * 1e9 / len(np.unique(options["indices"])) / self.channels
        sizes = in_threads(functools.partial(preprocessing.size_of, table), range(len(table)))
        with contextlib.closing(sizes):
            for _, size in sizes:
                most = max(most, math.prod(size.result()))
                if most > affordable:
                    break  # too much: the other files need not be opened
        length = HEAD + most * self.channels

        def load(index: int) -> np.ndarray:
            image, content = preprocessing.load(table, index), np.zeros((1, 1, length), dtype=np.uint8)
            content[0, 0, :HEAD] = np.array(image.shape[:2], dtype="<u4").view(np.uint8)
            content[0, 0, HEAD : HEAD + image.size] = image.ravel()
            return content

        self.rows = cached_images(load, (len(table), 1, 1, length), key=key, **options)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return an image, uint8 [H, W, C], read-only."""
        content = self.rows[index].ravel()
        height, width = content[:HEAD].view("<u4").tolist()
        return content[HEAD : HEAD + height * width * self.channels].reshape(height, width, self.channels)


def _key(stream: ImageStream) -> str:
    """Return what distinguishes the prepared pixels of a stream's table from any others."""
    table, preprocessing = stream.table, stream.preprocessing
    digest = hashlib.sha256(repr((preprocessing.pixels_key, table.banner)).encode())
    if preprocessing.crop and table.boxes is not None:
        digest.update(np.ascontiguousarray(table.boxes).tobytes())
    in_memory = isinstance(table.images, np.ndarray)  # known by its address, to this process alone
    digest.update((str(id(table.images)) if in_memory else stamp_of(table.images, "").name).encode())
    return digest.hexdigest()
