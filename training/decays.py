"""Learning rates by layer (`layer_decay`), and parameters without weight decay (`decay_norms_and_biases`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from torch import nn

from configuration.schema import Configuration

BLOCK = re.compile(r"^(?:[^.]+\.)*?\d+(?=\.)|^[^.]+")
"""The beginning of a parameter's name up to its first number, else up to the first dot."""


LAST = "the last layer"


class Treatment(NamedTuple):
    """Args: scale: of the learning rate. decays: its weights decay."""

    scale: float = 1.0
    decays: bool = True


def treatments(config: Configuration, network: Any, weights: Mapping[str, nn.Parameter]) -> dict[int, Treatment]:
    """Return how each parameter trains otherwise than its group says: id -> treatment; empty where all train alike.

    The learning rate falls by `layer_decay` from layer to layer towards the image; the last layer and the loss's own
    parameters have the whole of it. Without `decay_norms_and_biases` vectors, biases and what the network names,
    such as position embeddings, do not decay.

    Source: Bao et al. 2022, "BEiT", arXiv:2106.08254, app. H; layers as timm groups them.
    """
    if config.layer_decay in (None, 1.0) and config.decay_norms_and_biases:
        return {}
    depth = _depths(network, weights) if config.layer_decay else {}
    named = getattr(network, "no_weight_decay", set)()
    found = {}
    for name, weight in weights.items():
        decays = config.decay_norms_and_biases or not (weight.ndim <= 1 or name.endswith(".bias") or name in named)
        found[id(weight)] = Treatment((config.layer_decay or 1.0) ** depth.get(name, 0), decays)
    return found


def _depths(network: Any, weights: Iterable[str]) -> dict[str, int]:
    """Return each parameter's layer, counted from the last one, which is 0."""
    inner = [name for name in weights if not name.startswith(("classifier.", "loss."))]
    if hasattr(network, "group_matcher"):
        from timm.models import group_parameters

        # a loss may have taken the last layer away: a name that no pattern matches stands for it
        named: Any = SimpleNamespace(named_parameters=lambda: [*network.named_parameters(), (LAST, None)])
        layers: Any = group_parameters(named, network.group_matcher(coarse=False), reverse=True)
        return {name: layers[LAST] - layers[name] for name in inner}
    blocks = list(dict.fromkeys(block_of(name) for name in inner))  # in the order of the network
    return {name: len(blocks) - blocks.index(block_of(name)) for name in inner}


def block_of(name: str) -> str:
    """Return what the parameters of a block share of their names, such as layer1.0 of layer1.0.conv1.weight."""
    found = BLOCK.match(name)
    return found[0] if found else name


def grouped(parameters: Iterable[nn.Parameter], by: Mapping[int, Treatment]) -> dict[Treatment, list[nn.Parameter]]:
    """Return parameters by their treatment, those of the highest learning rate first: a run reports the first one's."""
    found: dict[Treatment, list[nn.Parameter]] = {}
    for weight in parameters:
        found.setdefault(by.get(id(weight), Treatment()), []).append(weight)
    return dict(sorted(found.items(), key=lambda item: -item[0].scale))
