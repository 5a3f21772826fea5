"""One configuration -> one run: data, network, loss, training, test, and what is left on the disk."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback, EarlyStopping
from torch import nn

from datasets import DATASETS, build_dataset
from datasets.augmentation import build_transforms
from datasets.data_module import DataModule, common_size
from losses import build_loss
from losses.base import ClassificationLoss
from models import build_model
from models.classifier import Classifier
from models.flops import count_multiply_adds, count_parameters
from utils import optimization, report
from utils.callbacks import FiniteLoss, RunRecord, StepSeed
from utils.checkpoints import AtomicCheckpointIO, load_checkpoint
from utils.configuration import Configuration
from utils.files import write_atomically
from utils.lookup import keywords, load_entry
from utils.metrics import lower_is_better
from utils.progress import EpochLines, TerminalProgress
from utils.runs import RunFolder, check_writable, environment, run_folder, write_json
from utils.seeding import derive_seed, seed_all
from utils.trackers import build_trackers
from utils.trackers.base import TrackedRun, Tracker
from utils.types import ConfigError, Task, UserError

T = TypeVar("T")
LOG = logging.getLogger("lossbench")
FOLDER_VARIABLE = "LOSSBENCH_RUN_FOLDER"

DATA_KEYS = ("data_path", "stanford_data_path", "download", "verify_checksums", "flowers_train")
"""Keys that a data set's function may take; the function's signature says which it does."""


@dataclasses.dataclass(frozen=True)
class Preparation:
    """A run that is ready to train.

    Args:
        num_parameters: trainable, loss included. multiply_adds: of one image.
        not_applied: settings given to an architecture that cannot take them.
    """

    config: Configuration
    data: DataModule
    classifier: Classifier
    num_parameters: int
    multiply_adds: int
    not_applied: tuple[str, ...]


def prepare(config: Configuration) -> Preparation:
    """Check the parameters of everything named, then build it.

    Raises: ConfigError or DataError naming every mistake.
    """
    check_writable(config)
    check_parameters(config)
    data_set = _located(config, _build_data_set, config)
    _warn_without_effect(config, has_boxes=data_set.train.boxes is not None)
    for note in data_set.notes:
        LOG.warning("%s: %s", config.dataset, note)

    seed_all(derive_seed(config.seed, "network"))
    network = _located(config, _build_network, config, len(data_set.classes))
    not_applied: tuple[str, ...] = network.not_applied
    for key in not_applied:
        LOG.warning("%s: %s has no effect on %s", config.place((key,)), key, config.architecture)
    size = _located(config, common_size, config, data_set)
    multiply_adds = _located(config, _count, network, size, config.in_channels)

    seed_all(derive_seed(config.seed, "loss"))
    task = Task(len(data_set.classes), len(data_set.train), network.get_classifier())
    loss = _located(config, build_loss, config.loss_function, task, **config.loss_params)
    if loss.stages:
        task = dataclasses.replace(task, stage_channels=_stage_channels(network, loss, size, config.in_channels))
        loss = build_loss(config.loss_function, task, **config.loss_params)
    if loss.kind != data_set.kind:
        text = f"{config.loss_function} judges {loss.kind}s, {config.dataset} holds {data_set.kind}s"
        raise config.error({("loss_function",): text})
    data = DataModule(config, data_set, size, views=loss.views)
    classifier = Classifier(
        network,
        loss,
        task,
        functools.partial(_build_optimizer, config),
        functools.partial(_build_scheduler, config),
        channels_last=config.channels_last,
    )
    return Preparation(config, data, classifier, count_parameters(classifier), multiply_adds, not_applied)


def check_parameters(config: Configuration) -> None:
    """Check the parameters of loss, optimizer, scheduler and transforms against their constructors, all at once.

    Raises: ConfigError naming every mistake with its place.
    """
    parameter = nn.Parameter(torch.zeros(2, 2))

    def check_optimization() -> None:
        optimizer = optimization.build_optimizer(config.optimizer, [parameter], **config.optimizer_params)
        optimization.build_scheduler(config.lr_scheduler, optimizer, 2, config.num_epochs, **config.lr_scheduler_params)

    checks: list[Callable[[], Any]] = [
        lambda: build_transforms(config.image_augmentations, "image_augmentations"),
        lambda: build_transforms(config.tensor_augmentations, "tensor_augmentations"),
        lambda: build_loss(config.loss_function, None, **config.loss_params),
        check_optimization,
    ]
    lines = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each is built once more for the run; its warnings are told then
        for check in checks:
            try:
                check()
            except ConfigError as error:
                lines += str(error).splitlines()
    if lines:
        raise _with_places(config, "\n".join(lines))


def check(config: Configuration) -> str:
    """Return what a run would do, after checking all that can be checked without training."""
    prepared = prepare(config)
    prepared.data.check()
    folder = run_folder(config, prepared.data.fingerprint)
    state = "finished" if folder.is_finished else "interrupted" if folder.last.is_file() else "new"
    return f"{report.describe(prepared)}\nrun folder: {folder.path} ({state})"


def train(config: Configuration, fresh: bool = False) -> tuple[RunFolder, dict[str, Any]]:
    """Train, test and record one run; go on with it if it was interrupted, leave it if it is finished.

    Args:
        fresh: start anew, in a folder beside the one that exists.

    Returns: the run's folder and its summary.
    Raises: ConfigError, DataError; TrainingError if the loss is not finite.
    """
    torch.set_float32_matmul_precision("high")  # TF32 on the GPUs that have it
    prepared = prepare(config)
    folder = _choose_folder(config, prepared.data.fingerprint, fresh)
    if folder.is_finished:
        summary = folder.read_summary()
        LOG.info("this run is finished; --fresh trains it anew\n%s", report.table(summary, config, folder))
        return folder, summary
    prepared.data.check()
    trackers: list[Tracker] = []
    record = RunRecord(folder, trackers, config.monitor)
    trainer = build_trainer(config, record)
    resume = folder.last if folder.last.is_file() else None
    if trainer.is_global_zero:
        write_atomically(folder.config, config.to_yaml())
        facts = environment(_device_name(trainer), trainer.precision, prepared.data.fingerprint)
        write_json(folder.environment, facts)
        report.draw_augmentations(prepared.data, folder.picture("augmentations"))
        trackers += _open_trackers(prepared, folder, facts)
    LOG.info("%s", report.describe(prepared))
    LOG.info("run folder: %s%s", folder.path, f" (going on after {resume.name})" if resume else "")
    if config.compile:
        prepared.classifier.compile()
    status = "failed"
    try:
        trainer.fit(prepared.classifier, prepared.data, ckpt_path=resume, weights_only=True if resume else None)
        summary = _finish(prepared, trainer, record)
        status = "success"
    except ConfigError as error:
        raise _with_places(config, str(error)) from None
    except SystemExit:  # how Lightning passes Ctrl-C on
        if not trainer.interrupted:
            raise
        status = "interrupted"
        raise KeyboardInterrupt from None
    finally:
        for tracker in trackers:
            tracker.finalize(status)
    return folder, summary


def build_trainer(config: Configuration, record: RunRecord) -> pl.Trainer:
    """Build Lightning's Trainer for a configuration."""
    callbacks: list[Callback] = [StepSeed(config.seed), FiniteLoss(), record]
    callbacks.append(TerminalProgress() if sys.stderr.isatty() else EpochLines())
    if config.early_stopping_patience is not None:
        mode = "min" if lower_is_better(config.monitor) else "max"
        patience = config.early_stopping_patience
        callbacks.append(EarlyStopping(config.monitor, patience=patience, mode=mode, check_on_train_epoch_end=True))
    precision = automatic_precision(config.accelerator) if config.precision == "auto" else config.precision
    if config.batch_size < 2 * (config.devices if isinstance(config.devices, int) else 1) * config.num_nodes:
        raise config.error({("batch_size",): f"must leave each of {config.devices} devices 2 images a step"})
    try:
        return pl.Trainer(
            max_epochs=config.num_epochs,
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.num_nodes,
            strategy=config.strategy,
            precision=precision,  # type: ignore[arg-type]
            gradient_clip_val=config.gradient_clip_norm,
            accumulate_grad_batches=config.accumulate_batches,
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO()],
            logger=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_model_summary=False,
            enable_progress_bar=sys.stderr.isatty(),
            log_every_n_steps=1,
            default_root_dir=record.folder.path,
        )
    except (ValueError, RuntimeError, ImportError, MisconfigurationException) as error:
        keys = f"accelerator: {config.accelerator}, devices: {config.devices}, strategy: {config.strategy}"
        raise ConfigError(f"{config.place(('accelerator',))}: {keys}: {error}") from None


def automatic_precision(accelerator: str) -> str:
    """Return bfloat16 where the GPU computes it, float16 on older ones, float32 elsewhere."""
    if accelerator in ("cpu", "mps", "tpu") or not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"


def _build_data_set(config: Configuration):
    taken = keywords(load_entry(DATASETS[config.dataset]))
    for key in DATA_KEYS:
        if key not in taken and config.was_set(key) and key != "stanford_data_path":
            LOG.warning("%s: %s has no effect on dataset: %s", config.place((key,)), key, config.dataset)
    return build_dataset(config.dataset, **{key: getattr(config, key) for key in DATA_KEYS if key in taken})


def _build_network(config: Configuration, num_classes: int) -> Any:
    given = {"name": "architecture", "num_classes": "the data", "in_channels": "convert_to_grayscale"}
    given |= {key: f"{key}, a key of its own" for key in type(config).model_fields}
    if keys := sorted(config.architecture_params.keys() & given.keys()):
        raise ConfigError("\n".join(f"architecture_params.{key}: comes from {given[key]}" for key in keys))
    return build_model(
        config.architecture,
        num_classes,
        config.in_channels,
        dropout=config.dropout,
        output_channels=config.output_channels,
        pretrained=config.pretrained,
        weights_path=config.weights_path,
        **config.architecture_params,
    )


def _build_optimizer(config: Configuration, parameters: Any) -> torch.optim.Optimizer:
    return optimization.build_optimizer(config.optimizer, parameters, **config.optimizer_params)


def _build_scheduler(config: Configuration, optimizer: torch.optim.Optimizer, steps: int) -> dict[str, Any] | None:
    params = config.lr_scheduler_params
    return optimization.build_scheduler(config.lr_scheduler, optimizer, steps, config.num_epochs, **params)


def _count(network: nn.Module, size: tuple[int, int], in_channels: int) -> int:
    """Count multiply-adds, which is also the first time that the network meets an image of this size."""
    try:
        return count_multiply_adds(network, size, in_channels)
    except (RuntimeError, AssertionError, ValueError) as error:
        text = str(error).splitlines()[0]
        raise ConfigError(f"image_size: the architecture cannot take {size[0]}x{size[1]} images: {text}") from None


@torch.no_grad()
def _stage_channels(network: Any, loss: ClassificationLoss, size: tuple[int, int], in_channels: int) -> tuple[int, ...]:
    was_training = network.training
    _, maps = network.eval().forward_intermediates(torch.zeros(1, in_channels, *size), indices=list(loss.stages))
    network.train(was_training)
    return tuple(each.shape[1] for each in maps)


def _choose_folder(config: Configuration, data_fingerprint: str, fresh: bool) -> RunFolder:
    """Choose once: the processes of further devices, which run the same command, take the first one's choice."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if "LOCAL_RANK" in os.environ and chosen:
        return RunFolder(type(run_folder(config, data_fingerprint).path)(chosen))
    folder = run_folder(config, data_fingerprint, fresh)
    os.environ[FOLDER_VARIABLE] = str(folder.path)
    return folder


def _open_trackers(prepared: Preparation, folder: RunFolder, facts: dict[str, Any]) -> list[Tracker]:
    config = prepared.config
    names = [*config.trackers, *(["neptune"] if config.log_to_neptune and "neptune" not in config.trackers else [])]
    params = report.flat_parameters(prepared)
    tags = {"runtime": facts["runtime"], "device": facts["device"], "git_commit": facts["git_commit"] or ""}
    name = config.run_name or folder.path.name
    run = TrackedRun(folder.path, name, params, tags, tuple(config.tags), config.notes)
    trackers = build_trackers(names, run, config)
    for tracker in trackers:
        tracker.log_hyperparams(params)
    return trackers


def _finish(prepared: Preparation, trainer: pl.Trainer, record: RunRecord) -> dict[str, Any]:
    """Test the selected checkpoint once and write what the run leaves; the summary last."""
    config, folder, classifier = prepared.config, record.folder, prepared.classifier
    best = load_checkpoint(folder.best)
    weights = classifier.state_dict() | best["state_dict"]
    classifier.load_state_dict(weights)
    trainer.test(classifier, prepared.data, verbose=False)
    outputs = _gather(record.test_outputs)
    summary = report.summarize(prepared, record)
    if trainer.is_global_zero:
        _write_predictions(classifier.loss, outputs, folder)
        report.draw_results(record.rows, outputs, prepared.data.data.classes, folder, best_epoch=record.best_epoch)
        write_json(folder.summary, summary)
        known = record.rows[-1].keys()
        final = {
            name: value for name, value in summary.items() if isinstance(value, (int, float)) and name not in known
        }
        for tracker in record.trackers:
            tracker.log_metrics(final, int(record.rows[-1]["epoch"]))
            tracker.log_files(folder.path)
    LOG.info("%s", report.table(summary, config, folder))
    return summary


def _gather(batches: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Join the test's batches, of all ranks, in the order of the data set."""
    mine = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    parts = [mine]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        parts = [mine] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(parts, mine)
    whole = {name: torch.cat([part[name] for part in parts]) for name in mine}
    order = whole["index"].argsort()
    return {name: tensor[order] for name, tensor in whole.items()}


def _write_predictions(loss: ClassificationLoss, outputs: dict[str, torch.Tensor], folder: RunFolder) -> None:
    """Write a row a test image: index, target, prediction, probability, and the scores, of which all else follows."""
    scores = outputs["scores"]
    probabilities = loss.cpu().log_probabilities(scores).exp()
    table = pa.table(
        {
            "index": outputs["index"].numpy(),
            "target": outputs["target"].numpy(),
            "prediction": outputs["prediction"].numpy(),
            "probability": probabilities.max(dim=-1).values.float().numpy(),
            "scores": pa.FixedSizeListArray.from_arrays(pa.array(scores.float().flatten().numpy()), scores.shape[-1]),
        }
    )
    write_atomically(folder.predictions, lambda file: pq.write_table(table, file, compression="zstd"))


def _device_name(trainer: pl.Trainer) -> str:
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"{trainer.world_size} x {name}" if trainer.world_size > 1 else name


def _warn_without_effect(config: Configuration, has_boxes: bool) -> None:
    useless = {
        "crop_to_bboxes": config.crop_to_bboxes and not has_boxes and f"dataset: {config.dataset} has no boxes",
        "erase_background": config.erase_background and not config.crop_to_bboxes and "crop_to_bboxes is false",
        "lr_scheduler_params": config.lr_scheduler_params and not config.lr_scheduler and "lr_scheduler is not set",
        "image_augmentations": config.augment_images and not config.image_augmentations and "it is empty",
        "tensor_augmentations": config.augment_tensors and not config.tensor_augmentations and "it is empty",
    }
    for key, reason in useless.items():
        if reason:
            LOG.warning("%s: %s has no effect: %s", config.place((key,)), key, reason)


def _located(config: Configuration, build: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Build something; give the mistakes it finds in its parameters their places in the configuration."""
    try:
        return build(*args, **kwargs)
    except ConfigError as error:
        raise _with_places(config, str(error)) from None


def _with_places(config: Configuration, text: str) -> UserError:
    """Put file and line before each line that starts with a key."""
    lines = []
    for line in dict.fromkeys(text.splitlines()):
        key = tuple(line.partition(": ")[0].split("."))
        lines.append(f"{config.place(key)}: {line}" if key[0] in type(config).model_fields else line)
    return ConfigError("\n".join(lines))
