"""Classes met by their names, which every edition writes a little differently, never by their order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from datasets.readers.files import listing
from datasets.sets.stanford.source import Say
from utils.lookup import did_you_mean
from utils.types import DataError


def plain(name: str) -> str:
    """Return a name's letters and digits, so that "Ram C/V" is "ram c-v" and the folder V inside the folder Ram C."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def labels_of(where: object, names: Iterable[str], classes: Sequence[str], say: Say) -> dict[str, int]:
    """Return name -> 1-based label in the devkit's order.

    Args:
        where: what holds the names, for messages.
        classes: the 196 names in the devkit's order.

    Raises: DataError that lists the names that are no class, and those that are the same class.
    """
    names = list(dict.fromkeys(names))
    label_of = {plain(name): label for label, name in enumerate(classes, start=1)}
    problems = [f"{name!r} is no class{did_you_mean(name, classes)}" for name in names if plain(name) not in label_of]
    if problems:
        raise DataError(
            f"{where}: class names that are not Stanford Cars':\n{listing(problems)}\nRename them to the class meant."
        )
    found = {name: label_of[plain(name)] for name in names}
    if doubled := [name for name in names if list(found.values()).count(found[name]) > 1]:
        raise DataError(f"{where}: several names of one class:\n{listing(doubled)}")
    other = [f"{name} for {classes[label - 1]}" for name, label in found.items() if name != classes[label - 1]]
    if other:
        say(f"{where}: {len(other)} classes are spelled differently:\n{listing(other, 5)}")
    return found
