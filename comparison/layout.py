"""Where each group stands: rows, columns and, where more keys differ, a table for each of their values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from comparison.grouping import Group, order, varied_keys
from comparison.reading import DATA, NOISY
from configuration.reading import ELSEWHERE
from configuration.schema import WITHOUT_INFLUENCE
from configuration.settings import short_labels, shown
from losses import BASELINES
from utils.lookup import did_you_mean
from utils.types import ConfigError

FAMILY = {"loss_function": "loss_params", "dataset": "data_params"}
"""Where a key's parameters stand, unless below <key>_params."""
ROWS, COLUMNS = ("loss_function",), ("architecture", "dataset")
"""What is preferred where nothing is asked for."""
DATA_KEYS = ("dataset", "data_params", "classes", "flowers_train", DATA)
"""What the images and their classes are: the first parts of keys."""
CODE_OF = "code."
"""What begins the keys that say of which code a run was."""
NAMES = frozenset({"loss_function", "architecture", "dataset", "optimizer", "lr_scheduler"})
"""Keys whose values say by themselves what they are."""
NAMED = 20
"""Keys that a message names before it counts the rest."""


@dataclass(frozen=True)
class Layout:
    """Which keys are rows, columns and tables, and which of the others differ.

    Args:
        chosen: which of rows and columns were not asked for.
        beside: the other keys that differ, key -> rows or columns key that it goes with, or None.
        exact: labels in which numbers are cut -> the same with all their digits.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    panels: tuple[str, ...]
    chosen: tuple[str, ...]
    beside: dict[str, str | None]
    exact: dict[str, str] = field(default_factory=dict)
    _labels: dict[str, dict[str, str]] = field(default_factory=dict)
    """Key -> its values, as `shown` gives them, and their labels."""
    _parameters: dict[tuple[Any, ...], list[str]] = field(default_factory=dict)
    """Keys and their values -> the parameters in which groups with these values differ."""

    def row(self, group: Group) -> str:
        return self._label(group, self.rows)

    def column(self, group: Group) -> str:
        """Return a column's label, which also says of which key a bare number is: "momentum 0.9"."""
        return self._label(group, self.columns, told=True)

    def panel(self, group: Group) -> str:
        return self._title(group)

    def labels_rows_by(self, key: str) -> bool:
        """Tell whether rows' labels say what a key's value is."""
        return key in self.rows or any(key in names for names in self._parameters.values())

    def panel_values(self, group: Group) -> str:
        """Return a table's values alone, for a column headed by its keys."""
        return self._label(group, self.panels)

    def order(self, group: Group, keys: tuple[str, ...]) -> list[tuple[int, float, str]]:
        """Return what sorts rows, columns or tables."""
        return [order(group.settings.get(key)) for key in (*keys, *self._parameters.get(_place(group, keys), []))]

    def with_exact_labels(self, groups: Iterable[Group]) -> Layout:
        """Return the layout of some groups with their labels' exact forms."""
        found = {}
        for group in groups:
            for keys, told in ((self.rows, False), (self.columns, True), (self.panels, False)):
                found[self._label(group, keys, told=told)] = self._label(group, keys, exact=True, told=told)
            found[self._title(group)] = self._title(group, exact=True)
        return replace(self, exact={label: text for label, text in found.items() if label != text})

    def shown(self, group: Group, key: str, exact: bool = False) -> str:
        """Return a group's value of a key as labels have it."""
        value = _value(group, key)
        text = "not set" if value is _ABSENT else shown(value)
        return text if exact else self._labels.get(key, {}).get(text, text)

    def _title(self, group: Group, exact: bool = False) -> str:
        return ", ".join(f"{key}: {self.shown(group, key, exact)}" for key in self.panels)

    def _label(self, group: Group, keys: tuple[str, ...], exact: bool = False, told: bool = False) -> str:
        named = {key: told and not (key in NAMES and isinstance(_value(group, key), str)) for key in keys}
        text = ", ".join(f"{short_key(key)} " * named[key] + self.shown(group, key, exact) for key in keys)
        names = [name for name in self._parameters.get(_place(group, keys), []) if name in group.settings]
        params = [f"{name.partition('.')[2]}={self.shown(group, name, exact)}" for name in names]
        return f"{text}({', '.join(params)})" if params else text


def short_key(key: str) -> str:
    """Return a key without the parameters that it is one of."""
    return key.rpartition("_params.")[2]


def lay_out(groups: Sequence[Group], rows: Sequence[str] = (), columns: Sequence[str] = ()) -> Layout:
    """Choose rows and columns where they are not given, and split into tables what would share a cell.

    A row's or column's own parameters, such as loss_params of loss_function, stand in its label where groups differ in
    them. Each data set has tables of its own unless rows or columns tell it.

    Raises: ConfigError for a key that no run has.
    """
    varied = varied_keys(groups)
    _check({"--rows": rows, "--columns": columns}, groups, varied)
    chosen_rows = tuple(rows) or _choose(groups, varied, ROWS, columns) or ROWS
    free = varied
    if len({group.settings["loss_function"] for group in groups} & set(BASELINES.values())) > 1:
        # images and texts have baselines of their own, so tables of their own
        free = [key for key in varied if key.partition(".")[0] not in DATA_KEYS]
    chosen_columns = tuple(columns) or _choose(groups, free, COLUMNS, chosen_rows)
    placed = (*chosen_rows, *chosen_columns)
    parameters: dict[tuple[Any, ...], list[str]] = {}
    for keys in (chosen_rows, chosen_columns):
        families = tuple(family(key) for key in keys)
        names = [key for key in varied if families and key.startswith(families) and key not in placed]
        names += [key for key in varied if key.startswith(CODE_OF) and _is_of(groups, key, keys)]
        for place, members in _by(groups, lambda group, keys=keys: _place(group, keys)).items():
            parameters[place] = [name for name in names if len({_value(group, name) for group in members}) > 1]
    labels = {key: short_labels([value]) for key, value in groups[0].settings.items()}
    labels |= {key: short_labels(group.settings[key] for group in groups if key in group.settings) for key in varied}
    by_itself = tuple(name for name, keys in (("rows", rows), ("columns", columns)) if not keys)
    layout = Layout(chosen_rows, chosen_columns, (), by_itself, {}, {}, labels, parameters)
    panels = _split(groups, varied, layout)
    taken = {*chosen_rows, *chosen_columns, *panels, *(name for names in parameters.values() for name in names)}
    beside = {
        key: next((each for each in (*chosen_columns, *chosen_rows, *panels) if _follows(groups, key, each)), None)
        for key in varied
        if key not in taken
    }
    return replace(layout, panels=panels, beside=beside).with_exact_labels(groups)


def _check(given: dict[str, Sequence[str]], groups: Sequence[Group], varied: Sequence[str]) -> None:
    known = {key for group in groups for key in group.settings}
    known |= {name for group in groups for run in group.runs for name in run.together}
    mistakes, unknown = [], False
    for option, keys in given.items():
        for key in keys:
            if key == "seed":
                mistakes.append(f"{option}: a group is the mean over its seeds, so seed tells none apart")
            elif key in WITHOUT_INFLUENCE - {"noisy_labels"}:
                mistakes.append(f"{option}: {key!r} cannot change a result, so it tells no groups apart")
            elif key not in known:
                mistakes.append(f"{option}: no run has the key {key!r}{_meant(key, known)}")
                unknown = True
    if both := set(given["--rows"]) & set(given["--columns"]):
        mistakes.append(f"--columns: {', '.join(sorted(both))} is in --rows already")
    if unknown:
        differing = [key for key in varied if not key.startswith(CODE_OF)]
        more = f" and {len(differing) - NAMED:,} more" if len(differing) > NAMED else ""
        mistakes.append(f"the runs differ in {', '.join(differing[:NAMED]) or 'their seeds alone'}{more}")
    if mistakes:
        raise ConfigError("\n".join(mistakes))


def _meant(key: str, known: set[str]) -> str:
    """Return which keys of runs may be meant by one that none has."""
    parts = [each for each in sorted(known) if each.endswith(f".{key}") or each.startswith(f"{key}.")]
    if within := parts or [each for each in (ELSEWHERE.get(key),) if each in known]:
        return f"; did you mean {' or '.join(map(repr, within))}?"
    return f"; here it is {ELSEWHERE[key]}" if key in ELSEWHERE else did_you_mean(key, known - {key})


def _choose(
    groups: Sequence[Group], varied: Sequence[str], preferred: Iterable[str], taken: Sequence[str]
) -> tuple[str, ...]:
    """Return the first preferred key that varies, itself or in its parameters, else the first that varies.

    Keys that follow from those that are taken do not count, nor do these keys' own parameters; nor does a preferred key
    that follows from a later one, such as the architecture where each data set has its own.
    """
    free = [key for key in varied if key not in taken and key != DATA and not key.startswith(CODE_OF)]
    free = [key for key in free if not any(_follows(groups, key, each) for each in taken)]
    mine = tuple(family(each) for each in taken)
    free = [key for key in free if not (mine and key.startswith(mine))]
    names = [key for key in preferred if any(each == key or each.startswith(family(key)) for each in free)]
    for place, key in enumerate(names, 1):
        if not any(_follows(groups, key, later) for later in names[place:]):
            return (key,)
    return tuple(free[:1])


def _is_of(groups: Sequence[Group], key: str, keys: tuple[str, ...]) -> bool:
    """Tell whether some values of keys have a file of code and some do not, as far as runs recorded their code."""
    known = [group for group in groups if group.runs[0].facts.code is not None]
    places = _by(known, lambda group: _place(group, keys)).values()
    having = [{key in group.settings for group in each} for each in places]
    return bool(keys) and all(len(each) == 1 for each in having) and {False} in having


def family(key: str) -> str:
    """Return what the parameters of a key begin with."""
    return f"{FAMILY.get(key, f'{key}_params')}."


def _split(groups: Sequence[Group], varied: Sequence[str], layout: Layout) -> tuple[str, ...]:
    """Return the keys that tell apart data sets, and the groups which would stand in one cell."""
    panels = _untold_data(groups, varied, layout)
    while True:
        cells = _by(groups, lambda group: (layout.row(group), layout.column(group), *_place(group, tuple(panels))))
        crowded = [members for members in cells.values() if len(members) > 1]
        differ = (key for key in varied if any(len({_value(group, key) for group in each}) > 1 for each in crowded))
        key = next(differ, None)
        if key is None:
            return tuple(panels)
        panels.append(key)


def _untold_data(groups: Sequence[Group], varied: Sequence[str], layout: Layout) -> list[str]:
    """Return the keys by which data differ that neither rows nor columns tell."""
    in_labels = (name for names in layout._parameters.values() for name in names)
    told = [key for key in (*layout.rows, *layout.columns, *in_labels) if key.partition(".")[0] in DATA_KEYS]
    untold: list[str] = []
    for key in varied:
        if key.partition(".")[0] in DATA_KEYS and key not in told and not _follows(groups, key, *told, *untold):
            untold.append(key)
    return untold


def _follows(groups: Sequence[Group], key: str, *others: str) -> bool:
    """Tell whether a key's value is known where those of others are."""
    known = _by(groups, lambda group: _place(group, others))
    return all(len({_value(group, key) for group in members} - {NOISY}) <= 1 for members in known.values())


def _by(groups: Iterable[Group], name: Any) -> dict[Any, list[Group]]:
    found: dict[Any, list[Group]] = {}
    for group in groups:
        found.setdefault(name(group), []).append(group)
    return found


_ABSENT = ("absent",)


def _value(group: Group, key: str) -> Any:
    return group.settings.get(key, _ABSENT)


def _place(group: Group, keys: tuple[str, ...]) -> tuple[Any, ...]:
    return (keys, *(_value(group, key) for key in keys))
