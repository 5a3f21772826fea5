"""Pixels moved, blurred and recoloured by torch, a batch at once, where they lie. Matrices are those of `on_cpu`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import InterpolationMode

from datasets.augmentation.fused.operation import Border, Size

PADDINGS = {"constant": "zeros", "edge": "border", "reflect": "reflection", "symmetric": "reflection"}


def warp(images: Tensor, matrices: Tensor, size: Size, interpolation: InterpolationMode, border: Border) -> Tensor:
    """Warp images where they lie. Shapes: images [M, C, H, W] float, matrices [M, 3, 3] -> [M, C, h, w]."""
    height, width = images.shape[-2:]
    corners = border.mode == "reflect"  # at the middles of the outermost pixels, as torch has it then
    sides = images.new_tensor((width, height))
    x, y = (torch.arange(side, device=images.device, dtype=images.dtype) + 0.5 for side in (size[1], size[0]))
    places = torch.stack([*torch.meshgrid(x, y, indexing="xy"), torch.ones(size, device=x.device, dtype=x.dtype)], -1)
    sources = torch.einsum("mij,hwj->mhwi", matrices.to(images)[:, :2], places)  # [M, h, w, 2]
    grid = 2 * (sources - 0.5) / (sides - 1) - 1 if corners else 2 * sources / sides - 1
    fill = images.new_tensor(border.fill)[:, None, None] if border.mode == "constant" else 0
    warped = F.grid_sample(
        images - fill,
        grid,
        mode=interpolation.value,
        padding_mode=PADDINGS[border.mode],
        align_corners=corners,
    )
    return (warped + fill).round_().clamp_(0, 255)


def blur(images: Tensor, along_x: Tensor, along_y: Tensor) -> Tensor:
    """Blur images, each with weights of its own. Shapes: images [M, C, H, W] float, along_x [M, k], along_y [M, l]."""
    x, y = (weights.to(images).repeat_interleave(images.shape[1], dim=0) for weights in (along_x, along_y))
    rim_x, rim_y = x.shape[1] // 2, y.shape[1] // 2
    planes = F.pad(images, (rim_x, rim_x, rim_y, rim_y), mode="reflect").flatten(0, 1)[None]  # [1, M C, ., .]
    planes = F.conv2d(planes, x[:, None, None], groups=len(x))
    planes = F.conv2d(planes, y[:, None, :, None], groups=len(y))
    return planes.reshape(images.shape).round_().clamp_(0, 255)


def recolour(images: Tensor, matrices: Tensor) -> Tensor:
    """Map every colour and cut it to 0 to 255. Shapes: images [M, C, H, W] float, matrices [M, 4, 4] -> the same."""
    if images.shape[1] == 1:
        gain, bias = matrices[:, 0, :3].sum(dim=-1)[:, None, None, None], matrices[:, 0, 3][:, None, None, None]
        return (images * gain + bias).round_().clamp_(0, 255)
    flat = torch.baddbmm(matrices[:, :3, 3:], matrices[:, :3, :3], images.flatten(2))
    return flat.view_as(images).round_().clamp_(0, 255)
