"""An image goes through the augmentations and its scores through the loss: some parameters fail only then."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from configuration.chains import steps
from configuration.schema import Configuration
from datasets.augmentation.transforms import transform_class
from datasets.data_module import DataModule
from datasets.readers.files import some
from datasets.sequences import example_targets, label_in_words, targets
from losses.base import ClassificationLoss
from models.classifier import Classifier
from training.out_of_memory import is_out_of_memory
from utils.lookup import REFUSALS_OF_LIBRARIES, refusals, source_place
from utils.types import ConfigError, DataError, Outputs, first_line

AUGMENTATIONS_TRIED = 8


def try_out(config: Configuration, data: DataModule, classifier: Classifier) -> Outputs:
    """Return what the network gives for two images.

    Raises: ConfigError naming the parameters that fail, or a loss that judges other classes than the data's.
    """
    try:
        image = data.train_stream[(0, 0)].image
        for epoch in range(1, AUGMENTATIONS_TRIED):  # a transform may act on some of them only
            image = data.train_stream[(epoch, 0)].image
    except (*REFUSALS_OF_LIBRARIES, MemoryError) as error:
        raise ConfigError(_blamed(config, data, error)) from None
    if image.shape[1] != config.in_channels:
        key = "image_augmentations" if config.augment_images else "tensor_augmentations"
        text = f"give images of {image.shape[1]} channels, convert_to_grayscale makes it {config.in_channels}"
        raise ConfigError(f"{key}: {text}")
    loss, num_classes = classifier.loss, len(data.data.classes)
    try:
        with torch.no_grad():
            outputs = classifier.eval()(torch.zeros(2, config.in_channels, *data.image_size))
    except RuntimeError as error:
        raise (ConfigError(_too_large(data, error)) if is_out_of_memory(error) else error) from None
    classifier.train()
    scores = outputs.scores.requires_grad_()
    judged = loss.log_probabilities(scores).shape[-1] - loss.num_blanks
    if judged != num_classes:  # a prediction beyond the classes would be counted outside of the tally
        text = f"{config.architecture} with {config.loss_function} judges {judged} classes, the data has {num_classes}"
        raise ConfigError(f"architecture: {text}")
    target: Any = example_targets(data.data.train, num_classes)
    targets_tried = [target]
    if config.mixing is not None:
        targets_tried.append(torch.nn.functional.one_hot(target, num_classes).float())
    for each in targets_tried:
        value = loss(scores, each)
        if value.ndim:
            text = f"forward must return one number, the mean over the batch, got the shape {list(value.shape)}"
            raise ConfigError(f"loss_function: {source_place(type(loss))}: {config.loss_function}: {text}")
        value.backward()
    loss.predict(scores)
    _refuse_impossible(config, data, loss, scores[0])
    return outputs


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
    """Return a message that names the transform that fails by itself, or else the whole chain.

    Raises: the error itself if torchvision can do the chain, so that it is not the parameters that are wrong.
    """
    chains = {
        "image_augmentations": config.image_augmentations if config.augment_images else {},
        "tensor_augmentations": config.tensor_augmentations if config.augment_tensors else {},
    }
    if is_out_of_memory(error):
        return _too_large(data, error)
    alone = [
        (".".join((key, *path)), name, {key: {name: params}})
        for key, chain in chains.items()
        for path, name, params in steps(chain)
    ]
    whole = [(next(filter(chains.get, chains)), None, chains)] if alone else []
    for place, name, tried in alone + whole:
        refused = refusals(transform_class(name)) if name else REFUSALS_OF_LIBRARIES
        try:
            stream = data.augmented_stream(**tried, backend="torchvision")
            for epoch in range(AUGMENTATIONS_TRIED):
                stream[(epoch, 0)]
        except refused as failure:
            return f"{place}: a training image cannot be augmented so: {first_line(failure)}"
    raise error


def _too_large(data: DataModule, error: Exception) -> str:
    height, width = data.image_size
    return f"image_size: images of {height} x {width} px do not fit into memory: {first_line(error)}"
