"""`smoke: true`: a run of seconds on made-up images, through the code that the real run goes through."""

from __future__ import annotations

from typing import Any

import msgspec

from configuration.schema import Configuration

IN_PIXELS = ("size", "padding", "length")
"""Parameters of transforms that are lengths on an image."""
OF_EVERY_SET = ("imbalance", "imbalance_kind")
"""Parameters in data_params that made-up images take as well."""
DATA_SET, SIZE, BATCH, EPOCHS = "made_up", 32, 16, 2
HELD_OUT = 0.1
"""Share that is held out at least, where any is: of so few images a smaller one is none."""
CLIPPED_TO = 1.0
"""Norm of the gradients: some losses, at the rates of their papers, do not stay finite on so few made-up images."""


def shrink(config: Configuration) -> Configuration:
    """Return what `smoke: true` makes of a run; any other configuration, and one with a sweep, as it is.

    The data set is replaced by made-up images that stand for it, those of more than 32 px both ways become at most
    32 px, and lengths among the transforms' parameters shrink with them; at least a tenth is held out, batches hold at
    most 16 images, there are at most two epochs, so that none beyond can be kept, weights are fresh, gradients are
    clipped. All else stays, so loss,
    optimizer, schedule, augmentation, mixing and network are those of the real run. The values are the configuration's
    own, so a run's config.yml says what ran.
    """
    if not config.smoke or config.sweep is not None:
        return config
    shorter, longer = sorted(config.size or (SIZE, SIZE))
    scale = SIZE / longer if shorter > SIZE else 1.0  # plates of 24 x 94 px are small enough
    kept, stands_for = config.keep_epochs, config.data_params
    if config.dataset != DATA_SET:
        kept_params = {key: value for key, value in stands_for.items() if key in OF_EVERY_SET}
        stands_for = {"like": config.dataset} | ({"num_classes": len(config.classes)} if config.classes else {})
        stands_for |= kept_params
    return msgspec.structs.replace(
        config,
        dataset=DATA_SET,
        data_params=stands_for,
        data_path=None,
        classes=None,
        noisy_labels=None,
        valid_fraction=config.valid_fraction and max(config.valid_fraction, HELD_OUT),
        image_size=config.size and [round(side * scale) for side in config.size],
        image_augmentations=_scaled(config.image_augmentations, scale),
        tensor_augmentations=_scaled(config.tensor_augmentations, scale),
        batch_size=min(config.batch_size, BATCH),
        num_epochs=min(config.num_epochs, EPOCHS),
        gradient_clip_norm=min(config.gradient_clip_norm or CLIPPED_TO, CLIPPED_TO),
        pretrained=False,
        weights_path=None,
        compile=False,
        keep_epochs=kept if kept in (None, "all") else [epoch for epoch in kept if epoch < EPOCHS],
    )


def _scaled(chain: Any, scale: float) -> Any:
    """Return transforms whose lengths in pixels shrink with the images."""

    def smaller(length: Any) -> Any:
        if isinstance(length, list):
            return [smaller(side) for side in length]
        return max(1, round(length * scale)) if isinstance(length, (int, float)) else length

    if isinstance(chain, list):
        return [_scaled(one, scale) for one in chain]
    return {
        name: {key: smaller(value) if key in IN_PIXELS else value for key, value in params.items()}
        for name, params in chain.items()
    }
