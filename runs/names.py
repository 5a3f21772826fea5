"""The canonical names of what a configuration names, and the parameters of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from configuration.schema import CHAINS
from datasets import DATASETS, MIXINGS, OF_EVERY_SET, TRANSFORMS
from losses import LOSSES as OF_LIBRARY
from losses import TORCH_DEFAULTS
from models import OURS, resolve_architecture
from utils.lookup import Table
from utils.signatures import UNKNOWN, Signature, keyword_defaults, read_signature

LOSSES = Table(OF_LIBRARY)
"""The library's losses, and the user's own."""
DERIVED: Any = object()
SCHEDULER_DEFAULTS = {"ReduceLROnPlateau": {"monitor": "valid/loss", "mode": DERIVED}}
"""Defaults that the bench itself gives to a library's parameters; `DERIVED` follows from other settings."""
TIMM_FIRST = ("Muon",)
"""Optimizers that are timm's though torch has one of that name: torch's takes matrices only, no convolutions."""


def canonical_name(key: str, name: str) -> str:
    """Return the one name of what several names stand for, such as an architecture's short name."""
    return resolve_architecture(name) if key == "architecture" else name


def signature_of(key: str, name: str) -> Signature:
    """Return the parameters of what a configuration names under a key; `UNKNOWN` where only an import would tell."""
    ours: dict[str, Mapping[str, tuple[str, str]]] = {
        "dataset": DATASETS,
        "architecture": OURS,
        "loss_function": LOSSES,
        "mixing": MIXINGS,
        **dict.fromkeys(CHAINS, TRANSFORMS),
    }
    entry = ours.get(key, {}).get(canonical_name(key, name))
    if entry is not None:
        signature = read_signature(*entry[0].split(":"))
        common = keyword_defaults(OF_EVERY_SET) if key == "dataset" else {}
        return Signature(signature.names | common.keys(), signature.defaults | common)
    places = {
        "loss_function": ("torch.nn.modules.loss",),
        "optimizer": ("timm.optim", "torch.optim") if name in TIMM_FIRST else ("torch.optim", "timm.optim"),
        "lr_scheduler": ("training.schedules", "torch.optim.lr_scheduler"),
        **dict.fromkeys(CHAINS, ("torchvision.transforms.transforms", "torchvision.transforms.autoaugment")),
    }
    signatures = (read_signature(module, name) for module in places.get(key, ()))
    signature = next((candidate for candidate in signatures if candidate != UNKNOWN), UNKNOWN)
    changed = {"loss_function": TORCH_DEFAULTS, "lr_scheduler": SCHEDULER_DEFAULTS}.get(key, {}).get(name, {})
    defaults = {param: value for param, value in (signature.defaults | changed).items() if value is not DERIVED}
    return Signature(signature.names | changed.keys(), defaults)
