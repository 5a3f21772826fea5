"""The names that a run is built of, checked without importing torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from datasets import TENSORS_ONLY, TRANSFORMS, check_dataset_name, check_mixing_name
from metrics import MONITORS
from models import check_architecture_name
from runs.names import TIMM_FIRST
from tracking import TRACKERS
from training.losses import check_loss_name
from utils.lookup import class_names, did_you_mean
from utils.own_names import is_own

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
    **dict.fromkeys(
        ("ToTensor", "PILToTensor", "ToPILImage", "ConvertImageDtype"),
        "images are converted between image_augmentations and tensor_augmentations anyway",
    ),
}
OF_OBJECTS = ("RandomIoUCrop", "RandomPhotometricDistort", "RandomZoomOut", "ScaleJitter")
"""Transforms of torchvision's second version alone, for pixels and objects."""
NO_NAMES = {"Optimizer", "OptimInfo", "OptimizerRegistry", "LRScheduler", "AutoAugmentPolicy", "InterpolationMode"}


def optimizers() -> dict[str, str]:
    """Return optimizer -> the library it comes from, torch's first."""
    of_timm = dict.fromkeys(class_names("timm.optim"), "timm.optim")
    names = of_timm | dict.fromkeys(class_names("torch.optim"), "torch.optim")
    names |= {name: of_timm[name] for name in TIMM_FIRST if name in of_timm}
    return _without(names, UNUSABLE_OPTIMIZERS)


def schedulers() -> dict[str, str]:
    """Return learning-rate scheduler -> where it comes from."""
    names = dict.fromkeys(class_names("torch.optim.lr_scheduler"), "torch.optim.lr_scheduler")
    return _without(names, ()) | {"CosineWarmupRestarts": "warm-up, cosine annealing, restarts (SGDR)"}


def transforms() -> dict[str, str]:
    """Return transform of images -> where it comes from."""
    modules = ("torchvision.transforms.transforms", "torchvision.transforms.autoaugment")
    names = {name: "torchvision.transforms" for module in modules for name in class_names(module)}
    names |= dict.fromkeys(OF_OBJECTS, "torchvision.transforms.v2, for tasks other than classification")
    names = _without(names, UNUSABLE_TRANSFORMS)
    return names | {name: entry.summary for name, entry in TRANSFORMS.items() if name not in TENSORS_ONLY}


def tensor_transforms() -> dict[str, str]:
    """Return transform of tensors -> where it comes from."""
    return transforms() | {name: entry.summary for name, entry in TRANSFORMS.items()}


def _without(names: Mapping[str, str], unusable: Iterable[str]) -> dict[str, str]:
    return {name: source for name, source in sorted(names.items()) if name not in unusable and name not in NO_NAMES}


def _check(
    kind: str,
    names: Callable[[], Iterable[str]],
    unusable: Mapping[str, str] | None = None,
    hint: str = "",
    own: bool = True,
) -> Callable[[str], str | None]:
    """Return the function that tells what is wrong with a name of this kind. Args: own: the user's own may be named."""

    def check(name: str) -> str | None:
        known_names = set(names())
        if name in known_names or (own and is_own(name)):
            return None
        if unusable and name in unusable:
            return f"{name} cannot be used: {unusable[name]}"
        return f"unknown {kind} {name!r}{did_you_mean(name, known_names)}{hint or f' (python train.py --list {kind}s)'}"

    return check


NAME_CHECKS: dict[str, Callable[[str], str | None]] = {
    "dataset": check_dataset_name,
    "architecture": check_architecture_name,
    "loss_function": check_loss_name,
    "optimizer": _check("optimizer", optimizers, UNUSABLE_OPTIMIZERS),
    "lr_scheduler": _check("scheduler", schedulers),
    "image_augmentations": _check(
        "transform",
        transforms,
        UNUSABLE_TRANSFORMS | dict.fromkeys(TENSORS_ONLY, "it works on tensors: give it in tensor_augmentations"),
    ),
    "tensor_augmentations": _check("transform", tensor_transforms, UNUSABLE_TRANSFORMS),
    "mixing": check_mixing_name,
    "trackers": _check("tracker", lambda: TRACKERS, own=False),
    "monitor": _check("metric", lambda: MONITORS, hint=f"; one of {', '.join(MONITORS)}", own=False),
    "metrics": lambda name: None if is_own(name) else f"names one of your own, FILE.py:NAME, got {name!r}",
}
"""Configuration key -> what is wrong with a name given there, or None."""
