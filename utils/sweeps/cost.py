"""What a sweep costs, to one digit, without reading any data or building any network."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from models import resolve_architecture
from models.sizes import Size, read_sizes
from utils.schema import Configuration
from utils.sweeps.cells import Sweep, axes_of, merge, overrides_of

Views = Callable[[str, dict[str, Any]], int]

TRAINING_IMAGES = {
    "digits": 1_438,
    "cifar10": 50_000,
    "cifar10_pair": 10_000,
    "cifar100": 50_000,
    "svhn": 73_257,
    "fashion_mnist": 60_000,
    "flowers102": 2_040,
    "cub200": 5_994,
    "fgvc_aircraft": 6_667,
    "imagenet": 1_281_167,
    "stanford_cars": 8_144,
    "made_up": 80,
}
"""Of the data sets whose size is fixed, as their authors give it."""
SVHN_EXTRA, FLOWERS_TRAIN = 531_131, 1_020
FORWARD_AND_BACKWARD = 3
"""The backward pass takes about twice the multiply-adds of the forward one."""
SPEED = 10**13
"""Multiply-adds a second that a GPU of today reaches on such networks, give or take a factor of three."""
KEYS = (
    *("dataset", "data_params", "flowers_train", "classes", "select_on", "valid_fraction", "image_size"),
    *("architecture", "architecture_params", "num_epochs", "loss_function", "loss_params"),
)


class Cost(NamedTuple):
    """What some runs cost.

    Attributes:
        multiply_adds: of all runs whose cost is known.
        unknown: how many are not known: other data sets, networks that were not counted.
    """

    multiply_adds: float
    unknown: int

    def __str__(self) -> str:
        if not self.multiply_adds:
            return "cost: not known"
        told = (
            f"cost: about {self.multiply_adds:.0e} multiply-adds to train, {_duration(self.multiply_adds / SPEED)} at "
        )
        told += f"{SPEED:.0e} a second (a GPU), to within a factor of a few"
        return told + (f"; without {self.unknown:,} runs of unknown cost" if self.unknown else "")


def estimate(sweep: Sweep, runs: Iterable[Sequence[int]], views: Views) -> Cost:
    """Estimate what runs cost: epochs x training images x the network's multiply-adds at the images' size x 3.

    Early stopping, validation and the time that images take to load are left out.

    Args:
        runs: the number of a run's point on each axis.
        views: loss and its parameters -> how many views of an image it trains on.
    """
    sizes, axes = read_sizes(), axes_of(sweep, KEYS)
    counts = Counter(tuple(numbers[axis] for axis in axes) for numbers in runs)
    total, unknown = 0.0, 0
    for numbers, count in counts.items():
        points = [sweep.axes[axis].points[number] for axis, number in zip(axes, numbers, strict=True)]
        cost = _multiply_adds(merge(sweep, overrides_of(points)), sizes, views)
        total, unknown = total + count * (cost or 0.0), unknown + count * (cost is None)
    return Cost(total, unknown)


def _multiply_adds(config: Configuration, sizes: dict[str, Size], views: Views) -> float | None:
    """Return what training costs; None for data and networks whose size is not known."""
    images = _training_images(config)
    size = sizes.get(resolve_architecture(config.architecture.partition(".")[0]))
    if images is None or size is None or size.multiply_adds is None or config.architecture_params.get("width"):
        return None
    scale = 1.0
    if config.size is not None:
        counted = [int(side) for side in size.image_size.split("x")]
        scale = math.prod(config.size) / (math.prod(counted) if len(counted) == 2 else counted[0] ** 2)
    replicas = views(config.loss_function, config.loss_params)
    return FORWARD_AND_BACKWARD * config.num_epochs * images * replicas * size.multiply_adds * scale


def _training_images(config: Configuration) -> float | None:
    images = TRAINING_IMAGES.get(config.dataset)
    if images is None or (config.classes is not None and config.dataset != "cifar10_pair"):
        return None
    if config.dataset == "svhn" and config.data_params.get("extra"):
        images += SVHN_EXTRA
    if config.dataset == "flowers102" and config.flowers_train == "train":
        images = FLOWERS_TRAIN
    return images * (1 - config.valid_fraction if config.select_on == "valid" else 1)


def _duration(seconds: float) -> str:
    """Return a time to one digit, in the unit that suits it."""
    for unit, name in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * unit:
            return f"{float(f'{seconds / unit:.0e}'):,.0f} {name}"
    return "two minutes or less"
