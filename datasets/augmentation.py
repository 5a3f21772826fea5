"""Transforms from their configuration: a mapping of torchvision.transforms names to parameters, in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torchvision import transforms
from torchvision.transforms import InterpolationMode

from utils.lookup import parameter_problems
from utils.types import ConfigError


def build_transforms(chain: Mapping[str, Mapping[str, Any] | None], key: str) -> list[Callable[[Any], Any]]:
    """Build the transforms of a chain.

    Args:
        chain: name -> parameters. A transform of transforms (RandomApply, RandomChoice, RandomOrder) takes a chain as
            its `transforms`.
        key: the configuration's key, for messages.

    Raises: ConfigError naming each parameter that a transform does not take and each transform that cannot be built.
    """
    built, problems = [], []
    for name, given in chain.items():
        params = dict(given or {})
        constructor = getattr(transforms, name)
        unfit = parameter_problems(constructor, params)
        problems += [f"{key}.{name}.{param}: {text}" for param, text in unfit.items()]
        if unfit:
            continue
        try:
            if isinstance(params.get("transforms"), Mapping):
                params["transforms"] = build_transforms(params["transforms"], f"{key}.{name}.transforms")
            if isinstance(params.get("interpolation"), str):
                params["interpolation"] = InterpolationMode(params["interpolation"])
            built.append(constructor(**params))
        except ConfigError as error:
            problems.append(str(error))
        except (TypeError, ValueError) as error:
            problems.append(f"{key}.{name}: {name} refuses its parameters: {error}")
    if problems:
        raise ConfigError("\n".join(problems))
    return built
