"""Further views of the images that a run is judged on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from datasets.augmentation.transforms import build_transforms, is_chain
from datasets.stream.image_stream import ImageStream
from evaluation.findings import NotApplicable
from evaluation.subject import Subject
from utils.types import Batch, ConfigError


def augmented_stream(
    subject: Subject, views: int, positions: Sequence[int] | np.ndarray | None = None, chain: Any = None, key: str = ""
) -> ImageStream:
    """Return images of the part as training augments its own; runs of one seed see the same pixels.

    Args:
        views: of each image.
        positions: which of the part's images; None for all.
        chain: transforms to take instead, in the manner of image_augmentations. key: for messages about them.

    Raises: NotApplicable if the run trains without augmentation and no chain is given; ConfigError for a wrong chain.
    """
    config, stream = subject.config, subject.part.stream
    if chain is not None:
        if not is_chain(chain):
            raise ConfigError(f"{key}: must be a mapping of transforms to their parameters, got {chain!r}")
        build_transforms(chain, key)  # with the right key in its messages
        chains = {"image_augmentations": chain}
    else:
        chains = {
            "image_augmentations": config.image_augmentations if config.augment_images else None,
            "tensor_augmentations": config.tensor_augmentations if config.augment_tensors else None,
        }
    if not any(chains.values()):
        raise NotApplicable("the run trains without augmentation" + (f", and {key} gives none" if key else ""))
    return ImageStream(
        stream.table,
        stream.rows if positions is None else stream.rows[positions],
        stream.preprocessing,
        views=views,
        seed=config.seed,
        backend=config.augment_backend,
        **chains,
    )


def judge_views(subject: Subject, batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the loss's prediction [B] and log-probabilities [B, K] of each view of a batch."""
    for view in batch.image.unbind(1):
        yield subject.judge(subject.classifier(view).scores)
