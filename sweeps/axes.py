"""The axes of a sweep: what varies, and the values that it takes."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from configuration.schema import KEYS, Key
from configuration.settings import show
from sweeps.block import Block

LABEL = "name"
"""What a mapping of values that go together may be called by; no configuration key."""


@dataclass(frozen=True)
class Point:
    """One place on an axis.

    Args:
        label: how it is called in a cell's name.
        overrides: key -> value, for all keys that it sets.
    """

    label: str
    overrides: dict[Key, Any]

    @functools.cached_property
    def flat(self) -> dict[str, Any]:
        """Dotted key -> value, of the overrides and of all that lies in them."""
        return dict(_flatten(self.overrides))


@dataclass(frozen=True)
class Axis:
    """What varies.

    Args:
        name: a configuration key, or what a list of values that go together is called.
        points: its values, in the order of the file.
    """

    name: str
    points: tuple[Point, ...]

    @property
    def keys(self) -> frozenset[Key]:
        return frozenset(key for point in self.points for key in point.overrides)

    def without(self, fixed: Collection[Key]) -> Axis:
        """Return what is left of the axis where some keys are given from outside: no point twice, perhaps none."""
        kept: dict[str, Point] = {}
        for point in self.points:
            overrides = {key: value for key, value in point.overrides.items() if not is_within(key, fixed)}
            if overrides:
                kept.setdefault(repr(overrides), Point(point.label, overrides))
        return Axis(self.name, tuple(kept.values()))


def build_axes(block: Block) -> list[Axis]:
    """Return the axes of a block that was found right; seeds first, so that a whole table is there after one seed."""
    axes = [Axis("seed", tuple(Point(str(seed), {("seed",): seed}) for seed in block.seed_list))]
    axes += [Axis(name, tuple(_point(name, value) for value in values)) for name, values in block.grid.items()]
    return [axis for axis in axes if axis.points]


def is_group(name: str) -> bool:
    """Tell whether an entry of the grid is a name for values that go together, not a key."""
    return name.partition(".")[0] not in KEYS


def _point(name: str, value: Any) -> Point:
    if not is_group(name):
        return Point(show(value), {as_key(name): value})
    overrides = {as_key(key): inner for key, inner in value.items() if key != LABEL}
    told = ", ".join(f"{'.'.join(key)}={show(inner)}" for key, inner in overrides.items())
    return Point(str(value.get(LABEL, told)), overrides)


def as_key(name: str) -> Key:
    return tuple(name.split("."))


def is_within(key: Key, fixed: Collection[Key]) -> bool:
    return any(key[:depth] in fixed for depth in range(1, len(key) + 1))


def _flatten(values: Mapping[Key, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        yield ".".join(key), value
        if isinstance(value, dict):
            yield from _flatten({(*key, str(name)): inner for name, inner in value.items()})
