"""A configuration -> its network, and whether that takes the images."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import Any

from msgspec import structs
from torch import nn

from configuration.reading import read_configuration
from configuration.schema import KEYS, Configuration, Normalization
from models import ARCHITECTURES, BODIED, build_model, resolve_architecture, weights_normalization
from models.flops import count_multiply_adds
from utils.lookup import load_entry
from utils.types import ConfigError, first_line

SHAPED_BY = ("architecture", "architecture_params", "output_channels", "image_size", "convert_to_grayscale")
"""All that decides whether a network can be built and takes the images."""
CLASSES_TRIED = 10


def build_network(config: Configuration, num_classes: int) -> Any:
    """Return the network of a run.

    Raises: ConfigError for parameters that have a key of their own, and as `build_model`.
    """
    sources = {"name": "architecture", "num_classes": "the data", "in_channels": "convert_to_grayscale"}
    sources |= {key: f"{key}, a key of its own" for key in KEYS}
    if keys := sorted(config.architecture_params.keys() & sources.keys()):
        raise ConfigError("\n".join(f"architecture_params.{key}: comes from {sources[key]}" for key in keys))
    return build_model(
        config.architecture,
        num_classes,
        config.in_channels,
        dropout=config.dropout,
        output_channels=config.output_channels,
        pretrained=config.pretrained,
        weights_path=config.weights_path,
        image_size=config.size,
        **config.architecture_params,
    )


def own_normalization(config: Configuration) -> Normalization | None:
    """Return what the images were normalised by that a run's initial weights were trained on.

    None if it begins without weights, if they were trained without, or if nobody tells. A checkpoint of a run tells by
    the run's config.yml, other weights by what is published for the architecture.
    """
    if not (config.pretrained or config.weights_path):
        return None
    run = Path(config.weights_path).expanduser().parent.parent / "config.yml" if config.weights_path else None
    if run is not None and run.is_file():
        return with_own_normalization(read_configuration(str(run))).normalization
    published = weights_normalization(_source_of_weights(config))
    return published and Normalization(*map(list, published))


def _source_of_weights(config: Configuration) -> str:
    """Return the architecture whose published weights a run starts from: a network on a body starts from the body's."""
    source = resolve_architecture(config.architecture)
    if source not in BODIED:
        return config.architecture
    default = inspect.signature(load_entry(ARCHITECTURES[source])).parameters["body"].default
    return str(config.architecture_params.get("body", default))


def for_channels(normalization: Normalization, channels: int) -> Normalization:
    """Return the mean over the colours where a grayscale network is given weights of a colour one."""
    if len(normalization.mean) == channels or channels != 1:
        return normalization
    mean, std = (round(sum(values) / len(values), 4) for values in (normalization.mean, normalization.std))
    return Normalization([mean], [std])


def with_own_normalization(config: Configuration) -> Configuration:
    """Return a configuration whose `normalize: auto` is resolved: the weights' own numbers unless others are given."""
    if config.normalize != "auto":
        return config
    key = "normalization_params_grayscale" if config.convert_to_grayscale else "normalization_params_rgb"
    own = None if config.was_set(key) else own_normalization(config)
    resolved = {} if own is None else {key: for_channels(own, config.in_channels)}
    return structs.replace(config, normalize=True, **resolved)


def count_of_an_image(config: Configuration, network: nn.Module, size: tuple[int, int]) -> int:
    """Return the multiply-adds of an image, which is also the first time that the network meets one of this size.

    Raises: ConfigError if it cannot take it.
    """
    try:
        return count_multiply_adds(network, size, config.in_channels)
    except (RuntimeError, AssertionError, ValueError, ConfigError) as error:
        text = first_line(error)
        refusal = f"{config.architecture} cannot take {size[0]}x{size[1]} images"
        raise ConfigError(f"image_size: {refusal}: {text}") from None


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
