"""Warnings about settings and results that are allowed but hardly ever meant."""

from __future__ import annotations

import logging

import numpy as np

from configuration.schema import Configuration
from datasets.data_module import DataModule
from training.networks import for_channels, own_normalization

LOG = logging.getLogger("lossbench")
FEW_VALIDATION_IMAGES = 100
HIGHEST_LEARNING_RATE = 10.0


def warn_before_training(config: Configuration, data: DataModule) -> None:
    """Warn about few validation images, crops of another size than the test images, and odd learning rates."""
    validation = len(data.valid_rows)
    if config.select_on == "valid" and validation < FEW_VALIDATION_IMAGES:
        _warn(
            config,
            "valid_fraction",
            f"{validation} validation images select the checkpoint, each of them {100 / validation:.1f} points of "
            "accuracy; a larger valid_fraction selects more reliably",
        )
    trained, (height, width) = tuple(data.train_stream[(0, 0)].image.shape[-2:]), data.image_size
    if trained != (height, width):
        key = "image_augmentations" if config.augment_images else "tensor_augmentations"
        text = f"training images are {trained[0]} x {trained[1]}, validation and test images {height} x {width}"
        _warn(config, key, f"{text} (image_size)")
    rate = config.optimizer_params.get("lr")
    if isinstance(rate, (int, float)) and rate > HIGHEST_LEARNING_RATE:
        _warn(config, "optimizer_params", f"lr is {rate:g}; few optimizers learn with more than 1")


def warn_about_weights(config: Configuration) -> None:
    """Warn if pretrained weights see images otherwise than they were trained. Args: config: `normalize` resolved."""
    own = own_normalization(config)
    if own is None:
        return
    if config.convert_to_grayscale and len(own.mean) == 3:
        text = "the weights were trained on colour images; the network's first layer is summed to one channel"
        _warn(config, "convert_to_grayscale", text)
    expected, used = for_channels(own, config.in_channels), config.normalization
    if used is None or (used.mean, used.std) != (expected.mean, expected.std):
        text = f"the weights were trained with mean {expected.mean} and std {expected.std}; normalize: auto takes these"
        _warn(config, "normalize", text)


def warn_after_test(accuracy: float, target: np.ndarray) -> None:
    """Warn about an accuracy that no image is needed for.

    Args:
        accuracy: share of the test images.
        target: their classes, [N] int64.
    """
    chance = np.bincount(target).max() / len(target)
    if accuracy <= chance:
        LOG.warning(
            "test accuracy %.2f %% is no better than always answering the most frequent class (%.2f %%): the network "
            "has learnt nothing that it could use; look at the curves, the learning rate and the labels",
            100 * accuracy,
            100 * chance,
        )


def _warn(config: Configuration, key: str, text: str) -> None:
    LOG.warning("%s: %s: %s", config.place((key,)), key, text)
