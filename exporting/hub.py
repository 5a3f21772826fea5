"""Targets `weights` and `hub`: a network's weights in safetensors, with what timm and a hub's readers need."""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from exporting.checking import CheckFailed
from exporting.model_card import card
from exporting.onnx_model import quiet
from exporting.source import Source, as_json
from models import ARCHITECTURES, resolve_architecture
from utils.types import TrainingError

FILE = "model.safetensors"
HEAD = "head."
"""Before the names of a last layer that is the loss's own and does not fit the architecture's."""
STRUCTURE = ("pool_size", "first_conv", "classifier", "fixed_input_size")
"""What timm's configurations say of a network itself; the rest tells of its published weights, which these are not."""


def weights(source: Source, folder: Path) -> list[str]:
    """Write the network's weights by its own names. Raises: CheckFailed."""
    return [f"{FILE}  {_write_weights(source, folder) / 1e6:.1f} MB"]


def hub(source: Source, folder: Path) -> list[str]:
    """Write weights, configuration and card; timm loads a network of its own, to compare. Raises: CheckFailed."""
    size = _write_weights(source, folder)
    name = timm_name(source)
    folder.joinpath("config.json").write_text(as_json(configuration(source, name)), encoding="utf-8")
    if name is not None:
        _check_by_timm(source, folder)
    folder.joinpath("README.md").write_text(card(source, name), encoding="utf-8")
    loader = "timm loads it, with identical scores" if name else "loaded by Lossbench's weights_path"
    return [f"{FILE}  {size / 1e6:.1f} MB; {loader}"]


def whole_network(source: Source) -> nn.Module | None:
    """Return the network with the layer that gives the scores in the place of its own; None if that has no place."""
    classifier = source.subject.classifier
    network = copy.deepcopy(classifier.network).to(memory_format=torch.contiguous_format)
    if classifier.own_head is None:
        return network
    state = classifier.own_head.state_dict()
    network.reset_classifier(source.sample.answers.scores.shape[-1])
    place = network.get_classifier()
    fits = {name: value.shape for name, value in place.state_dict().items()} == {
        name: value.shape for name, value in state.items()
    }
    if type(place) is not type(classifier.own_head) or not fits:
        return None
    place.load_state_dict(state)
    return network.eval()


def timm_name(source: Source) -> str | None:
    """Return timm's name of the architecture; None for networks of other sources and those with another last layer."""
    name = resolve_architecture(source.subject.config.architecture)
    if name in ARCHITECTURES or name.startswith("torchvision/") or whole_network(source) is None:
        return None
    return name.partition(".")[0]


def _write_weights(source: Source, folder: Path) -> int:
    """Write the weights and read them back. Returns: bytes."""
    from safetensors.torch import load_file, save_file

    network = whole_network(source)
    classifier: Any = source.subject.classifier
    if network is not None:
        state = network.state_dict()
    else:
        state = dict(classifier.network.state_dict())
        state |= {HEAD + name: value for name, value in classifier.own_head.state_dict().items()}
    state = {name: value.detach().contiguous().clone() for name, value in state.items()}
    save_file(state, folder / FILE, metadata={"format": "pt"})
    back = load_file(folder / FILE)
    if back.keys() != state.keys() or not all(torch.equal(back[name], value) for name, value in state.items()):
        raise CheckFailed(f"{FILE}: is not what was written")
    return folder.joinpath(FILE).stat().st_size


def configuration(source: Source, timm_architecture: str | None) -> dict[str, Any]:
    """Return config.json: timm's form, without the provenance of the weights that timm itself publishes."""
    config, about = source.subject.config, source.about
    preprocessing = source.sample.preprocessing
    size = (preprocessing.channels, *source.sample.pixels.shape[2:])
    network: Any = source.subject.classifier.network
    structure = getattr(network, "pretrained_cfg", None) or {}
    extra = {} if config.dropout is None or "dropout" in network.not_applied else {"drop_rate": config.dropout}
    pretrained = {
        "input_size": size,
        "mean": preprocessing.mean or (0.0,) * size[0],
        "std": preprocessing.std or (1.0,) * size[0],
        "interpolation": "bilinear",
        "crop_pct": 1.0,
        "crop_mode": "squash",
        "num_classes": len(source.classes),
        "license": source.request.license,
        **{key: structure[key] for key in STRUCTURE if key in structure},
    }
    return {
        "architecture": timm_architecture or about["architecture"],
        "num_classes": len(source.classes),
        "num_features": getattr(network, "num_features", None),
        "model_args": config.architecture_params | extra | {"in_chans": size[0], "num_classes": len(source.classes)},
        "label_names": list(source.classes),
        "pretrained_cfg": pretrained,
        "lossbench": about,
    }


def _check_by_timm(source: Source, folder: Path) -> None:
    import timm

    with torch.inference_mode(), quiet():
        network = timm.create_model(f"local-dir:{folder.resolve()}", pretrained=True).eval()
        pixels = torch.from_numpy(source.sample.pixels[:64])
        numbers = source.sample.preprocessing.to_numbers(pixels)
        theirs = network(numbers).float().numpy()
        ours = source.deployed(pixels)[0].numpy()
    if not np.array_equal(theirs, ours):
        raise CheckFailed(f"hub: timm's scores differ from the run's by {np.abs(theirs - ours).max():.2g}")


def push(folder: Path, repository: str) -> str:
    """Upload a folder. Raises: TrainingError with the reason; the folder stays."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    unreachable: Any = (OSError, *HfHubHTTPError.__bases__)  # those of the client that it uses, whichever that is
    api = huggingface_hub.HfApi()
    try:
        with contextlib.redirect_stderr(None):
            url = api.create_repo(repository, exist_ok=True)
            api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload a model of Lossbench")
    except unreachable as error:  # no connection, no token, not allowed
        reason = " ".join(str(error).split())[:300]
        raise TrainingError(f"--push {repository}: {reason}; the folder is complete: {folder}") from None
    return f"uploaded to {url}"
