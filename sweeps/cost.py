"""What a sweep costs, to one digit, without reading any data or building any network."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from configuration.schema import Configuration
from datasets import READ_BY, known_num_images
from models import resolve_architecture
from models.sizes import Size, read_sizes
from sweeps.cells import Sweep, axes_of, merge, overrides_of

Views = Callable[[str, dict[str, Any]], int]
DataSize = Callable[[Configuration], int | None]

FORWARD_AND_BACKWARD = 3
"""The backward pass takes about twice the multiply-adds of the forward one."""
NAMED = 3
"""How many data sets, and how many networks, of unknown size are named before the rest is counted."""
SPEEDS = {"a GPU": 10**13, "a core of a CPU": 2 * 10**10}
"""Multiply-adds a second that one of today reaches on such networks, give or take a factor of three."""
KEYS = (
    *READ_BY,
    *("smoke", "select_on", "valid_fraction", "image_size"),
    *("architecture", "architecture_params", "num_epochs", "loss_function", "loss_params"),
)


class Cost(NamedTuple):
    """What some runs cost.

    Attributes:
        multiply_adds: of all runs whose cost is known.
        unknown: of how many it is not.
        data, networks: those of unknown size.
    """

    multiply_adds: float
    unknown: int
    data: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()

    def __str__(self) -> str:
        reasons = {"the data's size is not known": self.data, "the network was not counted": self.networks}
        why = "; ".join(f"{reason} ({_named(names)})" for reason, names in reasons.items() if names)
        if not self.multiply_adds:
            return f"cost: not known: {why}"
        times = [f"{_duration(self.multiply_adds / speed)} on {device}" for device, speed in SPEEDS.items()]
        told = f"cost: about {self.multiply_adds:.0e} multiply-adds to train, {', '.join(times)}, "
        told += "to within a factor of a few, beside some seconds for the start of each run"
        return told + (f"; without {self.unknown:,} runs of unknown cost: {why}" if self.unknown else "")


def estimate(sweep: Sweep, runs: Iterable[Sequence[int]], views: Views, size: DataSize = lambda config: None) -> Cost:
    """Estimate what runs cost: epochs x training images x the network's multiply-adds at the images' size x 3.

    Early stopping, validation and the time that images take to load are left out.

    Args:
        runs: the number of a run's point on each axis.
        views: loss and its parameters -> how many views of an image it trains on.
        size: tells how many images the training part of a data set has, where its authors' number does not; or None.
    """
    sizes, axes = read_sizes(), axes_of(sweep, KEYS)
    counts = Counter(tuple(numbers[axis] for axis in axes) for numbers in runs)
    total, unknown = 0.0, 0
    data, networks = dict[str, None](), dict[str, None]()
    for numbers, count in counts.items():
        points = [sweep.axes[axis].points[number] for axis, number in zip(axes, numbers, strict=True)]
        config = merge(sweep, overrides_of(points))
        images, network = _training_images(config, size), _network(config, sizes)
        if images is None:
            data[config.dataset] = None
        if network is None:
            width = config.architecture_params.get("width")
            networks[config.architecture + (f" of width {width}" if width else "")] = None
        if images is None or network is None:
            unknown += count
        else:
            replicas = views(config.loss_function, config.loss_params)
            total += count * FORWARD_AND_BACKWARD * config.num_epochs * images * replicas * network
    return Cost(total, unknown, tuple(data), tuple(networks))


def _network(config: Configuration, sizes: dict[str, Size]) -> float | None:
    """Return the multiply-adds of a network for one image, None where it was not counted."""
    size = sizes.get(resolve_architecture(config.architecture.partition(".")[0]))
    if size is None or size.multiply_adds is None or config.architecture_params.get("width"):
        return None
    if config.size is None:
        return size.multiply_adds
    counted = [int(side) for side in size.image_size.split("x")]
    return size.multiply_adds * math.prod(config.size) / (math.prod(counted) if len(counted) == 2 else counted[0] ** 2)


def _training_images(config: Configuration, size: DataSize) -> float | None:
    """Return how many images are trained on, those that are held out left out; None where it is not known."""
    images = known_num_images(config)
    images = size(config) if images is None else images
    held_out = config.valid_fraction if config.select_on == "valid" else 0
    return None if images is None else images * (1 - held_out)


def _named(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _duration(seconds: float) -> str:
    """Return a time to one digit, in the unit that suits it."""
    for unit, name in ((365 * 86_400.0, "years"), (86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * unit:
            return f"{float(f'{seconds / unit:.0e}'):,.0f} {name}"
    return "two minutes or less"
