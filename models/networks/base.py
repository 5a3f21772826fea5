"""The base of our own networks: timm's contract over stages, a head and a last layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from torch import Tensor, nn

from utils.types import ConfigError

CONTRACT = (
    *("forward_features", "forward_head", "forward_intermediates", "get_classifier", "reset_classifier"),
    *("num_features", "image_size"),
)
"""Names of timm's contract, on which the bench relies."""


class Network(nn.Module):
    """A network that answers to timm's contract: image -> `stages` -> `head` -> `classifier`.

    Args:
        stages: run one after the other; each ends where a feature map may be asked for, shallow to deep.
        head: last stage's output -> features [B, num_features].
        classifier: features -> scores [B, K].
        num_features: width of the features.
        to_map: a stage's output -> feature map [B, C, H, W], where they differ (tokens, channels last).
        min_size: least height and width of an image, px.
        image_size: H = W, or (H, W), px, of the images that it was made for; others may fit as well.

    Shapes: image [B, in_channels, H, W] -> scores [B, K]; of a sequence, with T steps between B and what follows.
    Raises: ConfigError, when used, for an image that is too small.

    Attributes:
        kind: "image" or "sequence", what the scores are of; must match the data set.
        start_images: number of training images that the network starts from; 0 for none. If there are any,
            `start_from` is given them before training, not augmented, the same ones for each loss: an iterable of
            batches [B, C, H, W]. What it computes belongs into the state, as a resumed run loads it.
    """

    kind: ClassVar[str] = "image"
    start_images: ClassVar[int] = 0

    def __init__(
        self,
        stages: Iterable[nn.Module],
        head: nn.Module,
        classifier: nn.Module,
        num_features: int,
        to_map: Callable[[Tensor], Tensor] | None = None,
        *,
        min_size: tuple[int, int] = (1, 1),
        image_size: int | tuple[int, int] = 224,
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.head = head
        self.classifier = classifier
        self.num_features = num_features
        self.head_hidden_size = num_features  # timm's name for the width of what the classifier sees
        self.to_map = to_map
        self.min_size = min_size
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size

    def forward_features(self, x: Tensor) -> Tensor:
        """Return what the last stage gives, before pooling."""
        self._check_size(x)
        for stage in self.stages:
            x = stage(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Return the scores [B, K], or the features [B, num_features] that the classifier maps to them."""
        x = self.head(x)
        return x if pre_logits else self.classifier(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Return the feature maps that stages give.

        Args:
            x: image [B, in_channels, H, W].
            indices: the last n stages if a number, all if None, else these (negative ones count from the end).
            norm: without effect, part of timm's signature: a last norm belongs to the head.
            stop_early: run no stage beyond the last one asked for.
            output_fmt: "NCHW", nothing else.
            intermediates_only: leave the final features out.

        Returns: the maps [B, C, H, W], shallow to deep; before them, unless `intermediates_only`, the final features.
        Raises: ValueError for another format, IndexError for a stage that is not there.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt must be 'NCHW', got {output_fmt!r}")
        self._check_size(x)
        taken = _stage_indices(len(self.stages), indices)
        maps = []
        for i, stage in enumerate(self.stages):
            if stop_early and i > max(taken, default=-1):
                break
            x = stage(x)
            if i in taken:
                maps.append(x if self.to_map is None else self.to_map(x))
        return maps if intermediates_only else (x, maps)

    def _check_size(self, x: Tensor) -> None:
        (height, width), (least_height, least_width) = x.shape[-2:], self.min_size
        if height < least_height or width < least_width:
            least = f"{least_height} px high and {least_width} px wide"
            raise ConfigError(f"images must be at least {least}, got {height} x {width}")

    def get_classifier(self) -> nn.Module:
        """Return the last layer: features -> scores."""
        return self.classifier

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Put a fresh last layer in place; 0 classes leave the features as the output.

        Raises: ValueError if `global_pool` asks for another pooling.
        """
        if global_pool not in (None, "avg"):
            raise ValueError(f"global_pool cannot be changed, got {global_pool!r}")
        device = next(self.stages.parameters()).device
        self.classifier = (self.new_classifier(num_classes) if num_classes else nn.Identity()).to(device)

    def new_classifier(self, num_classes: int) -> nn.Module:
        """Return a fresh last layer."""
        return nn.Linear(self.num_features, num_classes)


def _stage_indices(count: int, indices: int | Sequence[int] | None) -> set[int]:
    wanted = range(count) if indices is None else range(-indices, 0) if isinstance(indices, int) else indices
    for i in wanted:
        if not -count <= i < count:
            raise IndexError(f"there are {count} stages, asked for {i}")
    return {i % count for i in wanted}


def initialize(network: nn.Module) -> None:
    """Kaiming normal (fan out) for convolutions, zero for their biases; other layers keep PyTorch's."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def pool_to_vector(*after: nn.Module) -> nn.Sequential:
    """Global average of a map, then `after`: [B, C, H, W] -> [B, C] -> ..."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1), *after)
