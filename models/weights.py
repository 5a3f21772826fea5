"""Weights from a local file, and what to say when pretrained ones cannot be had."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from utils.types import DAMAGED_TENSORS, ConfigError, first_line

LOG = logging.getLogger("lossbench")
_SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors")
_NAMED_AT_MOST = 10


def no_pretrained_weights(architecture: str, reason: object) -> ConfigError:
    """Return the error for weights that cannot be downloaded, which names the way around."""
    text = " ".join(str(reason).split())[:300]
    return ConfigError(
        f"pretrained: cannot get the weights of {architecture}: {text or type(reason).__name__}; "
        "download them elsewhere and give the file as weights_path"
    )


@contextlib.contextmanager
def weights_only_loads() -> Iterator[None]:
    """Make every torch.load of a library's load tensors and nothing else.

    torchvision's downloader asks for the opposite, and checks the hash of a file only when it comes, not when it lies
    in the user's cache already.
    """
    with mock.patch.dict(os.environ, {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}):
        os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)  # torch refuses to have both
        yield


def load_weights(network: nn.Module, weights_path: str | Path) -> bool:
    """Load a local file of weights into a network; return whether the last layer's are among them.

    A last layer of another class count, or none, leaves the network's own fresh and earns a warning. A first layer
    of three channels is summed to one for a grayscale network.

    Args:
        network: in timm's contract.
        weights_path: .pt, .pth or .ckpt (tensors only, nothing is unpickled that could run) or .safetensors. It holds
            a state dict, alone or under "state_dict" or "model"; of keys that start with "network." only those count.

    Raises: ConfigError for a path or file that cannot be used, and for layers that do not fit.
    """
    state = _named_as_in(network, _read(weights_path))
    if (body := getattr(network, "body", None)) is not None and not any(name.startswith("body.") for name in state):
        _load_body(body.network, state, weights_path)
        return False
    own = network.state_dict()
    _sum_colours(network, state, own)
    fresh = _drop_other_head(network, state, own, weights_path)
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in own]
    reshaped = [
        f"{name} {list(state[name].shape)} instead of {list(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    problems = {"missing": missing, "not in the network": unexpected, "of another shape": reshaped}
    if any(problems.values()):
        text = "; ".join(f"{problem}: {_first(names)}" for problem, names in problems.items() if names)
        raise ConfigError(f"weights_path: {weights_path} does not fit the network; {text}")
    network.load_state_dict(state, strict=False)  # only counters of batches can be missing
    LOG.info("loaded %d of %d tensors from %s%s", len(own) - len(fresh), len(own), weights_path, _but_for(fresh))
    return not fresh


def start_of_body(pretrained: bool | str, weights_path: str | Path | None) -> tuple[dict[str, Any], str | Path | None]:
    """Return what a network's body starts from, as its parameters, and the file of weights of the network as a whole.

    A file that holds no network on a body holds the body. Raises: as `load_weights`.
    """
    if weights_path is None:
        return {"pretrained": pretrained}, None
    whole = any(name.removeprefix("network.").startswith("stages.0.net.") for name in _read(weights_path))
    return ({}, weights_path) if whole else ({"weights_path": str(weights_path)}, None)


def _load_body(body: nn.Module, state: Mapping[str, Tensor], weights_path: str | Path) -> None:
    """Load a classifier's weights into a body that was cut from it: its last stages and layer are left out."""
    own = body.state_dict()
    fits = {name: value for name, value in state.items() if name in own and value.shape == own[name].shape}
    if lacking := [name for name in own if name not in fits and not name.endswith("num_batches_tracked")]:
        raise ConfigError(f"weights_path: {weights_path} does not fit the network's body; missing: {_first(lacking)}")
    body.load_state_dict(fits, strict=False)
    LOG.info("loaded the %d tensors of the network's body from %s", len(own), weights_path)


def _first(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED_AT_MOST} more" if len(names) > _NAMED_AT_MOST else ""
    return ", ".join(names[:_NAMED_AT_MOST]) + more


def _read(weights_path: str | Path) -> dict[str, Tensor]:
    if "://" in str(weights_path):
        raise ConfigError(f"weights_path: must be a local file, got {str(weights_path)!r}")
    path = Path(weights_path).expanduser()
    if path.suffix not in _SUFFIXES:
        raise ConfigError(f"weights_path: must end in one of {', '.join(_SUFFIXES)}, got {weights_path}")
    if not path.is_file():
        raise ConfigError(f"weights_path: there is no file {weights_path}")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise ConfigError(f"weights_path: {weights_path} cannot be read: {error}") from None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (*DAMAGED_TENSORS, OSError) as error:
        problem = f"cannot be read as a file of tensors and nothing else: {first_line(error)}"
        raise ConfigError(f"weights_path: {weights_path} {problem}") from None
    return _state_dict(content, weights_path)


def _state_dict(content: Any, weights_path: str | Path) -> dict[str, Tensor]:
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise ConfigError(f"weights_path: {weights_path} holds no state dict (a mapping of names to tensors)")
    return dict(content)


def _named_as_in(network: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate the names of a checkpoint of ours, or of torchvision's own, into the network's."""
    ours = {name.removeprefix("network."): value for name, value in state.items() if name.startswith("network.")}
    native: Any = getattr(network, "native_keys", {})
    return {native.get(name, name): value for name, value in (ours or state).items()}


def _sum_colours(network: nn.Module, state: dict[str, Tensor], own: Mapping[str, Tensor]) -> None:
    first = next((name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)), "")
    name = f"{first}.weight"
    if name not in state or state[name].ndim != 4 or state[name].shape[1] != 3 or own[name].shape[1] != 1:
        return
    state[name] = state[name].sum(1, keepdim=True)


def _drop_other_head(
    network: Any, state: dict[str, Tensor], own: Mapping[str, Tensor], weights_path: str | Path
) -> list[str]:
    """Make the network's own last layer stand in for one of another class count, or for none; return its names."""
    classifier = network.get_classifier()
    prefix = next((name for name, module in network.named_modules() if module is classifier), "")
    names = [f"{prefix}.{name}" for name in classifier.state_dict()]
    shapes = [(list(state[name].shape) if name in state else None, list(own[name].shape)) for name in names]
    same_input = all(theirs is None or theirs[1:] == ours[1:] for theirs, ours in shapes)
    if not names or not same_input or all(theirs == ours for theirs, ours in shapes):
        return []
    theirs, ours = shapes[0]
    warnings.warn(
        f"weights_path: {weights_path} has {f'a last layer {theirs}' if theirs else 'no last layer'}, the network's is "
        f"{ours}: it stays fresh",
        stacklevel=4,
    )
    state |= {name: own[name] for name in names}
    return names


def _but_for(fresh: list[str]) -> str:
    return f"; fresh: {', '.join(fresh)}" if fresh else ""
