"""Everything that a run needs, built from its configuration and checked; nothing is trained."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from msgspec import structs
from torch import nn

from configuration.reading import read_configuration
from configuration.schema import Configuration
from datasets import DATA_KEYS, DATASETS, judged_kind, load_data_set, other_kind, other_network
from datasets.audit import audit
from datasets.base import DataSet
from datasets.data_module import DataModule, common_size
from losses.contract import Outputs, Task
from metrics import metric_entries
from models import MODULES
from models.classifier import Classifier
from models.flops import count_multiply_adds, count_parameters
from models.scorer import Scorer
from training.checks import NOTHING, Sequel, build_schedule, check_parameters, check_schedule, warn_about_weights
from training.freezing import build_run_optimizer, freeze, name_problems, problems_before_building
from training.further_metrics import further_metrics
from training.idle_settings import warn_without_effect
from training.losses import build_for_network, build_loss, build_run_loss, refusals_placed
from training.names import NAME_CHECKS
from training.networks import build_network, count_of_an_image, with_own_normalization
from training.rehearsal import try_out
from utils.lookup import Entry, keywords, load_entry
from utils.own_names import short_name
from utils.seeding import derive_seed, seed_all
from utils.types import ConfigError, first_line

LOG = logging.getLogger("lossbench")

UNIVERSAL_KEYS = ("stanford_data_path", "classes")
"""Keys that a data set's function need not take to have an effect, or whose presence does no harm."""


@dataclasses.dataclass(frozen=True)
class Preparation:
    """A run that is ready to train.

    Args:
        num_parameters: trainable, loss included. multiply_adds: of one image.
        not_applied: settings given to an architecture that cannot take them.
        task: what the loss was built with. example: what the network gives for two images.
    """

    config: Configuration
    data: DataModule
    classifier: Classifier
    num_parameters: int
    multiply_adds: int
    not_applied: tuple[str, ...]
    task: Task
    example: Outputs


def prepare(config: Configuration, sequel: Sequel = NOTHING) -> Preparation:
    """Check the parameters of everything named, then build it.

    Args: sequel: what follows training; only checked here.
    Raises: ConfigError or DataError naming every mistake.
    """
    if config.sweep is not None:
        raise config.error({("sweep",): "describes several runs, this trains one; `python train.py FILE` runs them"})
    try:
        check_parameters(config, sequel.checks)
    except ConfigError as error:
        more = config.located(ConfigError("\n".join(problems_before_building(config))))
        raise ConfigError("\n".join(filter(None, [str(error), str(more)]))) from None
    if config.batch_size < 2 * num_devices(config):
        key = "devices" if config.was_set("devices") else "batch_size"
        text = f"each of {num_devices(config)} devices needs 2 images a step, batch_size is {config.batch_size}"
        raise config.error({(key,): text})
    warn_about_weights(resolved := with_own_normalization(config))
    with _located(config):
        taken = keywords(load_entry(DATASETS[config.dataset]))
        for key in DATA_KEYS:
            if key not in taken and config.was_set(key) and key not in UNIVERSAL_KEYS:
                LOG.warning("%s: %s has no effect on dataset: %s", config.place((key,)), key, config.dataset)
        data_set = load_data_set(config)
    _refuse_metrics_without_sense(config, data_set)
    sequel.refuse(config, data_set.kind)
    data_set = dataclasses.replace(data_set, notes=(*data_set.notes, *audit(data_set)))
    warn_without_effect(config, has_boxes=data_set.train.boxes is not None)
    for note in data_set.notes:
        LOG.warning("%s: %s", config.dataset, note)
    with _located(config):
        return _build(config, resolved, data_set)


def _build(config: Configuration, resolved: Configuration, data_set: DataSet) -> Preparation:
    """Build a run from its data. Args: resolved: the configuration with its `normalize` resolved."""
    seed_all(derive_seed(config.seed, "network"))
    network = build_network(config, len(data_set.classes))
    kind = getattr(network, "kind", "image")  # the libraries' networks classify images
    if kind != data_set.kind:
        raise ConfigError(f"architecture: {other_network(config, kind, data_set.kind)}")
    for key in network.not_applied:
        LOG.warning("%s: %s has no effect on %s", config.place((key,)), key, config.architecture)
    size = common_size(config, data_set)
    multiply_adds = count_of_an_image(config, network, size)

    data, steps = _build_data(config, resolved, data_set, size, network)
    seed_all(derive_seed(config.seed, "loss"))
    task = Task(
        len(data_set.classes),
        len(data_set.train) if data_set.kind in ("image", "sequence") else 0,  # whose rows have no numbers of their own
        network.get_classifier(),
        functools.partial(_stage_channels, network, (1, config.in_channels, *size)),
        functools.partial(_load_teacher, config, len(data_set.classes)),
        data_set.ordered,
        network.trained_classifier,
        data.class_counts,
        config.num_epochs,
        steps,
    )
    loss = build_run_loss(config, task, data_set.classes, network)

    _start_from_images(config, network, data)
    with refusals_placed():
        classifier: Classifier = load_entry(MODULES[kind])(
            network,
            loss,
            task,
            functools.partial(build_run_optimizer, config, network),
            functools.partial(build_schedule, config),
            channels_last=config.channels_last,
        )
    classifier.judge_tally.further = further_metrics(config)
    if problems := name_problems(config, classifier.named_weights()):
        raise ConfigError("\n".join(problems))
    freeze(classifier, config)
    build_run_optimizer(config, network, classifier.named_weights())  # refuses groups that leave epochs without any
    if loss.start is not None and classifier.own_head is None and task.trained_classifier:
        place = config.place(("loss_params", "start"))
        LOG.warning("%s: start has no effect: the last layer came with weights, its scores start where they are", place)
    if classifier.own_head is not None:
        multiply_adds = count_multiply_adds(Scorer(network, classifier.own_head), size, config.in_channels)
    example = try_out(config, data, classifier)
    if (unknown := data.train_stream.not_fused) is not None:
        place = config.place(("image_augmentations" if config.augment_images else "tensor_augmentations",))
        LOG.warning("%s: augment_backend: fused cannot do %s; torchvision does the chain one by one", place, unknown)
    parameters = count_parameters(classifier)
    return Preparation(config, data, classifier, parameters, multiply_adds, network.not_applied, task, example)


def _build_data(
    config: Configuration, resolved: Configuration, data_set: DataSet, size: tuple[int, int], network: Any
) -> tuple[DataModule, int]:
    """Build what a run is fed, as its loss and its network ask for it; return it and the steps of an epoch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the run's own is built with a task
        loss = build_for_network(config, None, network)
    if loss.kind != judged_kind(data_set.kind):
        raise ConfigError(f"loss_function: {other_kind(config, loss.kind, data_set.kind)}")
    corruption = "noisy_labels" if config.noisy_labels else "label_noise" if config.label_noise else None
    if corruption and data_set.kind != "image":
        raise ConfigError(f"{corruption}: replaces classes, {config.dataset} holds {data_set.kind}s")
    if config.mixing and data_set.kind != "image":
        raise ConfigError(f"mixing: mixes whole images and their classes, {config.dataset} holds {data_set.kind}s")
    if "imbalance" in config.data_params and data_set.kind != "image":
        raise ConfigError(f"data_params.imbalance: is of classes, {config.dataset} holds {data_set.kind}s")
    groups = {"repeated": loss.repeats, "class_balanced": loss.samples_per_class}
    group_size, grid = groups.get(loss.sampling, 1), getattr(network, "grid", 0)
    data = DataModule(resolved, data_set, size, loss.views, loss.sampling, group_size, grid)
    batches = data.epoch_batches(0, num_devices(config))  # raises where batches cannot be drawn so
    steps = math.ceil(len(batches) / config.accumulate_batches)
    check_schedule(config, steps)
    if config.batch_size > len(data.train_rows):
        LOG.warning("%s: batch_size exceeds the training images: one step an epoch", config.place(("batch_size",)))
    return data, steps


def _start_from_images(config: Configuration, network: Any, data: DataModule) -> None:
    """Give a network that starts from training images as many as it asks for, chosen by the seed."""
    number = getattr(network, "start_images", 0)
    if not number or config.weights_path is not None:
        return
    generator = torch.Generator().manual_seed(derive_seed(config.seed, "start images"))
    positions = torch.randperm(len(data.train_rows), generator=generator)[:number]
    stream = data.augmented_stream()  # without augmentations
    network.start_from(stream.finish(stream.__getitems__(part.tolist())).image[:, 0] for part in positions.split(100))


@contextlib.contextmanager
def _located(config: Configuration) -> Iterator[None]:
    """Give the mistakes that are raised within their places in the configuration."""
    try:
        yield
    except ConfigError as error:
        raise config.located(error) from None


def num_devices(config: Configuration) -> int:
    """Return how many devices share a batch; `auto` counts as one, since the machine is not asked before training."""
    return config.num_nodes * (config.devices if isinstance(config.devices, int) else 1)


def _load_network(config: Configuration, num_classes: int, weights_path: str) -> nn.Module:
    """Return a network as the run's, with the weights of a file, which must hold the last layer too.

    Raises: ConfigError also if a run left the file whose loss does not read the highest score as the likeliest class.
    """
    run = Path(weights_path).parent.parent / "config.yml"
    if run.is_file():
        try:
            trained = read_configuration(str(run), (), NAME_CHECKS, of_a_run=True)
        except ConfigError as error:
            raise ConfigError(f"weights_path: the run that left it cannot be read: {error}") from None
        name, params = trained.loss_function, trained.loss_params
        loss, one_hot = build_loss(name, None, **params), torch.eye(num_classes)
        if loss.kind != "image":
            raise ConfigError(f"weights_path: was trained by {name}, which judges {loss.kind}s")
        if not torch.equal(loss.predict(one_hot), torch.arange(num_classes)):
            raise ConfigError(f"weights_path: was trained by {name}, whose highest score is not the likeliest class")
    changes = {"pretrained": False, "weights_path": weights_path, "dropout": None}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="weights_path: .* it stays fresh")
        try:
            return build_network(structs.replace(config, **changes), num_classes)
        except UserWarning as warning:
            raise ConfigError(str(warning).replace("it stays fresh", "they must be the same")) from None


def _load_teacher(config: Configuration, num_classes: int, weights_path: str) -> nn.Module:
    """Return what `_load_network` does for a loss, which reports mistakes as ValueErrors."""
    try:
        return _load_network(config, num_classes, weights_path)
    except ConfigError as error:
        raise ValueError(str(error).replace("weights_path: ", "")) from None


@torch.no_grad()
def _stage_channels(network: Any, image_shape: tuple[int, ...], stages: tuple[int, ...]) -> tuple[int, ...]:
    """Return the channels of the feature maps at these positions, for which the network sees one image."""
    was_training = network.training
    try:
        _, maps = network.eval().forward_intermediates(torch.zeros(image_shape), indices=list(stages))
    except (AssertionError, IndexError, ValueError) as error:
        number = len(getattr(network, "feature_info", ()))  # not all networks say
        allowed = f"; it has {number}: {-number} to {number - 1}" if number else f": {first_line(error)}"
        text = f"the architecture has no feature maps at {list(stages)}{allowed}"
        raise ConfigError(f"loss_params.stages: {text}") from None
    network.train(was_training)
    return tuple(feature_map.shape[1] for feature_map in maps)


def _refuse_metrics_without_sense(config: Configuration, data_set: DataSet) -> None:
    """Refuse monitors that the data's kind has not, or that only ordered classes have."""
    monitors = {
        ("monitor",): config.monitor,
        ("lr_scheduler_params", "monitor"): config.lr_scheduler_params.get("monitor"),
    }
    there, ordered = (metric_entries(data_set.kind, ordered=each) for each in (data_set.ordered, True))
    there |= dict.fromkeys(map(short_name, config.metrics), Entry("", ""))
    wrong = {}
    for key, monitor in monitors.items():
        name = str(monitor).rpartition("/")[2]
        if monitor is not None and name not in there:
            no_order = f"the classes of {config.dataset} have no order"
            other_kind = f"{config.dataset} holds {data_set.kind}s, which have {', '.join(there)}"
            wrong[key] = no_order if name in ordered else other_kind
    if wrong:
        raise config.error(wrong)
