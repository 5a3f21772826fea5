"""An image goes through the augmentations and its scores through the loss: some parameters fail only then."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from datasets.data_module import DataModule
from datasets.files import some
from datasets.sequences import example_targets, label_in_words, targets
from losses.base import ClassificationLoss
from models.classifier import Classifier
from utils.configuration.chains import steps
from utils.configuration.schema import Configuration
from utils.training.out_of_memory import is_out_of_memory
from utils.types import FAILURES, ConfigError, DataError, first_line

AUGMENTATIONS_TRIED = 8


def try_out(config: Configuration, data: DataModule, classifier: Classifier) -> None:
    """Raises: ConfigError naming the parameters that fail, or a loss that judges other classes than the data's."""
    try:
        image = data.train_stream[(0, 0)].image
        for epoch in range(1, AUGMENTATIONS_TRIED):  # a transform may act on some of them only
            image = data.train_stream[(epoch, 0)].image
    except (*FAILURES, MemoryError) as error:
        raise ConfigError(_blamed(config, data, error)) from None
    if image.shape[1] != config.in_channels:
        key = "image_augmentations" if config.augment_images else "tensor_augmentations"
        text = f"give images of {image.shape[1]} channels, convert_to_grayscale makes it {config.in_channels}"
        raise ConfigError(f"{key}: {text}")
    loss, num_classes = classifier.loss, len(data.data.classes)
    try:
        with torch.no_grad():
            scores = classifier.eval()(torch.zeros(2, config.in_channels, *data.image_size)).scores
    except RuntimeError as error:
        raise (ConfigError(_too_large(data, error)) if is_out_of_memory(error) else error) from None
    classifier.train()
    try:
        scores.requires_grad_()
        # here on the CPU a label beyond the scores is an error with words
        target: Any = example_targets(data.data.train, num_classes)
        loss(scores, target).backward()
        if config.mixing is not None:
            loss(scores, torch.nn.functional.one_hot(target, num_classes).float()).backward()
        loss.predict(scores)
        judged = loss.log_probabilities(scores).shape[-1] - loss.num_blanks
    except FAILURES as error:
        raise ConfigError(
            f"loss_params: {config.loss_function} fails on scores of {num_classes} classes: {error}"
        ) from None
    if judged != num_classes:  # a prediction beyond the classes would be counted outside of the tally
        text = f"{config.architecture} with {config.loss_function} judges {judged} classes, the data has {num_classes}"
        raise ConfigError(f"architecture: {text}")
    _refuse_impossible(config, data, loss, scores[0])


def _refuse_impossible(config: Configuration, data: DataModule, loss: ClassificationLoss, scores: Tensor) -> None:
    """Raises: ConfigError naming the samples whose loss would be infinite, such as texts longer than their steps, and
    with them the images that do not decode, which would be told next."""
    problems = []
    for table in (data.train_table, data.data.test):
        found = loss.impossible(scores, targets(table, np.arange(len(table))))
        words = ((row, label_in_words(table, row, data.data.classes)) for row in found)
        problems += [f"{table.name(row)}: {text!r} {found[row]}" for row, text in words]
    if problems:
        height, width = data.image_size
        told = f"{config.architecture} on images of {height} x {width} px cannot read {len(problems):,} labels"
        told = f"image_size: {told}: {some(problems)}"
        try:
            data.check()
        except DataError as error:
            told += f"\n{error}"
        raise ConfigError(told)


def _blamed(config: Configuration, data: DataModule, error: Exception) -> str:
    """Return a message that names the transform that fails by itself, or else the whole chain."""
    chains = {
        "image_augmentations": config.image_augmentations if config.augment_images else {},
        "tensor_augmentations": config.tensor_augmentations if config.augment_tensors else {},
    }
    if is_out_of_memory(error):
        return _too_large(data, error)
    if not any(chains.values()):
        raise error
    for key, chain in chains.items():
        for path, name, params in steps(chain):
            try:
                alone = data.augmented_stream(**{key: {name: params}})
                for epoch in range(AUGMENTATIONS_TRIED):
                    alone[(epoch, 0)]
            except FAILURES as failure:
                return f"{'.'.join((key, *path))}: a training image cannot be augmented so: {first_line(failure)}"
    key = next(key for key, chain in chains.items() if chain)
    return f"{key}: a training image cannot be augmented so: {first_line(error)}"


def _too_large(data: DataModule, error: Exception) -> str:
    height, width = data.image_size
    return f"image_size: images of {height} x {width} px do not fit into memory: {first_line(error)}"
