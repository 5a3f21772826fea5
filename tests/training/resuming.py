"""Runs that die and go on, for tests that compare them with one that nothing happens to."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from configuration.schema import Configuration
from runs.checkpoints import load_checkpoint
from runs.folder import RunFolder
from training import runner
from training.save_points import SavePoints

Read = Callable[..., Configuration]

SMALL = {"classes": "[0,1,2]", "batch_size": "96", "num_epochs": "3", "dropout": "0.3", "checkpoint_every_steps": "1"}
"""Of `quick`: 5 steps an epoch, the last of them of fewer images; random numbers in every step."""

SETUPS: dict[str, dict[str, str]] = {
    "plain": {},
    "one worker": {"num_workers": "1"},
    "two workers": {"num_workers": "2"},
    "augmented": {
        "augment_images": "true",
        "image_augmentations": "{RandomAffine: {degrees: 10, translate: [0.1, 0.1]}}",
        "augment_tensors": "true",
        "tensor_augmentations": "{RandomErasing: {p: 0.5}}",
    },
    "torchvision": {
        "augment_backend": "torchvision",
        "augment_images": "true",
        "image_augmentations": "{RandomAffine: {degrees: 10}}",
    },
    "plateau": {
        "lr_scheduler": "ReduceLROnPlateau",
        "lr_scheduler_params": "{patience: 0, factor: 0.5, threshold: 0.5}",
    },
    "schedule per epoch": {"lr_scheduler": "StepLR", "lr_scheduler_params": "{step_size: 1, gamma: 0.5}"},
    "schedule per step": {"lr_scheduler": "OneCycleLR", "lr_scheduler_params": "{max_lr: 0.01}"},
    "schedules in turn": {
        "lr_scheduler": "SequentialLR",
        "lr_scheduler_params": "{schedulers: [{CyclicLR: {base_lr: 0.001, max_lr: 0.01, step_size_up: 2, "
        "cycle_momentum: false}}, {OneCycleLR: {max_lr: 0.02}}], milestones: [1]}",
        "accumulate_batches": "2",
    },
    "accumulation": {"accumulate_batches": "2"},
    "clipping": {"gradient_clip_norm": "0.1"},
    "bfloat16": {"precision": "bf16-mixed", "image_size": "32"},  # torch: NaN from convolutions of maps of one pixel
    "early stopping": {"early_stopping_patience": "1", "num_epochs": "4", "optimizer_params.lr": "0.1"},
    "average of weights": {"ema_decay": "0.9"},
    "groups of parameters": {
        "optimizer": "Muon",
        "optimizer_groups": "{biases: {params: '*.bias', optimizer: SGD, optimizer_params: {lr: 0.1, momentum: 0.9}}, "
        "early: {params: ['conv1.*', 'stages.0.*'], epochs: 1}, head: {params: classifier.*, optimizer: AdamW}}",
        "lookahead": "{k: 3}",
    },
    "from images": {"architecture": "airbench", "architecture_params": "{widths: [8, 8]}"},
    "online label smoothing": {"loss_function": "OnlineLabelSmoothingLoss", "loss_params": "{update_every: 3}"},
    "centres": {"loss_function": "CenterLoss"},
    "annealed margin": {"loss_function": "AngularSoftmaxLoss"},
    "disturbed labels": {"loss_function": "DisturbLabelLoss"},
    "self distillation": {"loss_function": "DataDistortionDistillationLoss"},
    "class-balanced": {"loss_function": "TripletLoss"},
    "mixing": {"mixing": "[MixUp, CutMix]"},
    "wrong labels": {"label_noise": "0.3"},
    "repeated images": {"loss_function": "LossTransform", "loss_params": "{repeated_sampling: true}"}
    | {"mixing": "CutMix", "mixing_params": "{probability: 1.0}"},
}
SETUPS["together"] = (
    SETUPS["two workers"]
    | SETUPS["augmented"]
    | SETUPS["plateau"]
    | SETUPS["accumulation"]
    | SETUPS["clipping"]
    | SETUPS["bfloat16"]
    | SETUPS["average of weights"]
    | SETUPS["groups of parameters"]
    | SETUPS["online label smoothing"]
    | SETUPS["mixing"]
)

TIMES = ("seconds", "started", "images_per_second", "waiting_share")
"""What a clock tells is left out of comparisons, in every file: names that contain one of these."""


class Died(Exception):
    """Stands for a run's death where nothing can be cleaned up in time."""


def after_each_save(patch: pytest.MonkeyPatch, then: Callable[[SavePoints], None]) -> None:
    """Call a function whenever a run has been saved."""
    original = SavePoints._save

    def save(self: SavePoints, *args: Any) -> None:
        original(self, *args)
        then(self)

    patch.setattr(SavePoints, "_save", save)


def train_until(config: Configuration, save: int | None = None) -> RunFolder:
    """Train a run that dies after its n-th save, from 1, if it comes to it; return its folder."""
    saved: list[RunFolder] = []

    def die(points: SavePoints) -> None:
        saved.append(points.folder)
        if len(saved) == save:
            raise Died

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Died):
        after_each_save(patch, die)
        return runner.train(config)[0]
    return saved[-1]


def copies_of_all_save_points(read: Read, folder: Path, **changes: str) -> tuple[RunFolder, list[Path]]:
    """Train to the end; return the run's folder and copies of what it was at each save point."""
    copies: list[Path] = []

    def copy(points: SavePoints) -> None:
        copies.append(folder / str(len(copies)) / points.folder.path.name)
        shutil.copytree(points.folder.path, copies[-1])

    with pytest.MonkeyPatch.context() as patch:
        after_each_save(patch, copy)
        return runner.train(read(**changes))[0], copies


def deaths(read: Read, **changes: str) -> Iterator[RunFolder]:
    """Train a run that dies after each save; give its folder after each death, the last time when it is finished."""
    for _ in range(100):
        folder = train_until(read(**changes), save=1)
        yield folder
        if folder.is_finished:
            return
    raise AssertionError("not finished after 100 starts")


def content(folder: RunFolder) -> dict[str, Any]:
    """Return all that a finished run leaves and that another must leave too, flat: name -> value."""
    found: dict[str, Any] = {"predictions": folder.predictions.read_bytes()}
    found |= _flat("last", load_checkpoint(folder.last)) | _flat("best", load_checkpoint(folder.best))
    found |= _flat("summary", folder.read_summary()) | _flat("metrics", dict(enumerate(folder.read_metrics())))
    return {name: value for name, value in found.items() if not any(time in name for time in TIMES)}


def differences(one: RunFolder, other: RunFolder) -> list[str]:
    """Return the names of what differs between two finished runs, to the last bit."""
    first, second = content(one), content(other)
    return [name for name in first | second if not _same(first.get(name), second.get(name))]


def _flat(above: str, value: Any) -> dict[str, Any]:
    if isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {name: leaf for key, inner in items for name, leaf in _flat(f"{above}/{key}", inner).items()}
    return {above: value}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return type(one) is type(other) and one == other
