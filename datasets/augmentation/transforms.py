"""Transforms from their configuration: names, ours or torchvision.transforms', with parameters, in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from torchvision import transforms
from torchvision.transforms import InterpolationMode

from configuration.chains import steps
from datasets import TRANSFORMS
from datasets.augmentation.transform_parameters import senseless_parameters
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
    for path, name, given in steps(chain):
        params, here = dict(given or {}), ".".join((key, *path))
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
                for place, each in zip(places, params["transforms"], strict=True):
                    if is_late(each):
                        at = ".".join((inner, *place))
                        raise ConfigError(f"{at}: comes after normalisation, so not inside {name}")
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
