"""Every name that a configuration may use, told without importing torch."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from datasets import DATASETS, MIXINGS, TRANSFORMS, check_dataset_name, check_mixing_name
from losses import LOSSES, TORCH_DEFAULTS, TORCH_LOSSES, check_loss_name
from models import ALIASES, ARCHITECTURES, check_architecture_name, resolve_architecture
from models.sizes import CLASSES, Size, read_sizes, short_number
from utils.evaluation import EVALUATIONS, check_evaluation_name
from utils.lookup import Entry, class_names, did_you_mean, timm_architectures, torchvision_architectures
from utils.metrics import ALL_METRICS, MONITORS
from utils.signatures import UNKNOWN, Signature, read_signature
from utils.trackers import TRACKERS
from utils.types import ConfigError

UNUSABLE_OPTIMIZERS = {
    "Adahessian": "it needs second derivatives",
    "Lookahead": "it wraps another optimizer",
    "SparseAdam": "it takes sparse gradients only",
}
UNUSABLE_TRANSFORMS = {
    "Compose": "list the transforms one below the other instead",
    "Lambda": "it needs code",
    "FiveCrop": "it gives several images",
    "TenCrop": "it gives several images",
    "LinearTransformation": "it needs matrices",
    "Normalize": "normalize and normalization_params_rgb do it",
    "ToTensor": "images are converted between image_augmentations and tensor_augmentations anyway",
    "PILToTensor": "images are converted between image_augmentations and tensor_augmentations anyway",
    "ToPILImage": "images are converted between image_augmentations and tensor_augmentations anyway",
    "ConvertImageDtype": "images are converted between image_augmentations and tensor_augmentations anyway",
}
TENSORS_ONLY = dict.fromkeys(TRANSFORMS, "it works on tensors: give it in tensor_augmentations")
DERIVED: Any = object()
SCHEDULER_DEFAULTS = {"ReduceLROnPlateau": {"monitor": "valid/loss", "mode": DERIVED}}
"""Defaults that the bench itself gives to a library's parameters; `DERIVED` follows from other settings."""
NO_NAMES = {"Optimizer", "OptimInfo", "OptimizerRegistry", "LRScheduler", "AutoAugmentPolicy", "InterpolationMode"}


def optimizers() -> dict[str, str]:
    """Return optimizer -> the library it comes from, torch's first."""
    found = dict.fromkeys(class_names("timm.optim"), "timm.optim")
    found |= dict.fromkeys(class_names("torch.optim"), "torch.optim")
    return _without(found, UNUSABLE_OPTIMIZERS)


def schedulers() -> dict[str, str]:
    """Return learning-rate scheduler -> where it comes from."""
    found = dict.fromkeys(class_names("torch.optim.lr_scheduler"), "torch.optim.lr_scheduler")
    return _without(found, ()) | {"CosineWarmupRestarts": "warm-up, cosine annealing, restarts (SGDR)"}


def transforms() -> dict[str, str]:
    """Return torchvision's transform -> where it comes from."""
    modules = ("torchvision.transforms.transforms", "torchvision.transforms.autoaugment")
    found = {name: "torchvision.transforms" for module in modules for name in class_names(module)}
    return _without(found, UNUSABLE_TRANSFORMS)


def tensor_transforms() -> dict[str, str]:
    """Return transform of tensors -> where it comes from; ours work on nothing else."""
    return transforms() | {name: entry.summary for name, entry in TRANSFORMS.items()}


def _without(found: Mapping[str, str], unusable: Iterable[str]) -> dict[str, str]:
    return {name: source for name, source in sorted(found.items()) if name not in unusable and name not in NO_NAMES}


def _check(
    kind: str, names: Callable[[], Iterable[str]], unusable: Mapping[str, str] | None = None
) -> Callable[[str], str | None]:
    """Return the function that tells what is wrong with a name of this kind."""

    def check(name: str) -> str | None:
        known = set(names())
        if name in known:
            return None
        if unusable and name in unusable:
            return f"{name} cannot be used: {unusable[name]}"
        return f"unknown {kind} {name!r}{did_you_mean(name, known)} (python train.py --list {kind}s)"

    return check


def _check_monitor(name: str) -> str | None:
    if name in MONITORS:
        return None
    return f"unknown metric {name!r}{did_you_mean(name, MONITORS)}; one of {', '.join(MONITORS)}"


NAME_CHECKS: dict[str, Callable[[str], str | None]] = {
    "dataset": check_dataset_name,
    "architecture": check_architecture_name,
    "loss_function": check_loss_name,
    "optimizer": _check("optimizer", optimizers, UNUSABLE_OPTIMIZERS),
    "lr_scheduler": _check("scheduler", schedulers),
    "image_augmentations": _check("transform", transforms, UNUSABLE_TRANSFORMS | TENSORS_ONLY),
    "tensor_augmentations": _check("transform", tensor_transforms, UNUSABLE_TRANSFORMS),
    "mixing": check_mixing_name,
    "trackers": _check("tracker", lambda: TRACKERS),
    "monitor": _check_monitor,
    "evaluate": check_evaluation_name,
    "evaluate_params": check_evaluation_name,
}
"""Configuration key -> what is wrong with a name given there, or None."""


SCHEDULERS_FILE = "utils.training.schedules"
"""Schedulers of our own."""


def canonical_name(key: str, name: str) -> str:
    """Return the one name of what several names stand for, such as an architecture's short name."""
    return resolve_architecture(name) if key == "architecture" else name


def names_of(key: str, name: str) -> list[str]:
    """Return all names of what a name stands for, the canonical one first."""
    canonical = canonical_name(key, name)
    others = ALIASES if key == "architecture" else ()
    return [canonical, *(other for other in others if canonical_name(key, other) == canonical)]


def signature_of(key: str, name: str) -> Signature:
    """Return the parameters of what a configuration names under a key; `UNKNOWN` where only an import would tell."""
    ours = {
        "dataset": DATASETS,
        "architecture": ARCHITECTURES,
        "loss_function": LOSSES,
        "mixing": MIXINGS,
        "image_augmentations": TRANSFORMS,
        "tensor_augmentations": TRANSFORMS,
    }
    entry: Entry | None = ours.get(key, {}).get(canonical_name(key, name))
    if entry is not None:
        return read_signature(*entry.location.split(":"))
    places = {
        "loss_function": ("torch.nn.modules.loss",),
        "optimizer": ("torch.optim", "timm.optim"),
        "lr_scheduler": (SCHEDULERS_FILE, "torch.optim.lr_scheduler"),
        "image_augmentations": ("torchvision.transforms.transforms", "torchvision.transforms.autoaugment"),
        "tensor_augmentations": ("torchvision.transforms.transforms", "torchvision.transforms.autoaugment"),
    }
    found = (read_signature(module, name) for module in places.get(key, ()))
    signature = next((each for each in found if each != UNKNOWN), UNKNOWN)
    changed = {"loss_function": TORCH_DEFAULTS, "lr_scheduler": SCHEDULER_DEFAULTS}.get(key, {}).get(name, {})
    defaults = {param: value for param, value in (signature.defaults | changed).items() if value is not DERIVED}
    return Signature(signature.names | changed.keys(), defaults)


def _architectures() -> dict[str, dict[str, str]]:
    """Return, section by section, architecture -> where it comes from."""
    return {
        "ours": {name: entry.summary for name, entry in ARCHITECTURES.items()},
        "the thesis's short names": {name: f"short for {target}" for name, target in ALIASES.items()},
        "torchvision": dict.fromkeys(torchvision_architectures(), "torchvision"),
        "timm": dict.fromkeys(timm_architectures(), "timm"),
    }


def _architecture_table() -> str:
    sizes = read_sizes()
    parts = [f"Trainable parameters at {CLASSES} classes, multiply-adds for one colour image of the size shown (px)."]
    for heading, rows in _architectures().items():
        width = max(map(len, [heading, *rows]))
        lines = [f"{heading + ':':<{width + 2}}  parameters  multiply-adds    image"]
        for name, source in rows.items():
            lines.append(f"  {name:<{width}}  {_costs(sizes.get(resolve_architecture(name)), source)}")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _costs(size: Size | None, source: str) -> str:
    """Return three cells, blank for a network that was not counted, and the source; or why it is not supported."""
    if size is None:
        return f"{'':10}  {'':13}  {'':7}  {source}"
    if size.problem:
        return f"not supported: {size.problem.partition(',')[0]}"  # the clause that leaves it within a line
    return (
        f"{short_number(size.parameters):>10}  {short_number(size.multiply_adds):>13}  {size.image_size:>7}  {source}"
    )


LISTS: dict[str, Callable[[], dict[str, str]]] = {
    "losses": lambda: (
        {name: entry.summary for name, entry in LOSSES.items()}
        | {name: f"torch.nn: {summary}" for name, summary in TORCH_LOSSES.items()}
    ),
    "datasets": lambda: {name: entry.summary for name, entry in DATASETS.items()},
    "architectures": lambda: functools.reduce(operator.or_, _architectures().values()),
    "optimizers": optimizers,
    "schedulers": schedulers,
    "transforms": tensor_transforms,
    "mixing": lambda: {name: entry.summary for name, entry in MIXINGS.items()},
    "metrics": lambda: {name: entry.summary for name, entry in ALL_METRICS.items()},
    "trackers": lambda: {name: entry.summary for name, entry in TRACKERS.items()},
    "evaluations": lambda: {name: entry.summary for name, entry in EVALUATIONS.items()},
}


def list_names(table: str) -> str:
    """Return one line for each name of a table, or of all tables but timm's and torchvision's long ones for "all".

    Architectures come in sections, with what they cost.

    Raises: ConfigError for an unknown table.
    """
    if table == "all":
        parts = []
        for name in LISTS:
            rows = LISTS[name]()
            if name == "architectures":
                shown = {key: text for key, text in rows.items() if key in ARCHITECTURES or key in ALIASES}
                hidden = len(rows) - len(shown)
                rows = shown | {f"and {hidden} of torchvision and timm": "python train.py --list architectures"}
            parts.append(f"{name}:\n{_table(rows)}")
        return "\n\n".join(parts)
    if table == "architectures":
        return _architecture_table()
    if table not in LISTS:
        raise ConfigError(f"--list {table}: unknown table{did_you_mean(table, LISTS)}; one of {', '.join(LISTS)}")
    return _table(LISTS[table]())


def _table(rows: Mapping[str, str]) -> str:
    width = min(max(map(len, rows), default=0), 40)
    return "\n".join(f"  {name:<{width}}  {text}".rstrip() for name, text in rows.items())
