"""A sweep as dashboards show it: its name, what varies in it, the paper's table that it reproduces."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from configuration.schema import WITHOUT_INFLUENCE
from configuration.settings import show
from sweeps.block import common_value
from sweeps.cells import Cell, Sweep, planned
from sweeps.reference import recipes, reference_of
from tracking import close_family, open_family
from tracking.family import Family, Results

if TYPE_CHECKING:
    from sweeps.jobs import Outcome


def family_of_sweep(sweep: Sweep) -> Family:
    """Return the family that a sweep is in dashboards.

    Its name is that of its file, and ten hexadecimal digits of all that its runs have in common and that can change a
    result: more values or seeds are the same sweep, another number of epochs on the command line is another.
    """
    base = sweep.base
    file = PurePath(base._places.get((), "sweep")).stem
    values = base.values(without=WITHOUT_INFLUENCE - {"noisy_labels", "noisy_labels_name"})
    identity = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:10]
    recipe = next((name for name in (file, base.experiment_name) if name in recipes()), None)
    reference = None if recipe is None else reference_of(recipe)
    varied = {axis.name: " | ".join(point.label for point in axis.points) for axis in sweep.axes}
    fixed = sorted(".".join(key) for key in sweep.fixed if key[0] not in WITHOUT_INFLUENCE)
    return Family(
        experiment=base.experiment_name,
        name=f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', file)}-{identity}",
        varied=varied | {key: show(common_value(values, key)) for key in fixed},
        num_runs=planned(sweep),
        about={} if reference is None else {"paper": reference.source, "table": reference.table},
    )


def family_of(cell: Cell) -> Family:
    """Return the family of a run's sweep, and which of its runs it is. Small, for any process."""
    return replace(family_of_sweep(cell.sweep), cell=cell.name)


@contextmanager
def shown_as_one(sweep: Sweep, outcomes: Iterable[Outcome]) -> Iterator[None]:
    """Show a sweep in its trackers around some of its runs, whatever ends them.

    Args: outcomes: of these runs, read at the end.
    """
    family, config = family_of_sweep(sweep), sweep.base
    shown = open_family(config.trackers, family, config)
    try:
        yield
    finally:
        ended = list(outcomes)
        finished = {each.name: str(each.folder) for each in ended if each.folder is not None}
        failed = frozenset(each.name for each in ended if each.state == "failed")
        pruned = frozenset(each.name for each in ended if each.state == "pruned")
        close_family(shown, family, config, Results(finished, failed, pruned))
        for address in filter(None, shown.values()):
            print(f"dashboard   {address}", flush=True)
