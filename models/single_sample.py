"""A training batch of one sample, which batch normalisation refuses where a map has shrunk to one pixel."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn

NORMS = nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm


@contextlib.contextmanager
def running_statistics_for_single_values(module: nn.Module) -> Iterator[None]:
    """Normalise by the running statistics, which stay as they are, wherever a channel has one value in the batch.

    The variance of one value is zero, so PyTorch raises ValueError: an epoch's last batch of one sample would stop a
    run. For any network, whosever normalisation it has.
    """
    switched: set[nn.Module] = set()

    def before(norm: nn.Module, args: tuple[Tensor, ...]) -> None:
        if norm.training and args[0].numel() == args[0].shape[1]:
            switched.add(norm.eval())

    handles = [part.register_forward_pre_hook(before) for part in module.modules() if isinstance(part, NORMS)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for norm in switched:
            norm.train()
