"""The cost of a network: parameters, and multiply-adds for one image."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(module: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def meta_copy(network: nn.Module) -> nn.Module:
    """Return a copy that has shapes and no data, to be run at no cost; the network itself is left alone."""
    memo: dict[int, object] = {}
    for parameter in network.parameters():
        memo[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
    for buffer in network.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(network, memo)


def count_multiply_adds(network: nn.Module, image_size: int | tuple[int, int], in_channels: int) -> int:
    """Return the multiply-adds that one image costs: those of convolutions, matrix products and attention.

    Counted on a copy without data in eval mode, so that state, mode and random numbers stay as they are.

    Args:
        network: image [1, in_channels, H, W] -> anything.
        image_size: H = W, or (H, W), px.
        in_channels: channels of the image.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    image = torch.empty(1, in_channels, height, width, device="meta")
    counter = FlopCounterMode(display=False)
    # with gradients, since attention's fused path without them is not counted
    with torch.enable_grad(), counter:
        meta_copy(network).eval()(image)
    return counter.get_total_flops() // 2
