"""Values that are right alone and wrong together, in any of a sweep's runs.

A rule looks at a few keys only, so it is asked once for each combination of those axes that touch them, not once for
each run: a sweep of 100,000 runs has a handful of such combinations.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from configuration.reading import TOGETHER
from configuration.schema import Configuration, Key
from configuration.settings import show
from sweeps.axes import as_key
from sweeps.cells import Sweep, axes_of, cell, combinations, merge, overrides_of
from utils.types import ConfigError

if TYPE_CHECKING:
    from sweeps.data import SweepData
    from sweeps.finished import FinishedRuns

NAMED = 3
"""How many runs and how many reasons a message names before it counts the rest."""

Problems = Callable[[Configuration], Sequence[str]]
Combination = tuple[tuple[int, int], ...]
"""Numbers of axes, each with the number of its point."""


def check_together(sweep: Sweep) -> None:
    """Refuse runs whose values do not fit together, as far as is known without torch.

    Raises: ConfigError naming every such run, and the rules that leave them out.
    """
    refuse(sweep, [(rule.keys, _told(rule.check)) for rule in TOGETHER])


def check_parameters(sweep: Sweep) -> None:
    """Refuse runs whose parameters do not fit what takes them: losses, optimizers, schedulers, transforms, data sets.

    Raises: as `check_together`.
    """
    from evaluation.after_training import AFTER_TRAINING
    from training.checks import PARAMETER_CHECKS

    refuse(sweep, [(check.keys, check.problems) for check in (*PARAMETER_CHECKS, *AFTER_TRAINING.checks)])


def check_ranges(sweep: Sweep) -> None:
    """Refuse ranges of a search whose first or last value does not fit what takes it, as parameters are checked.

    Raises: ConfigError naming every such range.
    """
    from training.checks import PARAMETER_CHECKS

    problems: dict[Key, str] = {}
    for name, given in sweep.block.search.ranges.items() if sweep.block.search is not None else ():
        key, ((_, values),) = as_key(name), given.items()
        checks = [check for check in PARAMETER_CHECKS if key[0] in check.keys]
        for check, value in itertools.product(checks, (values[0], values[-1])):
            for combination in _projections(sweep, check.keys):
                points = [sweep.axes[axis].points[number] for axis, number in combination]
                if found := check.problems(merge(sweep, overrides_of(points) | {key: value})):
                    where = f" (with {show(_rules(sweep, [combination])[0])[1:-1]})" if combination else ""
                    problems.setdefault(("sweep", "search", "ranges", name), f"{'; '.join(found)}{where}")
    if problems:
        raise sweep.base.error(problems)


def check_data(sweep: Sweep, data: SweepData, fresh: bool = False) -> None:
    """Refuse runs whose data is missing or wrong, unless all that need it are finished and not to be trained anew.

    Args: data: what reads it, and keeps what was found also where something is wrong.
    Raises: as `check_together`.
    """
    from training import networks  # with the models

    kinds = [
        ((*data.KEYS, "loss_function"), data.loss_problems),
        ((*data.KEYS, *networks.SHAPED_BY), data.network_problems),
    ]
    wrong = _find(sweep, [(data.KEYS, data.problems), *kinds])
    if wrong and not fresh:
        from sweeps.finished import FinishedRuns

        finished = FinishedRuns()
        wrong = {each: found for each, found in wrong.items() if not _are_finished(sweep, each, finished)}
    _tell(sweep, wrong)


def refuse(sweep: Sweep, checks: Iterable[tuple[tuple[str, ...], Problems]]) -> None:
    """Make each check on the values of its keys, and tell what it finds with the runs that it concerns."""
    _tell(sweep, _find(sweep, checks))


def _find(sweep: Sweep, checks: Iterable[tuple[tuple[str, ...], Problems]]) -> dict[Combination, list[str]]:
    wrong: dict[Combination, list[str]] = {}
    for keys, problems in checks:
        for combination in _projections(sweep, keys):
            points = [sweep.axes[axis].points[number] for axis, number in combination]
            if found := problems(merge(sweep, overrides_of(points))):
                wrong.setdefault(combination, []).extend(found)
    return wrong


def _tell(sweep: Sweep, wrong: dict[Combination, list[str]]) -> None:
    if lines := list(_lines(sweep, wrong)):
        raise ConfigError("\n".join(dict.fromkeys(lines)))


def _are_finished(sweep: Sweep, combination: Combination, finished: FinishedRuns) -> bool:
    def concerned(numbers: tuple[int, ...]) -> bool:
        return all(numbers[axis] == point for axis, point in combination)

    if sweep.block.search is None:
        return all(finished.find(cell(sweep, each)) is not None for each in filter(concerned, combinations(sweep)))
    from sweeps.searching import jobs_left  # with Optuna, which grids do without

    jobs = jobs_left(sweep, concerned)
    return jobs is not None and all(finished.find(job.cell(sweep)) is not None for job in jobs)


def _told(check: Callable[[Configuration], list[Any]]) -> Problems:
    return lambda config: [f"{'.'.join(mistake.key)}: {mistake.text}" for mistake in check(config)]


def _projections(sweep: Sweep, keys: tuple[str, ...]) -> Iterator[Combination]:
    """Yield every combination of the points of those axes that touch some keys; one, of none, where none does.

    Those that a rule about these axes alone leaves out are no runs' and not asked about.
    """
    ranges = [[(axis, number) for number in range(len(sweep.axes[axis].points))] for axis in axes_of(sweep, keys)]
    for combination in itertools.product(*ranges):
        chosen = dict(combination)
        if not any(all(chosen.get(axis) in points for axis, points in rule.items()) for rule in sweep.rules):
            yield combination


def _lines(sweep: Sweep, wrong: dict[Combination, list[str]]) -> Iterator[str]:
    """Yield what is wrong by the key that it is said of: how many runs, some of their names, and the rules."""
    if not wrong:
        return
    runs: dict[Combination, list[tuple[int, ...]]] = {combination: [] for combination in wrong}
    touched = {tuple(axis for axis, _ in combination) for combination in wrong}
    total = 0
    for numbers in combinations(sweep):
        total += 1
        for axes in touched:
            combination = tuple((axis, numbers[axis]) for axis in axes)
            if combination in wrong:
                runs[combination].append(numbers)
    base = sweep.base
    place = f"{base.place(('sweep', 'grid'))}: sweep.grid"
    by_key: dict[tuple[object, ...], list[Combination]] = {}
    for combination, problems in wrong.items():
        if not combination:  # nothing that varies: as of a single run
            yield from str(base.located(ConfigError("\n".join(problems)))).splitlines()
        elif runs[combination]:  # no rule leaves it out already
            key = tuple(dict.fromkeys(problem.partition(":")[0] for problem in problems))
            by_key.setdefault((key, tuple(axis for axis, _ in combination)), []).append(combination)
    for together in by_key.values():
        concerned = [numbers for combination in together for numbers in runs[combination]]
        names = [cell(sweep, numbers).name for numbers in concerned[:NAMED]]
        reasons = list(dict.fromkeys(_in_a_line(wrong[combination]) for combination in together))
        rules = ", ".join(f"{{{show(rule)[1:-1]}}}" for rule in _rules(sweep, together))
        yield (
            f"{place}: {len(concerned):,} of {total:,} runs cannot be trained: {_some(reasons, len(reasons))}\n"
            f"  {_some(names, len(concerned))}\n"
            f"  to leave them out, exclude: [{rules}]"
        )


def _in_a_line(problems: Iterable[str]) -> str:
    return "; ".join(problem.strip() for problem in problems).replace(":; ", ": ")


def _some(texts: Sequence[str], total: int) -> str:
    more = total - NAMED
    return "; ".join(texts[:NAMED]) + (f"; and {more:,} more" if more > 0 else "")


def _rules(sweep: Sweep, together: Sequence[Combination]) -> list[dict[str, Any]]:
    """Return rules that leave combinations of the same axes out: the fewest in which one axis has a list of values."""
    found = []
    for varied in range(len(together[0])):
        by_rest: dict[Combination, list[int]] = {}
        for combination in together:
            rest = (*combination[:varied], *combination[varied + 1 :])
            by_rest.setdefault(rest, []).append(combination[varied][1])
        found.append((together[0][varied][0], by_rest))
    axis, by_rest = min(found, key=lambda each: len(each[1]))
    return [
        dict(_entry(sweep, number, points) for number, points in sorted([*((a, [p]) for a, p in rest), (axis, points)]))
        for rest, points in by_rest.items()
    ]


def _entry(sweep: Sweep, number: int, points: Sequence[int]) -> tuple[str, Any]:
    """Return an entry of a rule: an axis, and one of its values or a list of several."""
    axis = sweep.axes[number]
    key = tuple(axis.name.split("."))
    values = [axis.points[point].overrides.get(key, axis.points[point].label) for point in points]
    return axis.name, values[0] if len(values) == 1 else values
