"""Where each group stands: its row, its column and, where more keys differ, the table for their values."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from comparison.groups import Group, order, varied_keys
from comparison.reading import DATA, NOISY
from configuration.checks import ELSEWHERE
from configuration.schema import WITHOUT_INFLUENCE
from configuration.settings import short_labels, shown
from losses import BASELINES
from utils.lookup import did_you_mean
from utils.types import ConfigError, first_few

FAMILY = {"loss_function": "loss_params", "dataset": "data_params"}
"""Where a key's parameters stand, unless below <key>_params."""
ROWS, COLUMNS = ("loss_function",), ("architecture", "dataset")
"""Preferred keys where the user chooses none."""
DATA_KEYS = ("dataset", "data_params", "classes", "flowers_train", DATA)
"""The keys that determine the images and their classes; the first parts of keys."""
CODE_OF = "code."
"""The beginning of keys that say of which code a run was."""
NAMES = frozenset({"loss_function", "architecture", "dataset", "optimizer", "lr_scheduler"})
"""Keys whose values say by themselves which key they are of."""
NAMED = 20
"""Keys that a message names before it counts the rest."""


Short = dict[str, dict[str, str]]
"""Key -> its values, as `shown` gives them -> the same with few digits."""


class Label(NamedTuple):
    """Args: text: with numbers cut to few digits. exact: with all digits. order: sorts labels along rows or columns."""

    text: str
    exact: str
    order: tuple[Any, ...]


@dataclass(frozen=True)
class Place:
    """Args: panel: the title of a group's table. panel_values: the title without its keys."""

    row: Label
    column: Label
    panel: Label
    panel_values: Label


@dataclass(frozen=True)
class Layout:
    """Which keys are rows, columns and tables, and where each group stands.

    Args:
        chosen: which of rows and columns the user left open.
        beside: the other keys that differ, key -> rows or columns key that it goes with, or None.
        labelled: keys whose values rows or columns show.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    panels: tuple[str, ...]
    chosen: tuple[str, ...]
    beside: dict[str, str | None]
    labelled: frozenset[str]
    places: dict[Group, Place]
    short: Short

    def __getitem__(self, group: Group) -> Place:
        return self.places[group]

    @property
    def exact(self) -> dict[str, str]:
        """Labels in which numbers are cut -> the same with all their digits."""
        labels = {label for place in self.places.values() for label in vars(place).values()}
        return {label.text: label.exact for label in labels if label.text != label.exact}

    def shown(self, group: Group, key: str) -> str:
        """Return a group's value of a key as labels have it."""
        return _show(group, key, self.short)


def short_key(key: str) -> str:
    """Return a key without the thing that it is a parameter of."""
    return key.rpartition("_params.")[2]


def family(key: str) -> str:
    """Return the beginning of a key's parameters."""
    return f"{FAMILY.get(key, f'{key}_params')}."


def lay_out(groups: Sequence[Group], rows: Sequence[str] = (), columns: Sequence[str] = ()) -> Layout:
    """Choose rows and columns where the user did not, and split into tables what would share a cell.

    A row's or column's own parameters, such as loss_params of loss_function, stand in its label where groups differ in
    them. Each data set has tables of its own unless rows or columns show it.

    Raises: ConfigError for a key that no run has.
    """
    varied = varied_keys(groups)
    _check({"--rows": rows, "--columns": columns}, groups, varied)
    chosen = tuple(name for name, keys in (("rows", rows), ("columns", columns)) if not keys)
    rows = tuple(rows) or _choose(groups, varied, ROWS, columns) or ROWS
    free = varied
    if len({group.settings["loss_function"] for group in groups} & set(BASELINES.values())) > 1:
        # images and texts have baselines of their own, so tables of their own
        free = [key for key in varied if key.partition(".")[0] not in DATA_KEYS]
    columns = tuple(columns) or _choose(groups, free, COLUMNS, rows)
    short = {key: short_labels([value]) for key, value in groups[0].settings.items()}
    short |= {key: short_labels(group.settings[key] for group in groups if key in group.settings) for key in varied}
    candidates = [key for key in varied if key not in (*rows, *columns)]
    in_rows, row_parameters = _label_groups(groups, rows, candidates, short)
    in_columns, column_parameters = _label_groups(groups, columns, candidates, short, with_keys=True)
    labelled = (*rows, *columns, *row_parameters, *column_parameters)
    panels = _unlabelled_data(groups, varied, labelled)
    while True:  # split until no two groups share a cell
        cells = _by(groups, lambda group: (in_rows[group].text, in_columns[group].text, *_values(group, panels)))
        crowded = [members for members in cells.values() if len(members) > 1]
        key = next((key for key in varied if any(_differ(members, key) for members in crowded)), None)
        if key is None:
            break
        panels.append(key)
    places = {}
    for group in groups:
        values, ranks = [_show(group, key, short) for key in panels], _ranks(group, panels)
        exact = [_show(group, key) for key in panels]
        title, whole = (", ".join(map("{}: {}".format, panels, texts)) for texts in (values, exact))
        panel, panel_values = Label(title, whole, ranks), Label(", ".join(values), ", ".join(exact), ranks)
        places[group] = Place(in_rows[group], in_columns[group], panel, panel_values)
    rest = [key for key in varied if key not in (*labelled, *panels)]
    owners = (*columns, *rows, *panels)
    beside = {key: next((owner for owner in owners if _follows(groups, key, owner)), None) for key in rest}
    return Layout(rows, columns, tuple(panels), chosen, beside, frozenset(labelled), places, short)


def _label_groups(
    groups: Sequence[Group], keys: Sequence[str], candidates: Sequence[str], short: Short, with_keys: bool = False
) -> tuple[dict[Group, Label], set[str]]:
    """Label groups by keys, and by those of their parameters in which groups with the same values differ.

    Args: with_keys: name the key of a bare number, as in "momentum 0.9".
    Returns: the labels, and the parameters in them.
    """
    families = tuple(map(family, keys))
    own = [key for key in candidates if families and key.startswith(families)]
    own += [key for key in candidates if key.startswith(CODE_OF) and _is_of(groups, key, keys)]
    labels, used = {}, set()
    for members in _by(groups, lambda group: _values(group, keys)).values():
        parameters = [name for name in own if _differ(members, name)]
        used.update(parameters)
        for group in members:
            texts = (_label(group, keys, parameters, digits, with_keys) for digits in (short, None))
            labels[group] = Label(next(texts), next(texts), _ranks(group, (*keys, *parameters)))
    return labels, used


def _label(group: Group, keys: Sequence[str], parameters: Sequence[str], short: Short | None, with_keys: bool) -> str:
    bare = [key for key in keys if with_keys and not (key in NAMES and isinstance(_value(group, key), str))]
    text = ", ".join(f"{short_key(key)} " * (key in bare) + _show(group, key, short) for key in keys)
    names = [name for name in parameters if name in group.settings]
    params = ", ".join(f"{name.partition('.')[2]}={_show(group, name, short)}" for name in names)
    return f"{text}({params})" if params else text


def _check(asked: dict[str, Sequence[str]], groups: Sequence[Group], varied: Sequence[str]) -> None:
    existing = {key for group in groups for key in group.settings}
    existing |= {name for group in groups for run in group.runs for name in run.together}
    mistakes, unknown = [], False
    for option, keys in asked.items():
        for key in keys:
            if key == "seed":
                mistakes.append(f"{option}: groups are means over seeds, so 'seed' cannot separate them")
            elif key in WITHOUT_INFLUENCE - {"noisy_labels"}:
                mistakes.append(f"{option}: {key!r} cannot change a result, so it separates no groups")
            elif key not in existing:
                mistakes.append(f"{option}: no run has the key {key!r}{_meant(key, existing)}")
                unknown = True
    if both := set(asked["--rows"]) & set(asked["--columns"]):
        mistakes.append(f"--columns: {', '.join(sorted(both))} is in --rows already")
    if unknown:
        differing = [key for key in varied if not key.startswith(CODE_OF)]
        mistakes.append(f"the runs differ in {first_few(differing, NAMED) or 'their seeds alone'}")
    if mistakes:
        raise ConfigError("\n".join(mistakes))


def _meant(key: str, existing: set[str]) -> str:
    """Return which keys of runs may be meant by one that none has."""
    parts = [name for name in sorted(existing) if name.endswith(f".{key}") or name.startswith(f"{key}.")]
    if within := parts or [name for name in (ELSEWHERE.get(key),) if name in existing]:
        return f"; did you mean {' or '.join(map(repr, within))}?"
    return f"; here it is {ELSEWHERE[key]}" if key in ELSEWHERE else did_you_mean(key, existing - {key})


def _choose(
    groups: Sequence[Group], varied: Sequence[str], preferred: Iterable[str], taken: Sequence[str]
) -> tuple[str, ...]:
    """Return the first preferred key that varies, itself or in its parameters, else the first that varies.

    Keys that follow from those that are taken do not count, nor do these keys' own parameters; nor does a preferred key
    that follows from a later one, such as the architecture where each data set has its own.
    """
    own = tuple(map(family, taken))
    free = [key for key in varied if key not in (*taken, DATA) and not key.startswith((CODE_OF, *own))]
    free = [key for key in free if not any(_follows(groups, key, owner) for owner in taken)]
    names = [key for key in preferred if any(other == key or other.startswith(family(key)) for other in free)]
    for place, key in enumerate(names, 1):
        if not any(_follows(groups, key, later) for later in names[place:]):
            return (key,)
    return tuple(free[:1])


def _is_of(groups: Sequence[Group], key: str, keys: Sequence[str]) -> bool:
    """Tell whether some values of keys have a file of code and some do not, as far as runs recorded their code."""
    recorded = [group for group in groups if group.runs[0].facts.code is not None]
    places = _by(recorded, lambda group: _values(group, keys)).values()
    having = [{key in group.settings for group in members} for members in places]
    return bool(keys) and all(len(states) == 1 for states in having) and {False} in having


def _unlabelled_data(groups: Sequence[Group], varied: Sequence[str], labelled: Sequence[str]) -> list[str]:
    """Return the keys by which data differ that neither rows nor columns show."""
    existing = [key for key in labelled if key.partition(".")[0] in DATA_KEYS]
    unlabelled: list[str] = []
    for key in varied:
        if (
            key.partition(".")[0] in DATA_KEYS
            and key not in existing
            and not _follows(groups, key, *existing, *unlabelled)
        ):
            unlabelled.append(key)
    return unlabelled


def _follows(groups: Sequence[Group], key: str, *others: str) -> bool:
    """Tell whether the values of other keys determine that of a key."""
    places = _by(groups, lambda group: _values(group, others))
    return all(len({_value(group, key) for group in members} - {NOISY}) <= 1 for members in places.values())


def _differ(groups: Sequence[Group], key: str) -> bool:
    return len({_value(group, key) for group in groups}) > 1


def _by(groups: Iterable[Group], name: Callable[[Group], Hashable]) -> dict[Any, list[Group]]:
    members: dict[Any, list[Group]] = {}
    for group in groups:
        members.setdefault(name(group), []).append(group)
    return members


_ABSENT = ("absent",)


def _value(group: Group, key: str) -> Any:
    return group.settings.get(key, _ABSENT)


def _values(group: Group, keys: Iterable[str]) -> tuple[Any, ...]:
    return tuple(_value(group, key) for key in keys)


def _ranks(group: Group, keys: Iterable[str]) -> tuple[Any, ...]:
    return tuple(order(group.settings.get(key)) for key in keys)


def _show(group: Group, key: str, short: Short | None = None) -> str:
    value = _value(group, key)
    text = "not set" if value is _ABSENT else shown(value)
    return text if short is None else short.get(key, {}).get(text, text)
