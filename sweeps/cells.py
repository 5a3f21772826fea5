"""The runs that a sweep means: every combination of its axes' values that no rule leaves out."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from configuration.chains import put, value_at
from configuration.reading import is_mapping
from configuration.schema import COMMAND_LINE, Configuration, Key
from configuration.settings import show
from configuration.smoke import shrink
from sweeps.block import Axis, Block, Point, as_key, build_axes, common_value, is_group, listed

Rule = dict[int, frozenset[int]]
"""What is left out: axis -> the numbers of its points, all axes together."""


@dataclass(frozen=True)
class Sweep:
    """A sweep that was read.

    Args:
        base: the configuration of all runs; its `sweep` is still there.
        block: the file's `sweep`.
        axes: without the keys that the command line sets; the first varies slowest.
        fixed: keys that the command line sets; they hold for every run.
        rules: the combinations that are left out.
    """

    base: Configuration
    block: Block
    axes: tuple[Axis, ...]
    fixed: frozenset[Key]
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Args:
        name: unique in the sweep.
        overrides: key -> value, where it differs from the base; of a key and one within it, both.
        together: name of a list of values that go together -> label of this run's.
    """

    name: str
    overrides: dict[Key, Any]
    sweep: Sweep
    together: dict[str, str] = field(default_factory=dict)

    @functools.cached_property
    def config(self) -> Configuration:
        """The merged configuration of the run."""
        config = merge(self.sweep, self.overrides)
        return config if config.run_name is not None else msgspec.structs.replace(config, run_name=self.name)


def load_sweep(base: Configuration) -> Sweep:
    """Return the sweep of a configuration whose `sweep` was checked when it was read; of one run where it has none.

    An axis whose keys the command line sets is gone, and the points that are left of others are there once.

    Raises: ConfigError if every run is left out.
    """
    block = msgspec.convert(base.sweep or {}, Block)
    fixed = frozenset(key for key, place in base._places.items() if place == COMMAND_LINE and key[0] != "sweep")
    axes = tuple(left for axis in build_axes(block) if (left := axis.without(fixed)).points)
    values = base.values()
    rules = [_compile(rule, axes, values) for rule in block.exclude]
    sweep = Sweep(base, block, axes, fixed, tuple(rule for rule in rules if rule is not None))
    if next(expand(sweep), None) is None:
        raise base.error({("sweep", "exclude"): "leaves out every run"})
    return sweep


def expand(sweep: Sweep) -> Iterator[Cell]:
    """Yield the runs, the first axis varying slowest: the order is the file's, and the same every time."""
    for numbers in combinations(sweep):
        yield cell(sweep, numbers)


def count(sweep: Sweep) -> int:
    return sum(1 for _ in combinations(sweep))


def planned(sweep: Sweep) -> int:
    """Return how many runs there will be: those of a search are its trials, and the best values on the other seeds."""
    if sweep.block.search is None:
        return count(sweep)
    return sum(sweep.block.search.trials + len(seeds) - 1 for seeds in by_seed(sweep))


def combinations(sweep: Sweep) -> Iterator[tuple[int, ...]]:
    """Yield, for each run, the number of its point on each axis."""
    for numbers in itertools.product(*(range(len(axis.points)) for axis in sweep.axes)):
        if not any(all(numbers[axis] in points for axis, points in rule.items()) for rule in sweep.rules):
            yield numbers


def by_seed(sweep: Sweep) -> list[list[tuple[int, ...]]]:
    """Return, for each combination of all axes except the seeds, its runs."""
    seeds = [number for number, axis in enumerate(sweep.axes) if axis.name == "seed"]
    runs: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for numbers in combinations(sweep):
        rest = tuple(number for place, number in enumerate(numbers) if place not in seeds)
        runs.setdefault(rest, []).append(numbers)
    return list(runs.values())


def axes_of(sweep: Sweep, keys: Collection[str]) -> list[int]:
    """Return the numbers of those axes that touch some keys."""
    return [number for number, axis in enumerate(sweep.axes) if any(key[0] in keys for key in axis.keys)]


def cell(sweep: Sweep, numbers: Sequence[int], drawn: Mapping[str, Any] | None = None) -> Cell:
    """Return the run of a combination, with the values that a search has drawn for it."""
    points = [axis.points[number] for axis, number in zip(sweep.axes, numbers, strict=True)]
    values = drawn or {}
    shown = [
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={show(value)}" for name, value in values.items()
    ]
    name = ", ".join(filter(None, [_name(sweep.axes, points), *shown]))
    overrides = overrides_of(points) | {as_key(key): value for key, value in values.items()}
    named = zip(sweep.axes, points, strict=True)
    return Cell(name, overrides, sweep, {axis.name: point.label for axis, point in named if is_group(axis.name)})


def merge(sweep: Sweep, overrides: dict[Key, Any]) -> Configuration:
    """Return the configuration with these values, and those of the command line above them."""
    base = sweep.base
    changed: dict[str, Any] = {}
    for key, value in sorted(overrides.items(), key=lambda item: len(item[0])):  # a key before one within it
        common = changed[key[0]] if key[0] in changed else msgspec.to_builtins(getattr(base, key[0]))
        changed[key[0]] = put(common, key[1:], value)
    for key in sweep.fixed:
        if key[0] in changed:
            value = value_at(msgspec.to_builtins(getattr(base, key[0])), key[1:])
            changed[key[0]] = put(changed[key[0]], key[1:], value)
    for key, value in changed.items():
        changed[key] = msgspec.convert(
            {} if value is None and is_mapping(key) else value, Configuration.__annotations__[key]
        )
    return shrink(msgspec.structs.replace(base, sweep=None, **changed))


def overrides_of(points: Iterable[Point]) -> dict[Key, Any]:
    return {key: value for point in points for key, value in point.overrides.items()}


def _name(axes: Sequence[Axis], points: Sequence[Point]) -> str:
    parts = [
        point.label if is_group(axis.name) and "=" in point.label else f"{axis.name}={point.label}"
        for axis, point in zip(axes, points, strict=True)
    ]
    return ", ".join([*parts[1:], parts[0]] if axes and axes[0].name == "seed" else parts)


def _compile(rule: dict[str, Any], axes: Sequence[Axis], values: dict[str, Any]) -> Rule | None:
    """Return which points of which axes a rule leaves out; None if it cannot apply to what is left of the axes."""
    compiled: Rule = {}
    for name, value in rule.items():
        owners = [number for number, axis in enumerate(axes) if axis.has(name)]
        if not owners:  # the command line sets it: the rule holds for all runs or for none
            known = common_value(values, name)
            if known in listed(value, [known]):
                continue
            return None
        place = max(owners, key=lambda number: (axes[number].name == name, number))
        known = axes[place].values_of(name, values)
        chosen = frozenset(number for number, each in enumerate(known) if each in listed(value, known))
        compiled[place] = compiled.get(place, chosen) & chosen
    return compiled or None
