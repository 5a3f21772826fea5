"""Parameters of transforms that torchvision takes without a word although no image comes of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from numbers import Real
from typing import Any


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
        for each in value:
            yield from _numbers(each)


def _all_within(value: Any, low: float, high: float) -> bool:
    values = value if isinstance(value, (list, tuple)) else [value]
    return bool(values) and all(
        isinstance(each, Real) and not isinstance(each, bool) and low <= float(each) <= high for each in values
    )


def _ascending(value: Any, low: float, high: float) -> bool:
    return (
        isinstance(value, (list, tuple)) and len(value) == 2 and _all_within(value, low, high) and value[0] <= value[1]
    )


def _odd_pixels(value: Any) -> bool:
    values = value if isinstance(value, (list, tuple)) else [value]
    return len(values) in (1, 2) and all(type(each) is int and each > 0 and each % 2 == 1 for each in values)


def is_chain(value: Any) -> bool:
    """Tell whether a value is a mapping, or a list of one-key mappings."""
    if isinstance(value, list):
        return all(isinstance(each, Mapping) and len(each) == 1 for each in value)
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
