"""A configuration -> its network, and whether that takes the images."""

from __future__ import annotations

import warnings
from typing import Any

from msgspec import structs
from torch import nn

from models import build_model
from models.flops import count_multiply_adds
from utils.configuration.schema import KEYS, Configuration
from utils.types import ConfigError, first_line

SHAPED_BY = ("architecture", "architecture_params", "output_channels", "image_size", "convert_to_grayscale")
"""All that decides whether a network can be built and takes the images."""
CLASSES_TRIED = 10


def build_network(config: Configuration, num_classes: int) -> Any:
    """Return the network of a run.

    Raises: ConfigError for parameters that have a key of their own, and as `build_model`.
    """
    given = {"name": "architecture", "num_classes": "the data", "in_channels": "convert_to_grayscale"}
    given |= {key: f"{key}, a key of its own" for key in KEYS}
    if keys := sorted(config.architecture_params.keys() & given.keys()):
        raise ConfigError("\n".join(f"architecture_params.{key}: comes from {given[key]}" for key in keys))
    return build_model(
        config.architecture,
        num_classes,
        config.in_channels,
        dropout=config.dropout,
        output_channels=config.output_channels,
        pretrained=config.pretrained,
        weights_path=config.weights_path,
        **config.architecture_params,
    )


def count_of_an_image(config: Configuration, network: nn.Module, size: tuple[int, int]) -> int:
    """Return the multiply-adds of an image, which is also the first time that the network meets one of this size.

    Raises: ConfigError if it cannot take it.
    """
    try:
        return count_multiply_adds(network, size, config.in_channels)
    except (RuntimeError, AssertionError, ValueError, ConfigError) as error:
        text = first_line(error)
        what = f"{config.architecture} cannot take {size[0]}x{size[1]} images"
        raise ConfigError(f"image_size: {what}: {text}") from None


def network_problems(config: Configuration, size: tuple[int, int]) -> list[str]:
    """Build a network without its weights and show it an image; return what is wrong, a line each.

    Args: size: height and width of the image, px.
    """
    bare = structs.replace(config, pretrained=False, weights_path=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # told by the run
        try:
            count_of_an_image(bare, build_network(bare, CLASSES_TRIED), size)
        except ConfigError as error:
            return str(error).splitlines()
    return []
