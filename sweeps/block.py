"""The block `sweep:` of a file, with the types and ranges of its keys, and the axes that it means."""

# Without `from __future__ import annotations`: the annotations are the types that values are checked against.

import functools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from configuration.chains import value_at
from configuration.schema import KEYS, Configuration, Key, Params, Positive
from configuration.settings import own_labels, show
from utils.own_names import split_key

LABEL = "name"
"""The entry of a mapping of values that go together by which it is called; no configuration key."""
KINDS = ("log", "uniform", "int", "choice")
"""How a value is drawn: from a range, evenly in its logarithm or in itself, a whole number, or one of a list."""

SAMPLERS = ("TPESampler", "RandomSampler", "QMCSampler", "GPSampler", "CmaEsSampler", "NSGAIISampler")
AUTO = "auto"
"""Of `seeds`: as many as the verdicts need, up to `most_seeds`."""
FIRST_LOOK = 4
"""Seeds that `seeds: auto` trains before it looks, and between two looks."""
PRUNERS = ("MedianPruner", "PercentilePruner", "HyperbandPruner", "SuccessiveHalvingPruner", "ThresholdPruner")
"""Those that need nothing but numbers: a grid is what `grid` is for."""


class Search(Struct, frozen=True, forbid_unknown_fields=True):
    """Ranges that Optuna draws from, and how."""

    ranges: dict[str, dict[str, Any]] = {}
    trials: Positive = 20
    sampler: str = "TPESampler"
    sampler_params: Params = {}
    pruner: str | None = None
    pruner_params: Params = {}


class Block(Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of `sweep:`; config_template.yml says what each means."""

    grid: dict[str, list[Any]] = {}
    seeds: Positive | list[int] | Literal["auto"] | None = None
    most_seeds: Annotated[int, Meta(ge=8)] = 20
    rope: Annotated[float, Meta(gt=0)] | None = None
    exclude: list[dict[str, Any]] = field(default_factory=list)
    search: Search | None = None
    ray_address: str | None = None
    gpus_per_run: Annotated[float, Meta(ge=0)] | None = None
    cpus_per_run: Annotated[float, Meta(gt=0)] | None = None
    retries: Annotated[int, Meta(ge=0)] = 2

    @property
    def seed_list(self) -> list[int]:
        """The seeds of each combination; empty for the one that stands outside of the sweep.

        Of `seeds: auto`, those that are trained before its first look.
        """
        if self.seeds == AUTO:
            return list(range(FIRST_LOOK))
        return list(range(self.seeds)) if isinstance(self.seeds, int) else list(self.seeds or ())


@dataclass(frozen=True)
class Point:
    """One value of an axis.

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
    """A key that varies, or several that vary together.

    Args:
        name: a configuration key, or what a list of values that go together is called.
        points: its values, in the order of the file.
    """

    name: str
    points: tuple[Point, ...]

    @property
    def keys(self) -> frozenset[Key]:
        return frozenset(key for point in self.points for key in point.overrides)

    def has(self, name: str) -> bool:
        """Tell whether a rule can name the axis, or a key that it sets, so."""
        return self.name == name or any(name in point.flat for point in self.points)

    def values_of(self, name: str, common: Mapping[str, Any]) -> list[Any]:
        """Return what each point gives to a name of a rule. Args: common: values of all runs, for points without it."""
        if self.name == name and is_group(name):
            return [point.label for point in self.points]
        return [point.flat.get(name, common_value(common, name)) for point in self.points]

    def without(self, fixed: Collection[Key]) -> "Axis":
        """Return what is left of the axis where some keys are set from outside: no point twice, perhaps none."""
        kept: dict[str, Point] = {}
        for point in self.points:
            overrides = {key: value for key, value in point.overrides.items() if not is_within(key, fixed)}
            if overrides:
                kept.setdefault(repr(overrides), Point(point.label, overrides))
        return Axis(self.name, tuple(kept.values()))


def build_axes(block: Block) -> list[Axis]:
    """Return the axes of a checked block; seeds first, so that a whole table is there after one seed."""
    axes = [Axis("seed", tuple(Point(str(seed), {("seed",): seed}) for seed in block.seed_list))]
    for name, values in block.grid.items():
        points = [_point(name, value) for value in values]
        labels = own_labels(point.label for point in points)
        axes.append(
            Axis(name, tuple(Point(label, point.overrides) for label, point in zip(labels, points, strict=True)))
        )
    return [axis for axis in axes if axis.points]


def is_group(name: str) -> bool:
    """Tell whether an entry of the grid is a name for values that go together, not a key."""
    return name.partition(".")[0] not in KEYS


def _point(name: str, value: Any) -> Point:
    if not is_group(name):
        return Point(show(value), {as_key(name): value})
    overrides = {as_key(key): inner for key, inner in value.items() if key != LABEL}
    label = ", ".join(f"{'.'.join(key)}={show(inner)}" for key, inner in overrides.items())
    return Point(str(value.get(LABEL, label)), overrides)


def listed(value: Any, known: list[Any]) -> list[Any]:
    """Return the values that an entry of a rule names: itself, or those in a list that is no value itself."""
    return value if isinstance(value, list) and value not in known else [value]


def common_value(values: Mapping[str, Any], name: str) -> Any:
    """Return the value that a dotted key has outside of the sweep, None if it has none."""
    return value_at({**Configuration().values(), **values}, as_key(name))


def as_key(name: str) -> Key:
    return split_key(name)


def is_within(key: Key, fixed: Collection[Key]) -> bool:
    return any(key[:depth] in fixed for depth in range(1, len(key) + 1))


def _flatten(values: Mapping[Key, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        yield ".".join(key), value
        if isinstance(value, dict):
            yield from _flatten({(*key, str(name)): inner for name, inner in value.items()})
