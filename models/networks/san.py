"""SAN: the weights of a pixel's neighbours come from how they differ from it, not from a learned kernel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.base import Network, initialize, pool_to_vector

_CHANNELS = (64, 256, 512, 1024, 2048)
_KERNELS = (3, 7, 7, 7, 7)
_SHARED = 8  # channels of the values that one weight map serves


class _PairwiseAttention(nn.Module):
    """Sums a pixel's neighbours, each times weights that a small network tells from the pair and its distance.

        y_i = sum over j in R(i) of softmax_j(gamma([phi(x_i) - psi(x_j), p_i - p_j])) * beta(x_j)

    Shapes: [B, C, H, W] -> [B, C // 4, H, W]. Beyond the edges the map is reflected.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        relations = channels // 16
        self.phi = nn.Conv2d(channels, relations, 1)
        self.psi = nn.Conv2d(channels, relations, 1)
        self.beta = nn.Conv2d(channels, channels // 4, 1)
        self.position = nn.Conv2d(2, 2, 1, bias=False)
        self.gamma = nn.Sequential(
            nn.BatchNorm2d(relations + 2),
            nn.ReLU(),
            nn.Conv2d(relations + 2, relations, 1, bias=False),
            nn.BatchNorm2d(relations),
            nn.ReLU(),
            nn.Conv2d(relations, channels // 4 // _SHARED, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        position = self.position(_coordinates(x))
        relation = self._differences(self.phi(x), self.psi(x))
        distance = self._differences(position, position).expand(len(x), -1, -1, -1)
        weights = self.gamma(torch.cat([relation, distance], dim=1)).softmax(dim=-1)  # [B, G, H * W, K * K]
        values = _neighbours(self.beta(x), self.kernel).unflatten(1, (_SHARED, -1))  # [B, 8, G, H, W, K, K]
        # A product and a sum rather than a matrix product: autograd then keeps a view of the values, not K * K copies.
        return (weights.view_as(values[:, 0]).unsqueeze(1) * values).sum(dim=(-2, -1)).flatten(1, 2)

    def _differences(self, centre: Tensor, around: Tensor) -> Tensor:
        """Return each pixel less its neighbours: two maps [B, C, H, W] -> [B, C, H * W, K * K]."""
        return (centre[..., None, None] - _neighbours(around, self.kernel)).flatten(4).flatten(2, 3)


def _coordinates(x: Tensor) -> Tensor:
    """Return each pixel's place, -1 to 1 from edge to edge: [B, C, H, W] -> [1, 2, H, W], columns first."""
    rows, columns = (torch.linspace(-1, 1, size, dtype=x.dtype, device=x.device) for size in x.shape[-2:])
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"))[None]


def _neighbours(x: Tensor, kernel: int) -> Tensor:
    """Return the kernel x kernel pixels around each: [B, C, H, W] -> [B, C, H, W, K, K], a view of the padded map."""
    for axis in (2, 3):
        x = x.index_select(axis, _reflected(x.shape[axis], kernel // 2, x.device))
    return x.unfold(2, kernel, 1).unfold(3, kernel, 1)


def _reflected(size: int, pad: int, device: torch.device) -> Tensor:
    """Return the indices 0 .. size - 1, and `pad` more on both sides, reflected as often as a short axis needs it."""
    period = max(2 * (size - 1), 1)
    index = torch.arange(-pad, size + pad, device=device) % period
    return torch.minimum(index, period - index).clamp(max=size - 1)


class _Block(nn.Module):
    """Attention over few channels, then back to all of them, beside the identity."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            _PairwiseAttention(channels, kernel),
            nn.BatchNorm2d(channels // 4),
            nn.ReLU(),
            nn.Conv2d(channels // 4, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _san(num_classes: int, in_channels: int, dropout: float, blocks: tuple[int, ...]) -> Network:
    channels = _CHANNELS[0]
    layers: list[nn.Module] = [nn.Conv2d(in_channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
    stages = []
    for out, kernel, count in zip(_CHANNELS, _KERNELS, blocks, strict=True):
        layers += [nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(channels, out, 1, bias=False)]
        layers += [*(_Block(out, kernel) for _ in range(count)), nn.BatchNorm2d(out), nn.ReLU()]
        stages.append(nn.Sequential(*layers))
        channels, layers = out, []
    network = Network(stages, pool_to_vector(nn.Dropout(dropout)), nn.Linear(channels, num_classes), channels)
    initialize(network)
    return network


def san15(num_classes: int, in_channels: int = 3, *, dropout: float = 0.0) -> Network:
    """Build SAN-15 with pairwise self-attention.

    Args:
        num_classes: K.
        in_channels: channels of the image.
        dropout: probability before the last layer; the paper has none.

    Shapes: image [B, in_channels, H, W], any size -> scores [B, K]; features [B, 2048].
    Source: Zhao, Jia and Koltun 2020, "Exploring Self-attention for Image Recognition", arXiv:2004.13621, sec. 3.1;
    the relation is subtraction. What the paper leaves open is as in its published code.
    Deviations: the linear map of positions has no bias, which would cancel in their difference. Maps shorter than the
    padding are reflected more than once, and pooling keeps the last row and column of odd maps, so that any size
    works; both change nothing at 224 px. Convolutions start as in our other networks.
    """
    return _san(num_classes, in_channels, dropout, (3, 2, 3, 5, 2))
