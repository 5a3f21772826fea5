"""Images of a run that are decoded, cut and resized once instead of in every epoch."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Iterable

import numpy as np

from datasets.cache import CacheUnavailable, cached_images
from datasets.images import stamp_of
from datasets.stream import ImageStream
from utils.configuration.schema import Configuration

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
    try:
        images = cached_images(
            functools.partial(preprocessing.load, table),
            (len(table), *image_size, preprocessing.channels),
            np.concatenate([stream.rows for stream in streams]),
            key,
            where=where,  # type: ignore[arg-type]
            limit_gb=config.cache_limit_gb,
            name=config.dataset,
        )
    except CacheUnavailable as error:
        if config.cache != "auto":
            raise config.error({("cache",): f"cannot be {config.cache}: {error}"}) from None
        LOG.info("images are decoded anew in every epoch: %s", error)
        return
    for stream in streams:
        stream.pixels = images


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
