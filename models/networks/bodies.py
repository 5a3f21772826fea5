"""Networks on the feature maps of another one, their body, and layers of several heads."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from losses.several_heads import Head, Terms, combine_scores
from models.flops import meta_copy
from models.networks.base import Network
from utils.types import ConfigError

PROBED = 64
"""Height and width of the image by which a body's maps are measured, px."""


class Body(nn.Module):
    """Feature maps of a network whose head is gone.

    Args:
        net: in timm's contract.
        positions: of the maps wanted among the network's own.
        final: give what its last stage gives, too.

    Shapes: image [B, C, H, W] -> map [B, D, h, w]; several in a tuple, the final one first.
    """

    def __init__(self, net: Any, positions: Sequence[int], final: bool = False) -> None:
        super().__init__()
        self.net, self.positions, self.final = net, list(positions), final

    def forward(self, image: Tensor) -> Any:
        if self.final and not self.positions:
            return self.net.forward_features(image)
        options: dict[str, Any] = {} if self.final else {"intermediates_only": True, "stop_early": True}
        given = self.net.forward_intermediates(image, indices=self.positions, **options)
        maps = (given[0], *given[1]) if self.final else tuple(given)
        return maps[0] if len(maps) == 1 else maps


def build_body(
    name: str, params: dict[str, Any] | None, in_channels: int, pretrained: bool | str, weights_path: str | None
) -> Any:
    """Build the network whose maps are wanted, without its head.

    Raises: ConfigError as `build_model`, at the parameters of the outer network, and for a body without maps.
    """
    from models import build_model

    options: Any = {"pretrained": pretrained, "weights_path": weights_path, **(params or {})}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="weights_path: .* it stays fresh")  # it is dropped
            net = build_model(name, 1000, in_channels, **options)
    except ConfigError as error:
        text = re.sub(r"^architecture_params", "architecture_params.body_params", str(error), flags=re.MULTILINE)
        text = re.sub(r"^architecture(?=:)", "architecture_params.body", text, flags=re.MULTILINE)
        raise ConfigError(text) from None
    if getattr(net, "kind", "image") != "image":
        raise ConfigError(f"architecture_params.body: {name} is no classifier of images")
    net.reset_classifier(0)
    if isinstance(net, Network):
        net.head = nn.Identity()
    return net


def measure_maps(name: str, net: Any, in_channels: int) -> list[tuple[int, int]]:
    """Return channels and height of all feature maps of a network, shallow to deep, then those of its final features.

    Raises: ConfigError for a network without maps.
    """
    height, width = (max(PROBED, side) for side in getattr(net, "min_size", (1, 1)))
    least = getattr(net, "image_size", (PROBED, PROBED)) if hasattr(net, "patch_embed") else (height, width)
    try:
        with torch.no_grad():
            final, maps = _probe(net)(torch.empty(1, in_channels, *least, device="meta"))
    except (AttributeError, RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(f"architecture_params.body: {name} gives no feature maps: {error}") from None
    if any(each.ndim != 4 for each in (final, *maps)):
        raise ConfigError(f"architecture_params.body: {name} gives no feature maps [B, C, H, W]")
    return [(each.shape[1], each.shape[2]) for each in (*maps, final)]


def _probe(net: Any) -> Callable[[Tensor], tuple[Tensor, list[Tensor]]]:
    copy: Any = meta_copy(net).eval()
    return copy.forward_intermediates


def deepest_with_weights(net: Any) -> int:
    """Return the position of the last map that has weights of its own: VGG's last stage is a pooling alone."""
    stages = getattr(net, "stages", None)
    if isinstance(net, Network) and stages is not None and not list(stages[-1].parameters()):
        return -2
    return -1


def freeze_unused(network: Network, in_channels: int) -> None:
    """Stop training weights of a body that no feature depends on, such as those of a head within its last stage."""
    copy: Any = meta_copy(network).train()
    side = [max(PROBED, least) for least in network.min_size]
    with torch.enable_grad():
        features = copy.forward_head(copy.forward_features(torch.empty(2, in_channels, *side, device="meta")), True)
        total = features.sum()
        named = dict(copy.stages.named_parameters(prefix="stages"))
        grads = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    unused = {name for name, grad in zip(named, grads, strict=True) if grad is None}
    for name, weight in network.named_parameters():
        if name in unused:
            weight.requires_grad = False


class BodiedNetwork(Network):
    """A network on one stage, its body.

    Attributes:
        heads: what it gives side by side while it trains; empty for one vector of scores.
        grid: patches by which each training image is cut and shuffled as its second view, in height and width; 0: none.
    """

    heads: tuple[Head, ...] = ()
    grid: int = 0

    own_terms: Terms | None = None
    """What is added to the heads' losses."""


class ScoresOfHeads(nn.Module):
    """The frame of last layers that give all heads' scores side by side in training, and their weighted sum when not.

    A member overrides `all_scores`.
    """

    def __init__(self, heads: Sequence[Head], num_classes: int) -> None:
        super().__init__()
        self.heads, self.num_classes = tuple(heads), num_classes

    def all_scores(self, features: Tensor) -> Tensor:
        """Return the scores of all heads. Shapes: [B, D] -> [B, sum of widths]."""
        raise NotImplementedError

    def forward(self, features: Tensor) -> Tensor:
        scores = self.all_scores(features)
        return scores if self.training else combine_scores(scores, self.heads, self.num_classes)


def choose_heads(heads: Sequence[Head], replaced: Sequence[str] | None) -> tuple[Head, ...]:
    """Return heads with those marked that the run's loss trains; None keeps the defaults.

    Raises: ValueError for names of no head, and for none at all.
    """
    if replaced is None:
        return tuple(heads)
    names = [head.name for head in heads]
    if not replaced or not {*replaced} <= {*names}:
        raise ValueError(f"replaced must name some of the heads {', '.join(names)}, got {list(replaced)}")
    return tuple(head._replace(replaced=head.name in replaced) for head in heads)
