"""Metrics of the user's own, which a configuration names as `metrics`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from configuration.schema import Configuration
from metrics import ALL_METRICS, tally_for
from utils.lookup import REFUSALS_OF_LIBRARIES, Entry, load_entry
from utils.own_imports import place_of
from utils.own_names import short_name
from utils.types import ConfigError


def further_metrics(config: Configuration) -> dict[str, Callable[[Any], Any]]:
    """Return the metrics of the user's own by name, each tried on the counts of some predictions.

    Raises: ConfigError for what is none.
    """
    metrics: dict[str, Callable[[Any], Any]] = {}
    mistakes = []
    for place, location in enumerate(config.metrics):
        name, metric = short_name(location), load_entry(Entry(location, ""))
        try:
            if name in ALL_METRICS or name in metrics:
                raise ConfigError("there is a metric of that name")
            metrics[name] = metric
            tally = tally_for("image")(3)
            label = torch.tensor([0, 1, 2, 2])
            tally.update(torch.zeros(()), label.flip(0), label, torch.full((4, 3), -1.0))
            float(metric(tally))
        except REFUSALS_OF_LIBRARIES as error:
            mistakes.append(f"metrics.{place}: {place_of(metric, location)}: {type(error).__name__}: {error}")
        except ConfigError as error:
            mistakes.append(f"metrics.{place}: {place_of(metric, location)}: {error}")
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return metrics
