"""Warnings about settings that will have no effect on a run."""

from __future__ import annotations

import logging

from configuration.schema import Configuration

LOG = logging.getLogger("lossbench")


def warn_without_effect(config: Configuration, has_boxes: bool) -> None:
    """Warn about each. Args: has_boxes: whether the data has."""
    useless = {
        "crop_to_bboxes": config.crop_to_bboxes and not has_boxes and f"dataset: {config.dataset} has no boxes",
        "erase_background": config.erase_background and not config.crop_to_bboxes and "crop_to_bboxes is false",
        "optimizer_params.lr": _other_rate(config),
        "layer_decay": config.layer_decay not in (None, 1) and _rate_of_all(config),
        "lr_scheduler_params": config.lr_scheduler_params and not config.lr_scheduler and "lr_scheduler is not set",
        "data_params.imbalance_kind": "imbalance_kind" in config.data_params
        and config.data_params.get("imbalance", 1) == 1
        and "imbalance is not above 1",
        "noisy_labels_name": config.noisy_labels_name and not config.noisy_labels and "noisy_labels is not set",
        "mixing_params": config.mixing_params and not config.mixing and "mixing is not set",
        "image_augmentations": config.augment_images and not config.image_augmentations and "it is empty",
        "tensor_augmentations": config.augment_tensors and not config.tensor_augmentations and "it is empty",
    }
    for key, reason in useless.items():
        if reason:
            LOG.warning("%s: %s has no effect: %s", config.place(tuple(key.split("."))), key, reason)


def _rate_of_all(config: Configuration) -> str | None:
    """Return which parameter gives every layer one learning rate, if one does."""
    key = {"OneCycleLR": "max_lr", "CyclicLR": "base_lr"}.get(config.lr_scheduler or "")
    if key is None or key not in config.lr_scheduler_params:
        return None
    hint = "; leave max_lr out" if key == "max_lr" else ""
    return f"{config.lr_scheduler} sets the learning rate of every layer, by lr_scheduler_params.{key}{hint}"


def _other_rate(config: Configuration) -> str | None:
    """Return which parameter is the learning rate instead of the optimizer's, if that is another and was set."""
    key = {"OneCycleLR": "max_lr", "CyclicLR": "base_lr"}.get(config.lr_scheduler or "")
    rate, other = config.optimizer_params.get("lr"), config.lr_scheduler_params.get(key or "")
    if None in (key, rate, other) or rate == other or not config.was_set("optimizer_params"):
        return None
    return f"{config.lr_scheduler} sets the learning rate, by lr_scheduler_params.{key} ({other})"
