"""Values that are right alone and wrong together, in any of a sweep's runs.

A rule looks at a few keys only, so it is asked once for each combination of those axes that touch them, not once for
each run: a sweep of 100,000 runs has a handful of such combinations.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from utils.configuration import TOGETHER
from utils.schema import Configuration
from utils.settings import show
from utils.sweeps.cells import Sweep, axes_of, cell, combinations, merge, overrides_of
from utils.types import ConfigError

if TYPE_CHECKING:
    from utils.sweeps.data import SweepData
    from utils.sweeps.finished import FinishedRuns

NAMED, RULES_NAMED = 20, 20
"""How many runs and how many rules a message names before it counts the rest."""

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
    from utils.parameter_checks import PARAMETER_CHECKS

    refuse(sweep, [(check.keys, check.problems) for check in PARAMETER_CHECKS])


def check_data(sweep: Sweep, data: SweepData, fresh: bool = False) -> None:
    """Refuse runs whose data is missing or wrong, unless all that need it are finished and not to be trained anew.

    Args: data: what reads it, and keeps what was found also where something is wrong.
    Raises: as `check_together`.
    """
    kinds = [
        ((*data.KEYS, "loss_function"), data.loss_problems),
        ((*data.KEYS, "architecture"), data.network_problems),
    ]
    wrong = _find(sweep, [(data.KEYS, data.problems), *kinds])
    if wrong and not fresh:
        from utils.sweeps.finished import FinishedRuns

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
    from utils.sweeps.searching import jobs_left  # with Optuna, which grids do without

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
    """Yield a line a combination that some run has."""
    if not wrong:
        return
    names: dict[Combination, list[str]] = {combination: [] for combination in wrong}
    counts = dict.fromkeys(wrong, 0)
    touched = {tuple(axis for axis, _ in combination) for combination in wrong}
    total = 0
    for numbers in combinations(sweep):
        total += 1
        for axes in touched:
            combination = tuple((axis, numbers[axis]) for axis in axes)
            if combination in wrong:
                counts[combination] += 1
                if len(names[combination]) < NAMED:
                    names[combination].append(cell(sweep, numbers).name)
    base, told = sweep.base, 0
    place = f"{base.place(('sweep', 'grid'))}: sweep.grid"
    for combination, problems in wrong.items():
        if not counts[combination]:
            continue  # a rule leaves it out already
        if not combination:  # nothing that varies: as of a single run
            yield from str(base.located(ConfigError("\n".join(problems)))).splitlines()
            continue
        told += 1
        if told > RULES_NAMED:
            continue
        rule, unnamed = show(_rule(sweep, combination)), counts[combination] - NAMED
        more = f"; and {unnamed:,} more, all that have {rule[1:-1]}" if unnamed > 0 else ""
        yield (
            f"{place}: {counts[combination]:,} of {total:,} runs cannot be trained: {'; '.join(problems)}: "
            f"{'; '.join(names[combination])}{more} (to leave them out, exclude: [{rule}])"
        )
    if told > RULES_NAMED:
        yield f"{place}: and {told - RULES_NAMED:,} more such combinations, named once these are left out"


def _rule(sweep: Sweep, combination: Combination) -> dict[str, Any]:
    """Return the rule that leaves a combination out."""
    rule = {}
    for number, point_number in combination:
        axis = sweep.axes[number]
        point = axis.points[point_number]
        key = tuple(axis.name.split("."))
        rule[axis.name] = point.overrides.get(key, point.label)
    return rule
