"""Optuna's samplers and pruners, and the distributions that a search draws from."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from configuration.settings import show
from sweeps.block import Search
from utils.lookup import parameter_problems, refusals
from utils.types import first_line


def parameter_mistakes(search: Search, kind: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the mistakes in the parameters of the sampler or the pruner, each with its key; () for all of them."""
    constructor = getattr(getattr(optuna, f"{kind}s"), getattr(search, kind))
    if problems := parameter_problems(constructor, getattr(search, f"{kind}_params")):
        yield from (((name,), text) for name, text in problems.items())
        return
    try:
        build_sampler(search, 0) if kind == "sampler" else build_pruner(search)
    except (*refusals(constructor), ImportError) as error:
        yield (), first_line(error)


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

    def distribution(kind: str, values: list[Any]) -> BaseDistribution:
        if kind == "choice":
            return CategoricalDistribution([show(value) for value in values])
        if kind == "int":
            return IntDistribution(*values)
        return FloatDistribution(*map(float, values), log=kind == "log")

    return {name: distribution(*next(iter(drawn.items()))) for name, drawn in search.ranges.items()}


def values_of(params: dict[str, Any], search: Search) -> dict[str, Any]:
    """Return dotted key -> value, as a configuration has it, of Optuna's parameters."""
    choices = {name: {show(value): value for value in drawn.get("choice", ())} for name, drawn in search.ranges.items()}
    return {name: by_text.get(params[name], params[name]) for name, by_text in choices.items()}
