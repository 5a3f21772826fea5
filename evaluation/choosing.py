"""Some of a part's images: for what takes too long on all of them, or is looked at."""

from __future__ import annotations

import copy

import numpy as np

from datasets.stream.image_stream import ImageStream
from utils.seeding import derive_seed
from utils.types import ConfigError


def draw(number: int, limit: int | None, *seed: int | str) -> np.ndarray:
    """Return positions of at most `limit` among `number` images, ascending; a pure function of its arguments."""
    if limit is None or limit >= number:
        return np.arange(number)
    generator = np.random.default_rng(derive_seed(*seed))
    return np.sort(generator.choice(number, limit, replace=False))


def draw_of_each(labels: np.ndarray, limit: int | None, *seed: int | str) -> np.ndarray:
    """Return positions of at most `limit` images of each label, ascending. Shapes: labels [N]."""
    places = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.sort(np.concatenate([each[draw(len(each), limit, *seed)] for each in places]))


def pick(stream: ImageStream, positions: np.ndarray) -> ImageStream:
    """Return a stream of some of a stream's images; pixels that are kept stay so."""
    picked = copy.copy(stream)
    picked.rows = stream.rows[positions]
    return picked


def require(evaluation: str, parameter: str, fits: bool, allowed: str, value: object) -> None:
    """Raise ConfigError, with the parameter's key at its head, unless a value fits."""
    if not fits:
        raise ConfigError(f"evaluate_params.{evaluation}.{parameter}: must be {allowed}, got {value}")
