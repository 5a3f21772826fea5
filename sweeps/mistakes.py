"""The mistakes in a `sweep:` block, each with its place: every value is checked as if it stood in the file itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from configuration.chains import NoEntry, put
from configuration.checks import NameChecks, check_names, check_types, show
from configuration.reading import is_mapping
from configuration.schema import KEYS, SECRETS, WITHOUT_INFLUENCE, Configuration, Key, Mistake
from sweeps.block import KINDS, LABEL, PRUNERS, SAMPLERS, Block, Search, as_key, build_axes, is_group, listed
from utils.lookup import did_you_mean

VARYING = tuple(key for key in KEYS if key != "sweep")
HERE = "sweep"
IDLE = WITHOUT_INFLUENCE - {
    *("data_path", "stanford_data_path", "stanford_raw_data_path", "noisy_labels", "noisy_labels_name"),
    *("output_path", *SECRETS),
}
"""Keys whose values make no other run and no other folder."""


def find_mistakes(values: dict[str, Any], name_checks: NameChecks) -> list[Mistake]:
    """Return the mistakes in `values["sweep"]`; the other values are those of all its runs."""
    for key in [key for key, value in values[HERE].items() if value is None and key in ("grid", "exclude")]:
        del values[HERE][key]  # `grid:` with nothing behind it is empty
    misfits, block = _fitting_part(values[HERE])
    if block is None:
        return misfits
    owners: dict[Key, str] = {("seed",): "sweep.seeds"} if block.seed_list else {}  # of each key that varies
    mistakes = [*_grid_mistakes(block, values, name_checks, owners)]
    if block.search is not None:
        mistakes += [*_sampling_mistakes(block.search), *_range_mistakes(block.search, values, name_checks, owners)]
    mistakes += [
        Mistake((HERE, "seeds"), f"{text}, got {block.seeds}")
        for text, wrong in {
            "must name at least one seed": block.seeds == [],
            "must name each seed once": len(set(block.seed_list)) < len(block.seed_list),
            "must hold whole numbers >= 0 and < 4294967296": any(not 0 <= seed < 2**32 for seed in block.seed_list),
        }.items()
        if wrong
    ]
    reported = {misfit.key for misfit in misfits}
    mistakes = [*misfits, *(mistake for mistake in mistakes if mistake.key not in reported)]
    if not mistakes:
        mistakes += _exclude_mistakes(block, values)
    if not mistakes and not block.grid and not block.seed_list and block.search is None:
        mistakes.append(Mistake((HERE,), "is empty: give a grid, seeds or a search, or leave it out"))
    return mistakes


def _fitting_part(entries: Any) -> tuple[list[Mistake], Block | None]:
    """Return the entries that do not fit their types, and the block without them, so that the rest can be checked."""
    mistakes = misfits = check_types(Block, entries, (HERE,))
    while misfits:
        for misfit in misfits:
            if misfit.key == (HERE,):
                return mistakes, None
            entries = _without(entries, misfit.key[1:])
        misfits = check_types(Block, entries, (HERE,))
    return mistakes, msgspec.convert(entries, Block)


def _without(values: dict[Any, Any], path: Key) -> dict[Any, Any]:
    if len(path) == 1:
        return {key: value for key, value in values.items() if str(key) != path[0]}
    return {key: _without(value, path[1:]) if str(key) == path[0] else value for key, value in values.items()}


def _grid_mistakes(
    block: Block, values: dict[str, Any], name_checks: NameChecks, owners: dict[Key, str]
) -> Iterator[Mistake]:
    """Yield the mistakes in the grid, and add to the owners each key that it varies."""
    for name, items in block.grid.items():
        place = (HERE, "grid", name)
        if not items:
            yield Mistake(place, "is empty: give at least one value, or leave it out")
        keys: dict[Key, None] = {}
        for number, item in enumerate(items):
            here = (*place, str(number))
            if not is_group(name):
                keys[as_key(name)] = None
                yield from _value_mistakes(as_key(name), item, here, values, name_checks)
                continue
            if not isinstance(item, dict):
                near = did_you_mean(name, VARYING)
                text = f"unknown key{near}" if near else "unknown key; a name of your own takes a list of mappings"
                yield Mistake(place, text)
                break
            if LABEL in item and not isinstance(item[LABEL], (str, int, float)):
                yield Mistake((*here, LABEL), f"must be a text, got {show(item[LABEL])}")
            for key, value in ((str(key), value) for key, value in item.items() if key != LABEL):
                keys[as_key(key)] = None
                yield from _value_mistakes(as_key(key), value, (*here, key), values, name_checks)
        labels = [show(item.get(LABEL, item) if isinstance(item, dict) and is_group(name) else item) for item in items]
        if len(set(labels)) < len(labels):
            yield Mistake(place, f"holds {next(label for label in labels if labels.count(label) > 1)} twice")
        if len(items) > 1 and keys and all(key[0] in IDLE for key in keys):
            yield Mistake(place, "has no effect on results: all its values would be the same run")
        for key in keys:
            if (other := owners.setdefault(key, f"sweep.grid.{name}")) != f"sweep.grid.{name}":
                yield Mistake(place, f"{'.'.join(key)} is varied by {other} already")


def _value_mistakes(
    key: Key, value: Any, here: Key, values: dict[str, Any], name_checks: NameChecks
) -> Iterator[Mistake]:
    """Yield the mistakes in one value of one key, as the configuration's own checks find them."""
    top = key[0]
    if top in (*SECRETS, "mlflow_uri"):  # the name of a run says what varies
        yield Mistake(here, "may hold a secret and cannot vary: set it outside of the sweep")
        return
    if top not in VARYING:
        yield Mistake(here, f"unknown key {'.'.join(key)!r}{did_you_mean(top, VARYING)}")
        return
    common = values.get(top, Configuration().values()[top])
    try:
        merged = put(common, key[1:], value)
    except NoEntry as error:
        yield Mistake(here, f"{show(error.value)} holds no parameters")
        return
    if merged is None and is_mapping(top):
        merged = {}
    hint = Configuration.__annotations__[top]
    before = set(check_types(hint, common, (top,)))
    for mistake in check_types(hint, merged, (top,)):
        if mistake not in before:
            yield Mistake((*here, *mistake.key[len(key) :]), mistake.text)
    if top in name_checks and len(key) == 1:
        for mistake in check_names(top, value, name_checks[top]):
            yield Mistake((*here, *mistake.key[1:]), mistake.text)


def _exclude_mistakes(block: Block, values: dict[str, Any]) -> Iterator[Mistake]:
    axes = build_axes(block)
    for number, rule in enumerate(block.exclude):
        here = (HERE, "exclude", str(number))
        if not rule:
            yield Mistake(here, "is empty: it would leave out every run")
        for name, value in rule.items():
            possible = [each for axis in axes if axis.has(name) for each in axis.values_of(name, values)]
            if not possible:
                varied = dict.fromkeys(name for axis in axes for name in (axis.name, *map(".".join, sorted(axis.keys))))
                yield Mistake((*here, name), f"is not varied{did_you_mean(name, varied)} (varied: {', '.join(varied)})")
            elif unknown := [each for each in listed(value, possible) if each not in possible]:
                text = f"no run has {', '.join(map(show, unknown))}; one of {', '.join(map(show, possible))}"
                yield Mistake((*here, name), text)


def _sampling_mistakes(search: Search) -> Iterator[Mistake]:
    place = (HERE, "search")
    for kind, name, known in (("sampler", search.sampler, SAMPLERS), ("pruner", search.pruner, PRUNERS)):
        if name is None:
            if search.pruner_params:
                yield Mistake((*place, f"{kind}_params"), f"is given without a {kind}")
        elif name not in known:
            text = f"must be one of {', '.join(known)}, got {show(name)}{did_you_mean(name, known)}"
            yield Mistake((*place, kind), text)
        else:
            from sweeps.sampling import parameter_mistakes  # with Optuna, which other sweeps do without

            for key, text in parameter_mistakes(search, kind):
                yield Mistake((*place, f"{kind}_params", *key), text)


def _range_mistakes(
    search: Search, values: dict[str, Any], name_checks: NameChecks, varied: dict[Key, str]
) -> Iterator[Mistake]:
    place = (HERE, "search", "ranges")
    if not search.ranges:
        yield Mistake(place, "is empty: give at least one key and its range")
    for name, drawn in search.ranges.items():
        here = (*place, name)
        if as_key(name)[0] in IDLE:
            yield Mistake(here, "has no effect on results: there is nothing to search")
        if as_key(name) in varied:
            yield Mistake(here, "is varied by the grid or seeds already")
        if len(drawn) != 1 or next(iter(drawn)) not in KINDS:
            near = did_you_mean(str(next(iter(drawn), "")), KINDS)
            yield Mistake(here, f"must be one of {', '.join(KINDS)} and its values, got {show(drawn)}{near}")
            continue
        ((kind, bounds),) = drawn.items()
        if problem := _problem_of_bounds(kind, bounds):
            yield Mistake((*here, kind), f"{problem}, got {show(bounds)}")
            continue
        for value in bounds:
            yield from _value_mistakes(as_key(name), value, (*here, kind), values, name_checks)


def _problem_of_bounds(kind: str, bounds: Any) -> str | None:
    if kind == "choice":
        return None if isinstance(bounds, list) and bounds else "must be a list of values"
    number = int if kind == "int" else (int, float)
    fits = isinstance(bounds, list) and len(bounds) == 2
    if not fits or any(isinstance(each, bool) or not isinstance(each, number) for each in bounds):
        return f"must be [lowest, highest], two {'whole ' if kind == 'int' else ''}numbers"
    if not bounds[0] < bounds[1]:
        return "must rise from the lowest to the highest"
    return "must be > 0" if kind == "log" and bounds[0] <= 0 else None
