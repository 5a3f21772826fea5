"""Optuna's samplers and pruners, and the distributions that a search draws from."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from configuration.settings import show
from sweeps.block import PRUNERS, SAMPLERS, Search
from utils.lookup import parameter_problems, refusals
from utils.types import first_line


def parameter_mistakes(search: Search) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the mistakes in the parameters of a sampler and a pruner whose names are right, each with its key."""
    for kind, name, known, params, build in (
        ("sampler", search.sampler, SAMPLERS, search.sampler_params, lambda: build_sampler(search, 0)),
        ("pruner", search.pruner, PRUNERS, search.pruner_params, lambda: build_pruner(search)),
    ):
        if name is None or name not in known:
            continue
        constructor = getattr(getattr(optuna, f"{kind}s"), name)
        if problems := parameter_problems(constructor, params):
            yield from (((f"{kind}_params", inner), text) for inner, text in problems.items())
            continue
        try:
            build()
        except (*refusals(constructor), ImportError) as error:
            yield (f"{kind}_params",), first_line(error)


def build_sampler(search: Search, seed: int) -> optuna.samplers.BaseSampler:
    """Build the sampler, seeded by the configuration's seed unless its parameters say otherwise.

    Raises: what its constructor raises on parameters that it cannot use.
    """
    kind = getattr(optuna.samplers, search.sampler)
    seeded = {"seed": seed} if "seed" in inspect.signature(kind).parameters else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of QMCSampler, for years
        return kind(**{**seeded, **search.sampler_params})


def build_pruner(search: Search) -> optuna.pruners.BasePruner:
    """Build the pruner; one that never prunes where none is named. Raises: as `build_sampler`."""
    if search.pruner is None:
        return optuna.pruners.NopPruner()
    return getattr(optuna.pruners, search.pruner)(**search.pruner_params)


def distributions(search: Search) -> dict[str, BaseDistribution]:
    """Return dotted key -> distribution; that of a choice is over its values as they are written in YAML."""
    found: dict[str, BaseDistribution] = {}
    for name, drawn in search.ranges.items():
        ((kind, values),) = drawn.items()
        if kind == "choice":
            found[name] = CategoricalDistribution([show(value) for value in values])
        elif kind == "int":
            found[name] = IntDistribution(*values)
        else:
            found[name] = FloatDistribution(*map(float, values), log=kind == "log")
    return found


def values_of(params: dict[str, Any], search: Search) -> dict[str, Any]:
    """Return dotted key -> value, as a configuration has it, of Optuna's parameters."""
    found = {}
    for name, drawn in search.ranges.items():
        ((kind, values),) = drawn.items()
        by_text = {show(value): value for value in values} if kind == "choice" else {}
        found[name] = by_text.get(params[name], params[name])
    return found
