"""The plan of a sweep in a few lines: how many runs, their names, what varies, and what they cost to one digit.

The cost is estimated without reading any data or building any network.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from configuration.schema import Configuration
from datasets import READ_BY, known_num_classes, known_num_images, params_of_every_set
from datasets.rows import long_tailed_counts
from models import resolve_architecture
from models.sizes import Size, read_sizes
from sweeps.block import AUTO, build_axes, is_within
from sweeps.cells import Sweep, axes_of, by_seed, combinations, count, expand, merge, overrides_of, planned
from sweeps.checks import identity_of
from sweeps.jobs import Shard
from sweeps.seeds import detectable, looks
from training.losses import build_loss
from utils.types import first_few

DataSize = Callable[[Configuration], int | None]
"""The number of images in the training part of a data set that was read, None for others."""

NAMES, LABELS = 5, 12
"""How many runs, and how many values of a key, are shown."""
MOST_LOOKED_AT = 1000
"""Runs of a sweep, at most, that are compared with one another."""
FORWARD_AND_BACKWARD = 3
"""The backward pass takes about twice the multiply-adds of the forward one."""
SPEEDS = {"a GPU": 10**13, "a core of a CPU": 2 * 10**10}
"""Multiply-adds a second that one of today reaches on such networks, give or take a factor of three."""
COSTS_DEPEND_ON = (
    *READ_BY,
    *("smoke", "select_on", "valid_fraction", "image_size"),
    *("architecture", "architecture_params", "num_epochs", "loss_function", "loss_params"),
)


def describe(sweep: Sweep, shard: Shard, size: DataSize = lambda config: None) -> str:
    """Return how many runs there are, the names of the first, what varies, and what they cost."""
    total, search = count(sweep), sweep.block.search
    runs: Iterable[tuple[int, ...]] = shard.of(combinations(sweep))
    mine = len(range(shard.number - 1, total, shard.parts))
    left_out = math.prod(len(axis.points) for axis in sweep.axes) - total
    lines = [f"{total:,} runs" + (f"; {left_out:,} combinations left out by exclude" if left_out else "")]
    if shard.parts > 1:
        lines.append(f"{mine:,} of them in part {shard.number} of {shard.parts}")
    if search is not None:
        searched = by_seed(sweep)
        lines = [
            f"{planned(sweep):,} runs: {search.trials} trials of each of {len(searched):,} combinations on the first "
            f"seed, then {total - len(searched):,} with the best values on the others",
            f"drawn by {search.sampler}: {', '.join(search.ranges)}",
        ]
        runs = itertools.chain.from_iterable([seeds[0]] * search.trials + seeds[1:] for seeds in searched)
    lines += [*_not_varied(sweep), *(_doubled(sweep) if total <= MOST_LOOKED_AT else ())]
    lines += [f"  {cell.name}" for cell in itertools.islice(shard.of(expand(sweep)), NAMES)]
    lines += [f"  and {mine - NAMES:,} more"] if mine > NAMES else []
    lines += _power(sweep)
    axes = (f"  {axis.name}: {first_few([p.label for p in axis.points], LABELS, ' | ')}" for axis in sweep.axes)
    return "\n".join([*lines, "varied", *axes, estimate(sweep, runs, size).text])


def _power(sweep: Sweep) -> Iterator[str]:
    """Yield what difference the seeds can tell, for sweeps that compare something."""
    seeds = next((len(axis.points) for axis in sweep.axes if axis.name == "seed"), 1)
    rows = next((len(axis.points) for axis in sweep.axes if axis.has("loss_function")), 0)
    if sweep.block.seeds == AUTO:
        numbers = ", ".join(map(str, looks(sweep.block.most_seeds)))
        yield f"seeds: auto looks after {numbers} seeds and stops when all verdicts are decided"
    elif rows > 1 and seeds == 1:
        yield "one seed: no difference can be told from chance; 4 seeds or more can (seeds: 4)"
    elif rows > 1:
        size = detectable(seeds, rows - 1)
        yield (
            f"{seeds} seeds show a difference of {0.3 * size:.2f} points with probability 0.8 if runs spread by 0.3 "
            f"({size:.1f} times the spread; {rows - 1} comparison{'s'[: rows > 2]}, many test images)"
        )


def _not_varied(sweep: Sweep) -> Iterator[str]:
    """Yield a line for each axis that has lost points to what the command line sets."""
    left = {axis.name: len(axis.points) for axis in sweep.axes}
    for axis in build_axes(sweep.block):
        if left.get(axis.name, 0) < len(axis.points):
            keys = sorted({".".join(key) for key in axis.keys if is_within(key, sweep.fixed)})
            many = f"{left[axis.name]} of {len(axis.points)} are left" if axis.name in left else "not varied"
            yield f"{axis.name}: {many}, as the command line sets {', '.join(keys)}"


def _doubled(sweep: Sweep) -> Iterator[str]:
    """Yield a line on runs that are the same as others, such as where a value has no effect with another's."""
    same: dict[Any, list[str]] = {}
    for cell in expand(sweep):
        same.setdefault(identity_of(cell.config), []).append(cell.name)
    if doubled := [names for names in same.values() if len(names) > 1]:
        number = sum(map(len, doubled)) - len(doubled)
        names = first_few([" = ".join(names) for names in doubled], NAMES, "; ")
        yield f"{number:,} of them are the same as others and done once: {names}"


class Cost(NamedTuple):
    """The cost of some runs, in multiply-adds of those whose cost is known, and in words."""

    multiply_adds: float
    text: str


def estimate(sweep: Sweep, runs: Iterable[Sequence[int]], size: DataSize = lambda config: None) -> Cost:
    """Estimate what runs cost: epochs x training images x views of each x the network's multiply-adds x 3.

    Early stopping, validation and the time that images take to load are left out.

    Args:
        runs: the number of a run's point on each axis.
        size: of data sets whose authors state no number.
    """
    sizes, axes = read_sizes(), axes_of(sweep, COSTS_DEPEND_ON)
    counts = Counter(tuple(numbers[axis] for axis in axes) for numbers in runs)
    total, unknown = 0.0, 0
    reasons: dict[str, dict[str, None]] = {}
    for numbers, number in counts.items():
        points = [sweep.axes[axis].points[number] for axis, number in zip(axes, numbers, strict=True)]
        config = merge(sweep, overrides_of(points))
        images, network = _training_images(config, size), _multiply_adds(config, sizes)
        if images is None:
            reasons.setdefault("the data's size is not known", {})[config.dataset] = None
        if network is None:
            width = config.architecture_params.get("width")
            name = config.architecture + (f" of width {width}" if width else "")
            reasons.setdefault("the network was not counted", {})[name] = None
        if images is None or network is None:
            unknown += number
        else:
            views = _views(config.loss_function, json.dumps(config.loss_params, default=str))
            total += number * FORWARD_AND_BACKWARD * config.num_epochs * images * views * network
    why = "; ".join(f"{reason} ({first_few(names, 3)})" for reason, names in sorted(reasons.items()))
    if not total:
        return Cost(total, f"cost: not known: {why}")
    times = [f"{_duration(total / speed)} on {device}" for device, speed in SPEEDS.items()]
    text = f"cost: about {total:.0e} multiply-adds to train, {', '.join(times)}, "
    text += "to within a factor of a few, beside some seconds for the start of each run"
    return Cost(total, text + (f"; without {unknown:,} runs of unknown cost: {why}" if unknown else ""))


@functools.cache
def _views(name: str, params: str) -> int:
    """Return how many views of an image a loss trains on. Args: params: its parameters, as JSON."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the run that has it warns
        return build_loss(name, None, **json.loads(params)).views


def _multiply_adds(config: Configuration, sizes: dict[str, Size]) -> float | None:
    """Return the multiply-adds of a network for one image, None where it was not counted."""
    size = sizes.get(resolve_architecture(config.architecture.partition(".")[0]))
    if size is None or size.multiply_adds is None or config.architecture_params.get("width"):
        return None
    if config.size is None:
        return size.multiply_adds
    counted = [int(side) for side in size.image_size.split("x")]
    return size.multiply_adds * math.prod(config.size) / (math.prod(counted) if len(counted) == 2 else counted[0] ** 2)


def _training_images(config: Configuration, size: DataSize) -> float | None:
    """Return how many images are trained on, without those that are held out; None where it is not known."""
    images = known_num_images(config)
    images = size(config) if images is None else images
    if images is None:
        return None
    held_out = config.valid_fraction if config.select_on == "valid" else 0
    return images * (1 - held_out) * _share_kept(config)


def _share_kept(config: Configuration) -> float:
    """Return the share of the training images that `imbalance` keeps, where the classes are equally large."""
    imbalance, classes = params_of_every_set(config).get("imbalance", 1.0), known_num_classes(config)
    if imbalance == 1 or classes is None:
        return 1.0
    kind = params_of_every_set(config).get("imbalance_kind", "exponential")
    many = np.full(classes, 10**6)
    return float(long_tailed_counts(many, imbalance, kind).sum() / many.sum())


def _duration(seconds: float) -> str:
    """Return a time to one digit, in the unit that suits it."""
    for unit, name in ((365 * 86_400.0, "years"), (86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * unit:
            return f"{float(f'{seconds / unit:.0e}'):,.0f} {name}"
    return "two minutes or less"
