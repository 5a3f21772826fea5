"""Parameters of what a run is built from, with the defaults of those that its configuration leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from configuration.schema import CHAINS, Configuration
from runs.identity import OWNERS, chain_items, has_effect, plain
from runs.names import signature_of

NO_PARAMETERS = frozenset({"self", "task", "params", "optimizer", "num_classes", "in_channels", "steps_per_epoch"})
"""Parameters of constructors that the run gives and no configuration."""


def fill_in(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return settings in which a parameter that some runs set has its default in others with the same constructor.

    Two runs are the same before if and only if they are after it: it is for the reader.
    """
    keys = dict.fromkeys(key for run in runs for key in run if key.partition(".")[0] in OWNERS)
    filled = []
    for run in map(dict, runs):
        for key in [key for key in keys if key not in run]:
            params, _, name = key.partition(".")
            owner = run.get(OWNERS[params])
            defaults = signature_of(OWNERS[params], owner).defaults if isinstance(owner, str) else {}
            if defaults.get(name) is not None:
                run[key] = plain(defaults[name])
        filled.append(run)
    return filled


def resolved_parameters(config: Configuration) -> dict[str, Any]:
    """Return all parameters of what a run is built from, defaults filled in where they are plain values."""
    resolved: dict[str, Any] = {}
    for key, owner in OWNERS.items():
        name, params = getattr(config, owner), getattr(config, key)
        if name is None or not has_effect(config, key):
            continue
        if isinstance(name, list):
            resolved[key] = {part: _filled(owner, part, params.get(part)) for part in name}
        else:
            resolved[key] = _filled(owner, name, params)
    if config.optimizer_groups:
        resolved["optimizer_groups"] = {
            name: _filled("optimizer", group.optimizer or config.optimizer, group.optimizer_params)
            for name, group in config.optimizer_groups.items()
        }
    for key in CHAINS:
        if has_effect(config, key):
            items = chain_items(getattr(config, key))
            resolved[key] = [{name: _filled(key, name, params)} for name, params in items]
    return resolved


def _filled(owner: str, name: str, params: Mapping[str, Any] | None) -> dict[str, Any]:
    defaults = signature_of(owner, name).defaults
    return {key: value for key, value in defaults.items() if key not in NO_PARAMETERS} | dict(params or {})
