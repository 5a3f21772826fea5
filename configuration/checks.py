"""Checks of a configuration's values: types and ranges, names, and rules between keys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import msgspec

from configuration.schema import SECRETS, Configuration, Key, Mistake, Normalization
from utils.lookup import did_you_mean, in_words
from utils.secrets import redact
from utils.types import shorten

NameChecks = Mapping[str, Callable[[str], str | None]]
ELSEWHERE = {
    word: key
    for key, words in {
        "optimizer_params.lr": "lr learning_rate",
        "optimizer_params.weight_decay": "weight_decay",
        "optimizer_params.momentum": "momentum",
        "optimizer_params.betas": "betas",
        "optimizer_params.nesterov": "nesterov",
        "num_epochs": "epochs max_epochs n_epochs",
        "loss_function": "loss losses loss_fn criterion loss_name",
        "a loss_function of its own, or loss_params of cross entropy": "label_smoothing",
        "architecture": "model model_name network arch backbone net",
        "batch_size": "bs batch train_batch_size",
        "lr_scheduler": "scheduler sched lr_schedule",
        "optimizer": "opt optim",
        "image_size": "img_size image_shape input_size resolution",
        "data_path": "data_dir data_root root data dataset_path",
        "image_augmentations": "transforms augmentation augmentations train_transforms",
        "mixing": "mixup cutmix",
        "num_workers": "workers n_workers",
        "devices": "gpus n_gpus num_gpus",
        "accelerator": "device",
        "precision": "amp fp16 bf16 mixed_precision",
        "early_stopping_patience": "patience early_stopping",
        "gradient_clip_norm": "grad_clip clip_grad gradient_clip_val max_grad_norm",
        "accumulate_batches": "accumulate_grad_batches grad_accumulation gradient_accumulation_steps",
        "ema_decay": "ema model_ema ema_rate",
        "weights_path": "checkpoint checkpoint_path weights resume",
        "dropout": "drop_rate drop",
        "output_path": "output_dir out_dir save_dir",
        "logging_dir": "log_dir logdir",
        "trackers": "logger loggers",
        "normalization_params_rgb": "mean std",
        "valid_fraction": "val_split valid_split val_fraction validation_split",
        "seed": "random_seed",
        "no key: the data set says how many; classes chooses some of them": "num_classes",
    }.items()
    for word in words.split()
}
"""Other programs' words for a key -> the key here."""


def check_names(key: str, value: Any, check: Callable[[str], str | None]) -> list[Mistake]:
    """Check the names under a key: one, those of a list, and those that head a mapping or mappings of a list."""
    return [Mistake(place, problem) for place, name in _names((key,), value) if (problem := check(name))]


def _names(key: Key, value: Any) -> Iterator[tuple[Key, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        yield from (((*key, name), name) for name in value if isinstance(name, str))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _names((*key, str(place)), inner)


class Rule(NamedTuple):
    """What values that are right alone must be together.

    Args:
        keys: those that it looks at, no others.
        check: finds the mistakes of a configuration.
    """

    keys: tuple[str, ...]
    check: Callable[[Configuration], list[Mistake]]


def _channels(key: str, channels: int) -> Rule:
    def check(config: Configuration) -> list[Mistake]:
        params: Normalization = getattr(config, key)
        return [
            Mistake((key, name), f"must hold {channels} number{'s'[: channels > 1]}, got {numbers}")
            for name, numbers in (("mean", params.mean), ("std", params.std))
            if len(numbers) != channels
        ]

    return Rule((key,), check)


def _needs_validation(config: Configuration) -> list[Mistake]:
    wrong = config.select_on == "valid" and config.valid_fraction == 0
    return [Mistake(("valid_fraction",), "must be > 0 with select_on: valid, got 0")] if wrong else []


def _one_noise(config: Configuration) -> list[Mistake]:
    found = []
    if config.noisy_labels and config.label_noise:
        found.append(Mistake(("noisy_labels",), f"excludes label_noise: {config.label_noise}; give one of the two"))
    if config.noisy_labels and config.classes:
        found.append(Mistake(("noisy_labels",), "excludes classes: the file has a label for every training image"))
    return found


def _epochs_to_keep(config: Configuration) -> list[Mistake]:
    kept = config.keep_epochs if isinstance(config.keep_epochs, list) else []
    beyond = [epoch for epoch in kept if epoch >= config.num_epochs]
    text = f"epochs are counted from 0, the last is {config.num_epochs - 1} (num_epochs), got {beyond}"
    return [Mistake(("keep_epochs",), text)] if beyond else []


def _weights_to_keep(config: Configuration) -> list[Mistake]:
    wrong = config.keep_checkpoints == "none" and config.keep_epochs
    return [Mistake(("keep_epochs",), "keeps weights, keep_checkpoints: none removes them")] if wrong else []


def _one_start(config: Configuration) -> list[Mistake]:
    found = []
    if config.pretrained and config.weights_path:
        found.append(Mistake(("weights_path",), "excludes pretrained; give one of the two"))
    if "://" in (config.weights_path or ""):
        found.append(Mistake(("weights_path",), "must be a local file, not an address: download it first"))
    return found


TOGETHER = (
    _channels("normalization_params_rgb", 3),
    _channels("normalization_params_grayscale", 1),
    Rule(("select_on", "valid_fraction"), _needs_validation),
    Rule(("noisy_labels", "label_noise", "classes"), _one_noise),
    Rule(("pretrained", "weights_path"), _one_start),
    Rule(("keep_epochs", "num_epochs"), _epochs_to_keep),
    Rule(("keep_epochs", "keep_checkpoints"), _weights_to_keep),
)
"""All such rules; a sweep checks each on the values of its keys alone, not on every run."""


def check_types(kind: Any, value: Any, key: Key = ()) -> list[Mistake]:
    """Find all that does not fit a type; a mapping's entries are taken one by one, as msgspec stops at the first."""
    found: list[Mistake] = []
    if isinstance(value, list) and (inner := _item_type(kind)) is not None:
        for position, item in enumerate(value):
            found += check_types(inner, item, (*key, str(position)))
    if isinstance(value, dict):
        entries = _entry_types(kind, value)
        for name, inner in value.items():
            below = (*key, str(name))
            if name in entries:
                found += check_types(entries[name], inner, below)
            else:
                found.append(Mistake(below, f"unknown key{_meant(below, entries)}"))
    if not found:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            got = type(value).__name__ if key[:1] and key[0] in SECRETS else show(value)
            found.append(Mistake(key, f"must be {in_words(kind)}, got {got}{_example(kind, value)}"))
    return found


def _meant(key: Key, entries: Collection[str]) -> str:
    """Return which key an unknown one stands for: another program's word for it, or the nearest name."""
    if len(key) == 1 and key[0] in ELSEWHERE:
        return f"; here it is {ELSEWHERE[key[0]]}"
    return did_you_mean(key[-1], entries)


def _example(kind: Any, value: Any) -> str:
    """Return how a value of the wrong shape may be meant."""
    if get_origin(kind) is list and isinstance(value, (int, float)):
        return f"; write [{value}], or [{value}, {value}, {value}] for three"
    return "; write {} for none" if value is None and get_origin(kind) is dict else ""


def _entry_types(kind: Any, value: dict[Any, Any]) -> dict[Any, Any]:
    """Return the types of the entries that a mapping may have: a struct's own, or one for all that are there."""
    arms = get_args(kind) if get_origin(kind) is not dict else ()
    kind = next((arm for arm in arms if hasattr(arm, "__struct_fields__") or get_origin(arm) is dict), kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {name: hint for name, hint in kind.__annotations__.items() if name[0] != "_"}
    return dict.fromkeys(value, get_args(kind)[1] if get_origin(kind) is dict else Any)


def _item_type(kind: Any) -> Any:
    """Return the type of the items of a list that holds mappings, None of any other type."""
    kind = next((arm for arm in get_args(kind) if get_origin(arm) is list), None)
    inner = get_args(kind)[0] if kind is not None else None
    return inner if get_origin(inner) is Annotated and get_origin(get_args(inner)[0]) is dict else None


def show(value: Any) -> str:
    if value is None:
        return "nothing"
    return shorten(redact(repr(value)), 80)
