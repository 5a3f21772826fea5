"""The row that the others of a table are compared with."""

from __future__ import annotations

from collections.abc import Sequence

from comparison.groups import Group
from comparison.layout import Layout
from configuration.settings import shown
from losses import BASELINES
from utils.lookup import did_you_mean
from utils.types import ConfigError, first_few

ROWS_NAMED = 8
"""Rows that a message names before it counts the rest."""


def default_baseline(groups: Sequence[Group], layout: Layout) -> str | None:
    """Return the row of a table that the others are compared with unless the user names one; None if there is none.

    It is that of the default loss of the table's kind of data, where rows are losses or the names of a sweep for values
    that go together, losses among them; with several of it, the one of the shortest label has the fewest parameters.
    """
    defaults = list(BASELINES.values())
    rows = {(layout[group].row.text, group.settings["loss_function"]) for group in groups}
    of_losses = layout.rows[0] in ("loss_function", *groups[0].runs[0].together) and len(layout.rows) == 1
    if not of_losses or len(rows) > len({label for label, _ in rows}):
        return None
    candidates = [(defaults.index(loss), len(label), label) for label, loss in rows if loss in defaults]
    separate = layout.rows == ("loss_function",) or len({loss for _, loss in rows}) > 1
    return min(candidates)[-1] if candidates and separate else None


def find_baseline(groups: Sequence[Group], layout: Layout, name: str) -> str:
    """Return the label of the row that the user named. Raises: ConfigError if there is none, or several."""
    labels = {layout[group].row.text: group.settings.get(layout.rows[0]) for group in groups}
    if name in labels:
        return name
    of_value = sorted(label for label, value in labels.items() if shown(value) == name)
    if len(of_value) == 1:
        return of_value[0]
    if of_value:
        raise ConfigError(f"--baseline: {name!r} is several rows; name one: {' | '.join(of_value)}")
    raise ConfigError(
        f"--baseline: no row is called {name!r}{did_you_mean(name, labels)} ({first_few(labels, ROWS_NAMED, ' | ')})"
    )


def pair_with_baseline(groups: Sequence[Group], layout: Layout, baseline: str | None) -> list[tuple[Group, Group]]:
    """Return the groups of a table with the baseline of their column, where there is one."""
    bases = {layout[group].column.text: group for group in groups if layout[group].row.text == baseline}
    pairs = ((group, bases.get(layout[group].column.text)) for group in groups)
    return [(group, base) for group, base in pairs if base is not None and base is not group]
