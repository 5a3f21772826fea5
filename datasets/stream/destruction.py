"""Destroyed views: an image's patches, shuffled among neighbours."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from datasets.stream.draws import Draws

JITTER = 2
"""k: a patch's place is moved by -k to k before its row, and then its column, is sorted by it."""
PLACE = 2**31
"""Place in the chain that these numbers are drawn for, behind all transforms."""


def draw_places(draws: Draws, epoch: int, rows: np.ndarray, views: np.ndarray, grid: int) -> np.ndarray:
    """Draw which patch of an image lies at each place of its destroyed view.

    Each row of patches is sorted by its places after a jitter of up to k, then each column: no patch moves 2 k or
    farther in either direction. A function of (seed, epoch, row, view).

    Args:
        rows, views: of each sample.
        grid: patches in height and in width, n.

    Shapes: rows [M], views [M] -> [M, n * n] int64, patches counted row by row.
    Source: Chen et al. 2019, "Destruction and Construction Learning", CVPR, section 3.1, eqs. 1 to 3.
    """
    drawn = draws(epoch, rows, views, PLACE, 2 * grid * grid).reshape(len(rows), 2, grid, grid)
    moved = np.arange(grid) + JITTER * (2 * drawn - 1)  # [M, 2, n, n]
    numbers = np.broadcast_to(np.arange(grid * grid).reshape(grid, grid), (len(rows), grid, grid))
    numbers = np.take_along_axis(numbers, moved[:, 0].argsort(axis=-1), axis=-1)
    return np.take_along_axis(numbers, moved[:, 1].argsort(axis=-1).swapaxes(-1, -2), axis=-2).reshape(len(rows), -1)


def destroy(image: Tensor, places: Tensor) -> Tensor:
    """Return images whose patches lie where they were drawn to.

    What is left over at the rim, as the patches are of whole pixels and one size, is cut, and the rest enlarged.

    Shapes: image [B, C, H, W], places [B, n * n] -> [B, C, H, W].
    """
    (height, width), grid = image.shape[-2:], round(places.shape[1] ** 0.5)
    high, wide = height // grid, width // grid
    top, left = (height - high * grid) // 2, (width - wide * grid) // 2
    cut = image[..., top : top + high * grid, left : left + wide * grid]
    patches = cut.unflatten(-2, (grid, high)).unflatten(-1, (grid, wide)).transpose(-3, -2)  # [B, C, n, n, high, wide]
    patches = patches.flatten(2, 3)
    shuffled = patches.gather(2, places[:, None, :, None, None].expand_as(patches))
    shuffled = shuffled.unflatten(2, (grid, grid)).transpose(-3, -2).flatten(-2).flatten(2, 3)
    if shuffled.shape == image.shape:
        return shuffled
    return F.interpolate(shuffled, (height, width), mode="bilinear", align_corners=False)


def beside_destroyed(image: Tensor, places: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Return each image with its destroyed view behind it, and what is known of both.

    Shapes: image [B, 1, C, H, W], places [B, n * n] -> [B, 2, C, H, W], "destroyed" [B, 2], "places" [B, 2, n * n].
    """
    both = torch.stack([image[:, 0], destroy(image[:, 0], places)], dim=1)
    whole = torch.arange(places.shape[1], device=places.device).expand_as(places)
    destroyed = torch.arange(2, device=places.device).expand(len(places), 2)
    return both, {"destroyed": destroyed, "places": torch.stack([whole, places], dim=1)}
