"""The contract between networks of pixels or regions and the module that trains them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import timm
import torch
from torch import Tensor, nn

from models.weights import no_pretrained_weights, weights_only_loads
from utils.types import ConfigError


class Rows(NamedTuple):
    """The parts of a batch that are classified: pixels, regions or anchors.

    Args:
        features: [N, D], what the last layer reads.
        target: [N] int64, of those that `chosen` gives; None where nothing is asked.
        index: [N] int64, equal where rows show the same thing in several views of an image; negative where alone.
        terms: what is minimised beside the loss.
        context: the network's own, to read the scores by.
    """

    features: Tensor
    target: Tensor | None = None
    index: Tensor | None = None
    terms: dict[str, Tensor] = {}
    context: Any = None


class DenseNetwork(nn.Module):
    """A network whose last layer, `classifier`, maps features of pixels or regions to K scores, the background first.

    Attributes:
        kind: the task that it is for.
        body: its feature extractor, which pretrained weights are of.
        image_size: height and width, px, that it is counted for where the data does not say.
        unit: what its rows are of, for messages.
        loss_weight: what the loss's terms are multiplied by, beside the network's own.
    """

    kind: str
    unit: str
    loss_weight: float = 1.0
    body: Any
    classifier: Any
    not_applied: tuple[str, ...] = ()
    image_size = (256, 256)

    def rows(self, image: Tensor, target: Any = None, index: Tensor | None = None) -> Rows:
        """Return what is classified of some images.

        Shapes: image [B*V, C, H, W]; target as `DenseStream`'s, of B * V views; index [B*V], the images' own.
        """
        raise NotImplementedError

    def chosen(self, rows: Rows, log_p: Tensor) -> Tensor | None:
        """Return which rows train, where that depends on what the scores say; None for all. Shapes: log_p [N, K]."""
        return None

    def judged(self, rows: Rows, scores: Tensor, target: Any) -> tuple[Tensor, Tensor]:
        """Return the scores and targets that a loss is judged by. Shapes: scores [N, K] -> [M, K], [M]."""
        assert rows.target is not None
        known = rows.target >= 0
        return scores[known], rows.target[known]

    def read(self, rows: Rows, scores: Tensor, loss: Any) -> Any:
        """Return the predictions: a class for each pixel [B, H, W], or objects, a mapping an image."""
        raise NotImplementedError

    def get_classifier(self) -> nn.Module:
        return self.classifier

    def reset_classifier(self, num_classes: int) -> None:
        """Put a fresh last layer in place; 0 classes leave none."""
        width = self.classifier.in_features
        self.classifier = nn.Linear(width, num_classes) if num_classes else nn.Identity()  # type: ignore[arg-type]

    def forward_intermediates(self, image: Tensor, indices: Sequence[int] = ()) -> Any:
        raise ValueError(f"a network of {self.unit} gives its maps to no loss")

    def forward_features(self, image: Tensor) -> Any:
        """Return the body's feature maps."""
        raise NotImplementedError

    def forward_head(self, maps: Any, pre_logits: bool = False) -> Tensor:
        """Return the features of as many rows as an image has at most, whose last dimension is D."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        """Return scores of as many rows as an image has at most, to count what it costs."""
        return self.classifier(self.forward_head(self.forward_features(image), pre_logits=True))


class Body(nn.Module):
    """Feature maps of one of timm's networks, shallow to deep.

    Args:
        name: timm's.
        reductions: how many times smaller than the image each map is; of several such maps the deepest counts.
        in_channels: channels of the image.
        pretrained: start from timm's weights.
        output_stride: how many times smaller the last map is at most; None for the network's own. Those that cannot
            dilate their convolutions refuse it.
        frozen_statistics: leave batch normalisation as it is, as detectors of few images a batch do.

    Attributes: channels: of each map.
    Raises: ConfigError for a network that timm lacks, gives no such maps of or has no weights of.
    """

    def __init__(
        self,
        name: str,
        reductions: Sequence[int],
        in_channels: int,
        pretrained: bool | str,
        output_stride: int | None = None,
        frozen_statistics: bool = False,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"in_chans": in_channels, "features_only": True}
        options |= {} if output_stride is None else {"output_stride": output_stride}
        tagged = f"{name}.{pretrained}" if isinstance(pretrained, str) else name
        try:
            with torch.random.fork_rng():
                tried: Any = timm.create_model(name, **options)
                there = tried.feature_info.reduction()
            wanted = [max(k for k, each in enumerate(there) if each == one) for one in self._least(reductions, there)]
            with weights_only_loads():
                network: Any = timm.create_model(tagged, pretrained=bool(pretrained), out_indices=wanted, **options)
        except (OSError, RuntimeError, TypeError, ValueError, AssertionError, LookupError, AttributeError) as error:
            if pretrained and isinstance(error, OSError):
                raise no_pretrained_weights(name, error) from None
            raise ConfigError(f"architecture_params.body: timm's {name} cannot be one: {error}") from None
        self.network = network
        self.frozen_statistics = frozen_statistics
        self.channels: list[int] = network.feature_info.channels()
        self.reductions: list[int] = network.feature_info.reduction()

    @staticmethod
    def _least(reductions: Sequence[int], there: Sequence[int]) -> list[int]:
        """Return the reductions that there are instead of those that output_stride took away."""
        return [one if one in there else max(each for each in there if each <= one) for one in reductions]

    def train(self, mode: bool = True) -> Body:
        super().train(mode)
        if self.frozen_statistics:
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def forward(self, image: Tensor) -> list[Tensor]:
        return self.network(image)
