"""What may stand in `sweep:`: types and ranges, checked as those of a configuration are."""

# Without `from __future__ import annotations`: the annotations are the types that values are checked against.

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from configuration.schema import Params, Positive

KINDS = ("log", "uniform", "int", "choice")
"""How a value is drawn: from a range, evenly in its logarithm or in itself, a whole number, or one of a list."""

SAMPLERS = ("TPESampler", "RandomSampler", "QMCSampler", "GPSampler", "CmaEsSampler", "NSGAIISampler")
PRUNERS = ("MedianPruner", "PercentilePruner", "HyperbandPruner", "SuccessiveHalvingPruner", "ThresholdPruner")
"""Those that need nothing but numbers: a grid is what `grid` is for."""


class Search(Struct, frozen=True, forbid_unknown_fields=True):
    """Ranges that Optuna draws from, and how."""

    ranges: dict[str, dict[str, Any]] = {}
    trials: Positive = 20
    sampler: str = "TPESampler"
    sampler_params: Params = {}
    pruner: str | None = None
    pruner_params: Params = {}


class Block(Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of `sweep:`; config_template.yml says what each means."""

    grid: dict[str, list[Any]] = {}
    seeds: Positive | list[int] | None = None
    exclude: list[dict[str, Any]] = field(default_factory=list)
    search: Search | None = None
    ray_address: str | None = None
    gpus_per_run: Annotated[float, Meta(ge=0)] | None = None
    cpus_per_run: Annotated[float, Meta(gt=0)] | None = None
    retries: Annotated[int, Meta(ge=0)] = 2

    @property
    def seed_list(self) -> list[int]:
        """The seeds of each combination; empty for the one that stands outside of the sweep."""
        return list(range(self.seeds)) if isinstance(self.seeds, int) else list(self.seeds or ())
