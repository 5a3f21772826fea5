"""Transforms from their configuration: names, ours or torchvision.transforms', with parameters, in order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from numbers import Real
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms import functional as tf

from configuration.chains import steps
from configuration.schema import Configuration
from datasets import TRANSFORMS
from datasets.preprocessing import Preprocessing
from utils.lookup import did_you_mean, load_entry, parameter_problems, refusals
from utils.own_imports import place_of
from utils.seeding import derive_seed, seed_cpu
from utils.types import ConfigError

ENUMERATIONS: dict[str, type[Enum]] = {"interpolation": InterpolationMode, "policy": transforms.AutoAugmentPolicy}
"""Parameters that torchvision takes as members of an enumeration, and a configuration as their texts."""


def build_transforms(
    chain: Mapping[str, Any] | Sequence[Mapping[str, Any]], key: str, library: Any = transforms
) -> list[Callable[[Any], Any]]:
    """Build the transforms of a chain.

    Args:
        chain: name -> parameters, or a list of such mappings. A transform of transforms (RandomApply, RandomChoice,
            RandomOrder) takes a chain as its `transforms`; those that work on normalised tensors cannot stand there.
        key: the configuration's key, for messages.
        library: torchvision's module that they come from, where they are not ours.

    Raises: ConfigError naming each parameter that a transform does not take and each transform that cannot be built.
    """
    built, problems = [], []
    for path, name, values in steps(chain):
        params, here = dict(values or {}), ".".join((key, *path))
        constructor = transform_class(name, library)
        if constructor is None:  # one inside another: those at the top were checked with the other names
            near = did_you_mean(name, [*TRANSFORMS, *vars(transforms)])
            problems.append(f"{here}: unknown transform {name!r}{near} (python train.py --list transforms)")
            continue
        unfit = parameter_problems(constructor, params) or senseless_parameters(name, params)
        problems += [f"{here}.{param}: {text}" for param, text in unfit.items()]
        try:
            if "transforms" in params and "transforms" not in unfit:
                inner, places = f"{here}.transforms", [path for path, _, _ in steps(params["transforms"])]
                params["transforms"] = build_transforms(params["transforms"], inner, library)
                for place, item in zip(places, params["transforms"], strict=True):
                    reason = "comes after normalisation" if is_late(item) else "alternates with the epochs"
                    if is_late(item) or alternates(item):
                        raise ConfigError(f"{'.'.join((inner, *place))}: {reason}, so not inside {name}")
            if unfit:
                continue
            for param, kind in ENUMERATIONS.items():
                if isinstance(params.get(param), str):
                    params[param] = _member(kind, params[param], f"{here}.{param}")
            transform = constructor(**params)
            if not callable(transform):
                raise ConfigError(f"{here}: {place_of(constructor, name)} must be called with an image or a tensor")
            built.append(transform)
        except ConfigError as error:
            problems.append(str(error))
        except refusals(constructor) as error:
            problems.append(f"{here}: {name} refuses its parameters: {error}")
    if problems:
        raise ConfigError("\n".join(problems))
    return built


def torchvision_of(config: Configuration) -> Any:
    """Return torchvision's transforms for a configuration's task: the second version moves boxes and masks, too."""
    return transforms if config.task == "classification" else v2


def transform_class(name: str, library: Any = transforms) -> Any:
    """Return the class of a transform, ours or torchvision's, or None."""
    return load_entry(TRANSFORMS[name]) if name in TRANSFORMS else getattr(library, name, None)


def _member(kind: type[Enum], value: str, place: str) -> Enum:
    """Return the member of an enumeration that a text means."""
    values = [str(member.value) for member in kind]
    if value.lower() not in values:
        raise ConfigError(f"{place}: must be one of {', '.join(values)}, got {value!r}{did_you_mean(value, values)}")
    return kind(value.lower())


def is_late(transform: Callable[[Any], Any]) -> bool:
    """Tell whether a transform works on normalised tensors; such come last, wherever they stand."""
    return getattr(transform, "after_normalization", False)


def alternates(transform: Callable[[Any], Any]) -> bool:
    """Tell whether a transform does in an epoch the opposite of what it did in the one before."""
    return getattr(transform, "alternates", False)


def senseless_parameters(name: str, params: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with a transform's parameters, by parameter."""
    problems = {}
    for param, value in params.items():
        if not all(math.isfinite(number) for number in _numbers(value)):
            problems[param] = f"must be finite, got {value}"
        elif (rule := RULES.get((name, param)) or RULES.get(("", param))) is not None and not rule[0](value):
            problems[param] = f"must be {rule[1]}, got {value!r}"
    return problems


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, Real) and not isinstance(value, bool):
        yield float(value)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _numbers(item)


def _all_within(value: Any, low: float, high: float) -> bool:
    values = value if isinstance(value, (list, tuple)) else [value]
    return bool(values) and all(
        isinstance(item, Real) and not isinstance(item, bool) and low <= float(item) <= high for item in values
    )


def _ascending(value: Any, low: float, high: float) -> bool:
    return (
        isinstance(value, (list, tuple)) and len(value) == 2 and _all_within(value, low, high) and value[0] <= value[1]
    )


def _odd_pixels(value: Any) -> bool:
    values = value if isinstance(value, (list, tuple)) else [value]
    return len(values) in (1, 2) and all(type(item) is int and item > 0 and item % 2 == 1 for item in values)


def is_chain(value: Any) -> bool:
    """Tell whether a value is a mapping, or a list of one-key mappings."""
    if isinstance(value, list):
        return all(isinstance(item, Mapping) and len(item) == 1 for item in value)
    return isinstance(value, Mapping)


LEAST = 1e-6  # above 0

RULES: dict[tuple[str, str], tuple[Callable[[Any], bool], str]] = {
    ("RandomChoice", "p"): (
        lambda value: value is None or _all_within(value, 0, math.inf),
        "weights, or null",
    ),
    ("", "p"): (lambda value: not isinstance(value, list) and _all_within(value, 0, 1), "a number from 0 to 1"),
    ("", "fill"): (lambda value: value is None or _all_within(value, 0, 255), "0 to 255, a number or one a channel"),
    ("RandomAffine", "scale"): (
        lambda value: value is None or _ascending(value, LEAST, math.inf),
        "two ascending numbers above 0",
    ),
    ("", "scale"): (lambda value: _ascending(value, LEAST, 1), "two ascending numbers above 0, up to 1"),
    ("", "ratio"): (lambda value: _ascending(value, LEAST, math.inf), "two ascending numbers above 0"),
    ("GaussianBlur", "kernel_size"): (
        _odd_pixels,
        "an odd number of pixels, or one for the width and one for the height",
    ),
    ("GaussianBlur", "sigma"): (
        lambda value: _ascending(value if isinstance(value, (list, tuple)) else [value, value], LEAST, math.inf),
        "a number above 0, or two ascending ones",
    ),
    ("RandomErasing", "value"): (
        lambda value: value == "random" or _all_within(value, 0, 1),
        "0 to 1 (pixels are no bytes then), a number or one a channel, or random",
    ),
    ("RandomPosterize", "bits"): (lambda value: _all_within(value, 0, 8), "0 to 8"),
    ("", "transforms"): (
        lambda value: is_chain(value) and len(value) > 0,
        "a mapping of transforms to their parameters, such as {ColorJitter: {hue: 0.1}}, or a list of such mappings",
    ),
}
"""(transform or "", parameter) -> what it must be, in code and in words."""


class CutOut:
    """Sets one square of a normalised image to 0, the mean of the data.

    The centre is uniform over the image, so the square may overhang the border and then covers less. RandomErasing is
    another thing: its rectangle has a random area and form, lies inside the image and is filled before normalisation.

    Args:
        length: side of the square in pixels, >= 1. Paper: 16 on CIFAR-10, 8 on CIFAR-100.

    Shapes: image [..., C, H, W], normalised -> a copy of the same.
    Raises: ValueError if the length is below 1.
    Source: DeVries and Taylor 2017, "Improved Regularization of Convolutional Neural Networks with Cutout",
        arXiv:1708.04552.
    Deviations: a square of odd length has this length; in the authors' code it is one pixel smaller.
    """

    after_normalization = True

    def __init__(self, length: int = 16) -> None:
        if length < 1:
            raise ValueError(f"length must be >= 1, got {length}")
        self.length = length

    def __call__(self, image: Tensor) -> Tensor:
        rows, columns = (self._interval(side) for side in image.shape[-2:])
        image = image.clone()
        image[..., rows, columns] = 0
        return image

    def _interval(self, side: int) -> slice:
        start = int(torch.randint(side, ())) - self.length // 2
        return slice(max(start, 0), start + self.length)


class AlternatingFlip(transforms.RandomHorizontalFlip):
    """Mirrors an image left to right in every other epoch; by chance, half of the images begin.

    So two epochs show each image in both ways, where RandomHorizontalFlip shows half of them twice in one.

    Shapes: a PIL image, or [..., C, H, W] -> the same.
    Source: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv:2404.00498, sec. 3.6.
    Deviations: none.
    """

    alternates = True

    def __init__(self) -> None:
        super().__init__(0.5)

    def at(self, image: Any, start: int, epoch: int) -> Any:
        """Return the image of an epoch. Args: start: a number of the image's own; if it is odd, the image begins."""
        return tf.hflip(image) if (start + epoch) % 2 else image


class OneByOne:
    """A chain as torchvision runs it, one transform at a time: on PIL images, tensors, and then normalised tensors.

    Args:
        image_chain, tensor_chain: the transforms. Those that work on normalised tensors, such as CutOut, come last,
            wherever they stand.
        preprocessing: what normalises.
        seed: the run's.
    """

    def __init__(
        self, image_chain: Sequence[Any], tensor_chain: Sequence[Any], preprocessing: Preprocessing, seed: int
    ) -> None:
        self.image_chain, self.preprocessing, self.seed = image_chain, preprocessing, seed
        self.tensor_chain = [transform for transform in tensor_chain if not is_late(transform)]
        self.late_chain = [transform for transform in tensor_chain if is_late(transform)]

    def __call__(self, image: np.ndarray, epoch: int, index: int, view: int) -> Tensor:
        """Augment an image by random numbers that depend on (seed, epoch, index, view) alone.

        Shapes: [H, W, C] uint8 -> [C, h, w], uint8 or, where there are transforms of tensors, float32 and normalised.
        """
        start = derive_seed(self.seed, "alternate", index, view)

        def apply(transform: Any, image: Any) -> Any:
            return transform.at(image, start, epoch) if alternates(transform) else transform(image)

        seed_cpu(derive_seed(self.seed, "augment", epoch, index, view))
        augmented: Any = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
        for transform in self.image_chain:
            augmented = apply(transform, augmented)
        if not self.tensor_chain and not self.late_chain and isinstance(augmented, Image.Image):
            return tf.pil_to_tensor(augmented)
        tensor = augmented if isinstance(augmented, Tensor) else tf.to_tensor(augmented)
        for transform in self.tensor_chain:
            tensor = apply(transform, tensor)
        tensor = self.preprocessing.normalize(tensor)
        for transform in self.late_chain:
            tensor = transform(tensor)
        return tensor.to(torch.float32)
