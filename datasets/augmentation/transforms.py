"""Transforms from their configuration: names, ours or torchvision.transforms', with parameters, in order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from numbers import Real
from typing import Any

from torchvision import transforms
from torchvision.transforms import InterpolationMode

from configuration.chains import steps
from datasets import TRANSFORMS
from utils.lookup import did_you_mean, load_entry, parameter_problems, refusals
from utils.types import ConfigError

ENUMERATIONS: dict[str, type[Enum]] = {"interpolation": InterpolationMode, "policy": transforms.AutoAugmentPolicy}
"""Parameters that torchvision takes as members of an enumeration, and a configuration as their texts."""


def build_transforms(chain: Mapping[str, Any] | Sequence[Mapping[str, Any]], key: str) -> list[Callable[[Any], Any]]:
    """Build the transforms of a chain.

    Args:
        chain: name -> parameters, or a list of such mappings. A transform of transforms (RandomApply, RandomChoice,
            RandomOrder) takes a chain as its `transforms`; those that work on normalised tensors cannot stand there.
        key: the configuration's key, for messages.

    Raises: ConfigError naming each parameter that a transform does not take and each transform that cannot be built.
    """
    built, problems = [], []
    for path, name, values in steps(chain):
        params, here = dict(values or {}), ".".join((key, *path))
        constructor = transform_class(name)
        if constructor is None:  # one inside another: those at the top were checked with the other names
            near = did_you_mean(name, [*TRANSFORMS, *vars(transforms)])
            problems.append(f"{here}: unknown transform {name!r}{near} (python train.py --list transforms)")
            continue
        unfit = parameter_problems(constructor, params) or senseless_parameters(name, params)
        problems += [f"{here}.{param}: {text}" for param, text in unfit.items()]
        try:
            if "transforms" in params and "transforms" not in unfit:
                inner, places = f"{here}.transforms", [path for path, _, _ in steps(params["transforms"])]
                params["transforms"] = build_transforms(params["transforms"], inner)
                for place, item in zip(places, params["transforms"], strict=True):
                    reason = "comes after normalisation" if is_late(item) else "alternates with the epochs"
                    if is_late(item) or alternates(item):
                        raise ConfigError(f"{'.'.join((inner, *place))}: {reason}, so not inside {name}")
            if unfit:
                continue
            for param, kind in ENUMERATIONS.items():
                if isinstance(params.get(param), str):
                    params[param] = _member(kind, params[param], f"{here}.{param}")
            built.append(constructor(**params))
        except ConfigError as error:
            problems.append(str(error))
        except refusals(constructor) as error:
            problems.append(f"{here}: {name} refuses its parameters: {error}")
    if problems:
        raise ConfigError("\n".join(problems))
    return built


def transform_class(name: str) -> Any:
    """Return the class of a transform, ours or torchvision's, or None."""
    return load_entry(TRANSFORMS[name]) if name in TRANSFORMS else getattr(transforms, name, None)


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
