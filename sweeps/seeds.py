"""How many seeds: those of `--seeds-to`, the looks of `seeds: auto`, and what difference some seeds can tell."""

from __future__ import annotations

import itertools
import math
from typing import Any

import msgspec

from configuration.schema import COMMAND_LINE, Configuration
from sweeps.block import FIRST_LOOK, Block
from utils.types import ConfigError

LEVEL = 0.05
POWER = 0.8
"""The probability with which a predicted number of seeds is to decide."""


def with_seeds(config: Configuration, number: int | None) -> Configuration:
    """Return a sweep's configuration with that many seeds: the file's own, then the smallest whole numbers.

    Args: number: None changes nothing.
    Raises: ConfigError without a sweep, and for fewer seeds than the file has.
    """
    if number is None:
        return config
    if config.sweep is None:
        raise ConfigError("--seeds-to: the configuration has no sweep; add sweep: {seeds: 3} to it, or give seed=1")
    own = msgspec.convert(config.sweep, Block).seed_list or [config.seed]
    if number < len(own):
        raise ConfigError(f"--seeds-to: the sweep has {len(own)} seeds already, got {number}")
    if any(place == COMMAND_LINE and key == ("seed",) for key, place in config._places.items()):
        raise ConfigError("--seeds-to: the command line sets the seed; leave seed=... out")
    further = (seed for seed in itertools.count() if seed not in own)
    seeds = [*own, *itertools.islice(further, max(0, number - len(own)))][:number]
    return msgspec.structs.replace(config, sweep={**config.sweep, "seeds": seeds})


def looks(most: int) -> list[int]:
    """Return the numbers of seeds after which a sweep with `seeds: auto` looks at its verdicts."""
    return [*range(FIRST_LOOK, most, FIRST_LOOK), most]


def level_of(seeds: int, most: int) -> float:
    """Return the level of the tests at a look. The levels of all looks add up to `LEVEL`, so it holds for all together.

    It rises with the square of the seeds trained so far. That the sum bounds the error needs nothing of how the looks
    depend on one another, which share their images.

    Source: Kim and DeMets 1987, "Design and analysis of group sequential tests based on the type I error spending rate
    function".
    """
    reached = [0, *(look for look in looks(most) if look <= seeds)]
    return LEVEL * ((reached[-1] / most) ** 2 - (reached[-2] / most) ** 2) if len(reached) > 1 else 0.0


def detectable(seeds: int, comparisons: int = 1, level: float = LEVEL) -> float:
    """Return the difference that is detected with probability `POWER`, in standard deviations of a run."""
    from scipy import stats

    if seeds < 2:
        return math.inf
    df = (seeds - 1) * max(1, comparisons)  # the rows' variances are estimated together
    needed: Any = stats.t.ppf(1 - level / 2 / max(1, comparisons), df) + stats.t.ppf(POWER, df)
    return float(needed) * math.sqrt(2 / seeds)
