"""Chains of transforms: a mapping of names to parameters, or, where one stands twice, a list of such mappings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Key = tuple[str, ...]


def steps(chain: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[tuple[Key, str, Any]]:
    """Return, for each transform in order, the keys that lead to it within the chain, its name and its parameters."""
    if isinstance(chain, Mapping):
        return [((name,), name, params) for name, params in chain.items()]
    return [((str(position), name), name, params) for position, one in enumerate(chain) for name, params in one.items()]


def shortest(chain: Any) -> Any:
    """Return a list of one-key mappings, none of them twice, as the mapping that says the same; all else as it is."""
    if not isinstance(chain, list) or not all(isinstance(one, dict) and len(one) == 1 for one in chain):
        return chain
    names = [name for _, name, _ in steps(chain)]
    return {name: params for _, name, params in steps(chain)} if len(set(names)) == len(names) else chain


def entry(container: dict[Any, Any] | list[Any], path: Key) -> tuple[Any, Key]:
    """Return the key or position of what a path's first part names in a mapping or list, and the rest of the path.

    Items of a list are named by position or, one-key mappings whose key no other has, by that key. As a list without
    repeats is read as a mapping, `0.RandomCrop` also names a mapping's first entry if that is its name.

    Raises: KeyError for a list without such an item.
    """
    first, rest = path[0], path[1:]
    if isinstance(container, list):
        named = [place for place, item in enumerate(container) if isinstance(item, dict) and list(item) == [first]]
        if len(named) == 1:
            return named[0], path
        if first.isdecimal() and int(first) < len(container):
            return int(first), rest
        raise KeyError(first)
    if first.isdecimal() and first not in container and list(container)[int(first) : int(first) + 1] == [*rest[:1]]:
        return (rest[0], rest[1:]) if rest else (first, rest)
    return first, rest


class NoEntry(KeyError):
    """A value has no entry of the name that the first part of a path is."""

    def __init__(self, value: Any, path: Key) -> None:
        super().__init__(path)
        self.value, self.path = value, path


def put(value: Any, path: Key, new: Any) -> Any:
    """Return a value of YAML's with one entry replaced, the old one untouched.

    Raises: NoEntry where a plain value, or a list without such an item, is in the way.
    """
    if not path:
        return new
    inner = {} if value is None else value
    if not isinstance(inner, (dict, list)):
        raise NoEntry(value, path)
    try:
        part, rest = entry(inner, path)
    except KeyError:
        raise NoEntry(value, path) from None
    if isinstance(inner, list):
        return [*inner[:part], put(inner[part], rest, new), *inner[part + 1 :]]
    return inner | {part: put(inner.get(part), rest, new)}


def value_at(value: Any, path: Key) -> Any:
    """Return the value that a path leads to, None if nothing."""
    while path:
        if not isinstance(value, (dict, list)):
            return None
        try:
            part, path = entry(value, path)
        except KeyError:
            return None
        value = value.get(part) if isinstance(value, dict) else value[part]
    return value
