"""What a sweep would run, in a few lines."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from configuration.schema import WITHOUT_INFLUENCE, Configuration
from losses import build_loss
from runs.identity import settings_of
from sweeps.axes import Axis, build_axes, is_within
from sweeps.cells import Sweep, by_seed, combinations, count, expand, planned
from sweeps.cost import estimate
from sweeps.reading import IDLE
from sweeps.running import Shard

NAMES, LABELS = 5, 12
"""How many runs, and how many values of a key, are shown."""
MOST_LOOKED_AT = 1000
"""Runs of a sweep, at most, that are looked at for being the same as others."""


def describe(sweep: Sweep, shard: Shard, size: Callable[[Configuration], int | None] = lambda config: None) -> str:
    """Return how many runs there are, the names of the first, what varies, and what they cost.

    Args: size: tells how many images the training part of a data set has that was read.
    """
    total = count(sweep)
    runs: Iterable[tuple[int, ...]] = shard.of(combinations(sweep))
    cells = list(itertools.islice(shard.of(expand(sweep)), NAMES))
    mine = len(range(shard.number - 1, total, shard.parts))
    left_out = _product(sweep) - total
    lines = [f"{total:,} runs" + (f"; {left_out:,} combinations left out by exclude" if left_out else "")]
    if shard.parts > 1:
        lines.append(f"{mine:,} of them in part {shard.number} of {shard.parts}")
    if (search := sweep.block.search) is not None:
        searched = by_seed(sweep)
        others = total - len(searched)
        lines = [
            f"{planned(sweep):,} runs: {search.trials} trials of each of {len(searched):,} combinations on the first "
            f"seed, then {others:,} with the best values on the others",
            f"drawn by {search.sampler}: {', '.join(search.ranges)}",
        ]
        runs = itertools.chain.from_iterable([seeds[0]] * search.trials + seeds[1:] for seeds in searched)
    lines += [*_not_varied(sweep), *_doubled(sweep, total)]
    lines += [f"  {cell.name}" for cell in cells]
    lines += [f"  and {mine - len(cells):,} more"] if mine > len(cells) else []
    lines += ["varied", *(f"  {axis.name}: {_labels(axis)}" for axis in sweep.axes)]
    return "\n".join([*lines, str(estimate(sweep, runs, _Views(), size))])


def _not_varied(sweep: Sweep) -> list[str]:
    """Return a line for each axis that has lost points to what the command line gives."""
    left = {axis.name: len(axis.points) for axis in sweep.axes}
    lines = []
    for axis in build_axes(sweep.block):
        if left.get(axis.name, 0) < len(axis.points):
            given = sorted({".".join(key) for key in axis.keys if is_within(key, sweep.fixed)})
            many = f"{left[axis.name]} of {len(axis.points)} are left" if axis.name in left else "not varied"
            lines.append(f"{axis.name}: {many}, as the command line gives {', '.join(given)}")
    return lines


def _doubled(sweep: Sweep, total: int) -> list[str]:
    """Return a line on runs that are the same as others, such as where a value has no effect with another's."""
    same: dict[str, list[str]] = {}
    for cell in expand(sweep) if total <= MOST_LOOKED_AT else ():
        where = [getattr(cell.config, key) for key in WITHOUT_INFLUENCE - IDLE]
        settings = settings_of(cell.config)
        same.setdefault(f"{sorted(settings.items(), key=str)} {where}", []).append(cell.name)
    doubled = [" = ".join(names) for names in same.values() if len(names) > 1]
    number = total - len(same) if doubled else 0
    more = f"; and {len(doubled) - NAMES:,} more" if len(doubled) > NAMES else ""
    return [f"{number:,} of them are the same as others and done once: {'; '.join(doubled[:NAMES])}{more}"] * bool(
        doubled
    )


class _Views:
    """Loss and its parameters -> how many views of an image it trains on; each loss is built once."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def __call__(self, name: str, params: dict[str, Any]) -> int:
        identity = json.dumps([name, params], sort_keys=True, default=str)
        if identity not in self.known:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # told by the run that has it
                self.known[identity] = build_loss(name, None, **params).views
        return self.known[identity]


def _labels(axis: Axis) -> str:
    shown = " | ".join(point.label for point in axis.points[:LABELS])
    return shown + (f" | and {len(axis.points) - LABELS:,} more" if len(axis.points) > LABELS else "")


def _product(sweep: Sweep) -> int:
    product = 1
    for axis in sweep.axes:
        product *= len(axis.points)
    return product
