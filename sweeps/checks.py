"""Checks of all runs of a sweep, made without looking at each of them.

A check reads a few keys, and its findings hold for all runs that have these values. So it is made once for each `Slice`
of the sweep: each combination of the values of those axes that touch its keys. A sweep of 100,000 runs has a handful.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from configuration.checks import TOGETHER
from configuration.schema import WITHOUT_INFLUENCE, Configuration, Key
from configuration.settings import show
from runs.identity import settings_of
from sweeps.block import as_key
from sweeps.cells import Sweep, axes_of, cell, combinations, merge, overrides_of
from sweeps.mistakes import IDLE
from utils.types import ConfigError, first_few

if TYPE_CHECKING:
    from sweeps.data import SweepData
    from sweeps.earlier_runs import FinishedRuns

NAMED = 3
"""How many runs and how many reasons a message names before it counts the rest."""
MOST_TRIED = 500
"""Combinations of the other axes for which values of an axis are compared."""

Check = tuple[tuple[str, ...], Callable[[Configuration], Sequence[str]]]
"""The keys that a check reads, and a function from a configuration to its problems."""
Slice = tuple[tuple[int, int], ...]
"""Pairs of an axis and a point of it, by number: all runs that have these points. The empty slice is the sweep."""


def check_together(sweep: Sweep) -> None:
    """Refuse runs whose values do not fit together, as far as is known without torch.

    Raises: ConfigError naming every such run, and the rules that leave them out; or values that mean the same runs.
    """

    def check_of(rule: Any) -> Check:
        return rule.keys, lambda config: [f"{'.'.join(each.key)}: {each.text}" for each in rule.check(config)]

    refuse(sweep, find_problems(sweep, map(check_of, TOGETHER)))
    if same := dict(_same_values(sweep)):
        raise sweep.base.error(same)


def identity_of(config: Configuration) -> tuple[Any, ...]:
    """Return a key that configurations share which are the same run in the same folder."""
    places = [getattr(config, key) for key in sorted(WITHOUT_INFLUENCE - IDLE)]
    return frozenset(settings_of(config).items()), repr(places)


def _same_values(sweep: Sweep) -> Iterator[tuple[Key, str]]:
    """Yield axes with values that mean the same runs, such as two names of one network, whatever the other axes."""
    for place, axis in enumerate(sweep.axes):
        same = [range(len(axis.points))] if axis.name != "seed" else []
        others = (range(len(other.points)) for other in sweep.axes if other is not axis)
        for tried, rest in enumerate(itertools.product(*others)):
            by_run: dict[Any, list[int]] = defaultdict(list)
            for number, point in ((number, point) for number, points in enumerate(same) for point in points):
                config = cell(sweep, (*rest[:place], point, *rest[place:])).config
                by_run[number, identity_of(config)].append(point)
            same = [points for points in by_run.values() if len(points) > 1 and tried < MOST_TRIED]
            if not same:  # beyond the limit, runs that are done already are found when their turn comes
                break
        for points in same:
            labels = " and ".join(axis.points[point].label for point in points)
            yield ("sweep", "grid", axis.name), f"{labels} are the same run: leave one of them"


def check_parameters(sweep: Sweep) -> None:
    """Refuse runs whose parameters do not fit what takes them: losses, optimizers, schedulers, transforms, data sets.

    Raises: as `check_together`.
    """
    from evaluation.after_training import AFTER_TRAINING
    from training.checks import PARAMETER_CHECKS

    checks = [(check.keys, check.problems) for check in (*PARAMETER_CHECKS, *AFTER_TRAINING.checks)]
    refuse(sweep, find_problems(sweep, checks))


def check_ranges(sweep: Sweep) -> None:
    """Refuse ranges of a search whose first or last value does not fit what takes it, as parameters are checked.

    Raises: ConfigError naming every such range.
    """
    from training.checks import PARAMETER_CHECKS

    problems: dict[Key, str] = {}
    for name, drawn in sweep.block.search.ranges.items() if sweep.block.search is not None else ():
        key, ((_, values),) = as_key(name), drawn.items()
        checks = [check for check in PARAMETER_CHECKS if key[0] in check.keys]
        for check, value in itertools.product(checks, (values[0], values[-1])):
            for runs in slices(sweep, check.keys):
                if texts := check.problems(_configuration(sweep, runs, {key: value})):
                    where = f" (with {show(_rules(sweep, [runs])[0])[1:-1]})" if runs else ""
                    problems.setdefault(("sweep", "search", "ranges", name), f"{'; '.join(texts)}{where}")
    if problems:
        raise sweep.base.error(problems)


def check_data(sweep: Sweep, data: SweepData, fresh: bool = False) -> None:
    """Refuse runs whose data is missing or wrong, unless all that need it are finished and not to be retrained.

    Args: data: reads it, and keeps its facts even where something is wrong.
    Raises: as `check_together`.
    """
    from training import networks  # with the models

    problems = find_problems(
        sweep,
        [
            (data.KEYS, data.problems),
            ((*data.KEYS, "loss_function"), data.loss_problems),
            ((*data.KEYS, *networks.SHAPED_BY), data.network_problems),
        ],
    )
    if problems and not fresh:
        from sweeps.earlier_runs import FinishedRuns

        finished = FinishedRuns()
        problems = {runs: texts for runs, texts in problems.items() if not _are_finished(sweep, runs, finished)}
    refuse(sweep, problems)


def slices(sweep: Sweep, keys: tuple[str, ...]) -> Iterator[Slice]:
    """Yield a slice for each combination of the axes that touch some keys, except those that a rule leaves out."""
    points = [[(axis, point) for point in range(len(sweep.axes[axis].points))] for axis in axes_of(sweep, keys)]
    for runs in itertools.product(*points):
        chosen = dict(runs)
        if not any(all(chosen.get(axis) in left_out for axis, left_out in rule.items()) for rule in sweep.rules):
            yield runs


def find_problems(sweep: Sweep, checks: Iterable[Check]) -> dict[Slice, list[str]]:
    """Make each check on each slice of its keys, and return the slices with problems."""
    found: dict[Slice, list[str]] = {}
    for keys, problems in checks:
        for runs in slices(sweep, keys):
            if texts := problems(_configuration(sweep, runs)):
                found.setdefault(runs, []).extend(texts)
    return found


def refuse(sweep: Sweep, problems: dict[Slice, list[str]]) -> None:
    """Raise ConfigError if there are problems: how many runs have them, some of their names, and rules without them."""
    if not problems:
        return
    members, total = _members(sweep, problems)
    lines: list[str] = []
    alike: dict[tuple[object, ...], list[Slice]] = {}  # of the same keys on the same axes: told together
    for runs, texts in problems.items():
        if not runs:  # nothing that varies: as of a single run
            lines += str(sweep.base.located(ConfigError("\n".join(texts)))).splitlines()
        elif members[runs]:  # no rule leaves it out already
            keys = tuple(dict.fromkeys(text.partition(":")[0] for text in texts))
            alike.setdefault((keys, tuple(axis for axis, _ in runs)), []).append(runs)
    place = f"{sweep.base.place(('sweep', 'grid'))}: sweep.grid"
    for group in alike.values():
        concerned = [numbers for runs in group for numbers in members[runs]]
        names = [cell(sweep, numbers).name for numbers in concerned[:NAMED]]
        names += [""] * (len(concerned) - NAMED)  # counted, not shown
        reasons = dict.fromkeys("; ".join(map(str.strip, problems[runs])).replace(":; ", ": ") for runs in group)
        rules = ", ".join(f"{{{show(rule)[1:-1]}}}" for rule in _rules(sweep, group))
        lines += [
            f"{place}: {len(concerned):,} of {total:,} runs cannot be trained: {first_few(reasons, NAMED, '; ')}",
            f"  {first_few(names, NAMED, '; ')}",
            f"  to leave them out, exclude: [{rules}]",
        ]
    if lines:
        raise ConfigError("\n".join(lines))


def _configuration(sweep: Sweep, runs: Slice, more: dict[Key, Any] | None = None) -> Configuration:
    points = [sweep.axes[axis].points[point] for axis, point in runs]
    return merge(sweep, overrides_of(points) | (more or {}))


def _members(sweep: Sweep, problems: Iterable[Slice]) -> tuple[dict[Slice, list[tuple[int, ...]]], int]:
    """Return the runs of each slice, and how many runs there are in all."""
    members: dict[Slice, list[tuple[int, ...]]] = {runs: [] for runs in problems}
    axes = {tuple(axis for axis, _ in runs) for runs in members}
    total = 0
    for numbers in combinations(sweep):
        total += 1
        for some in axes:
            runs = tuple((axis, numbers[axis]) for axis in some)
            if runs in members:
                members[runs].append(numbers)
    return members, total


def _are_finished(sweep: Sweep, runs: Slice, finished: FinishedRuns) -> bool:
    """Tell whether all runs of a slice are finished."""

    def concerned(numbers: tuple[int, ...]) -> bool:
        return all(numbers[axis] == point for axis, point in runs)

    if sweep.block.search is None:
        return all(
            finished.find(cell(sweep, numbers)) is not None for numbers in filter(concerned, combinations(sweep))
        )
    from sweeps.search import jobs_left  # with Optuna, which grids do without

    jobs = jobs_left(sweep, concerned)
    return jobs is not None and all(finished.find(job.cell(sweep)) is not None for job in jobs)


def _rules(sweep: Sweep, group: Sequence[Slice]) -> list[dict[str, Any]]:
    """Return the fewest `exclude` rules that leave slices of the same axes out, of which one axis may list values."""
    candidates = []
    for place, (listed, _) in enumerate(group[0]):
        by_rest: dict[Slice, list[int]] = {}
        for runs in group:
            by_rest.setdefault((*runs[:place], *runs[place + 1 :]), []).append(runs[place][1])
        candidates.append(
            [sorted([*((axis, [point]) for axis, point in rest), (listed, points)]) for rest, points in by_rest.items()]
        )

    def entry(axis: int, points: Sequence[int]) -> tuple[str, Any]:
        name = sweep.axes[axis].name
        chosen = [sweep.axes[axis].points[point] for point in points]
        values = [point.overrides.get(as_key(name), point.label) for point in chosen]
        return name, values[0] if len(values) == 1 else values

    return [dict(entry(*each) for each in rule) for rule in min(candidates, key=len)]
