"""From a configuration to batches: which rows train, validate and test, and how they are fed."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from configuration.schema import Configuration
from datasets.augmentation.mixing import build_mixing, draw_partners
from datasets.base import DataSet, ImageTable
from datasets.dense import DenseTable
from datasets.kept_images import keep_images
from datasets.label_noise import training_labels
from datasets.preprocessing import Preprocessing
from datasets.readers.files import available_cores
from datasets.readers.images import check_images, name_and_size, quick_to_name
from datasets.rows import split_rows
from datasets.sequences import label_problems
from datasets.stream.dense_stream import DenseStream
from datasets.stream.image_stream import ImageStream, Loaded
from datasets.stream.loader import ResumableLoader, outlast_the_first_sigterm
from datasets.stream.sampling import (
    SAMPLINGS,
    ClassBalancedBatches,
    EpochBatches,
    RepeatedBatches,
)
from losses.contract import Batch
from utils.seeding import derive_seed
from utils.types import ConfigError, DataError

LARGEST_RESIDENT = 2 * 10**9
"""Bytes of a set in memory that an accelerator keeps whole."""


class DataModule(pl.LightningDataModule):
    """The data of a run.

    Args:
        config, data: the run's configuration and data set.
        image_size: height and width of the images that the network sees.
        views: augmented replicas of each training image that the loss asks for.
        sampling: how the loss asks training images to be drawn, one of `SAMPLINGS`.
        grid: patches, in height and width, of the destroyed view that the network asks for beside each image; 0: none.
        group_size: with "repeated" the draws of each image of a batch, with "class_balanced" the samples of each class.

    Attributes:
        train_rows, valid_rows: rows trained on, of the training part, and validated on.
        train_table: the training part with the labels that are trained on, some of them wrong with `label_noise` or
            `noisy_labels`.
        mixing: what mixes training batches, or None.

    Raises: DataError if labels and classes do not fit or a part is empty; ConfigError for a mixing that cannot be
            built, label noise with a single class or noisy labels that do not fit.
    """

    def __init__(
        self,
        config: Configuration,
        data: DataSet,
        image_size: tuple[int, int],
        views: int = 1,
        sampling: str = "shuffle",
        group_size: int = 1,
        grid: int = 0,
    ) -> None:
        super().__init__()
        if sampling not in SAMPLINGS:
            raise ValueError(f"sampling must be one of {', '.join(SAMPLINGS)}, got {sampling!r}")
        self.config, self.data, self.image_size, self.views = config, data, image_size, views
        self.sampling, self.group_size, self.grid = sampling, group_size, grid
        self.mixing = None if config.mixing is None else build_mixing(config.mixing, **config.mixing_params)
        self._resident: dict[int, torch.Tensor] = {}
        _refuse_wrong_labels(data, training=data.train, test=data.test)
        self.train_rows, self.valid_rows = split_rows(config, data)
        self.train_table = replace(data.train, labels=training_labels(config, data, self.train_rows))
        _refuse_wrong_labels(data, training=self.train_table)

    @property
    def wrong_rows(self) -> np.ndarray:
        """The rows of the training part that are trained on with a wrong label, ascending."""
        return np.flatnonzero(self.train_table.labels != self.data.train.labels)

    @cached_property
    def class_counts(self) -> tuple[int, ...] | None:
        """Rows trained on of each class, by the labels that are trained on; None for texts and annotations."""
        labels = self.train_table.labels[self.train_rows]
        if labels.ndim > 1 or isinstance(self.train_table, DenseTable):
            return None
        return tuple(np.bincount(labels, minlength=len(self.data.classes)).tolist())

    def repeat_few_images(self, number: int) -> None:
        """Train on that many images, again and again, where others would first have to be decoded."""
        if self.train_stream.needs_preparing:
            some = self.train_rows[np.linspace(0, len(self.train_rows) - 1, number, dtype=np.int64)]
            self.train_rows = np.resize(some, len(self.train_rows))
            del self.train_stream

    @cached_property
    def train_stream(self) -> ImageStream:
        config = self.config
        return self.augmented_stream(
            image_augmentations=config.image_augmentations if config.augment_images else None,
            tensor_augmentations=config.tensor_augmentations if config.augment_tensors else None,
        )

    def augmented_stream(self, backend: str | None = None, **chains: Any) -> ImageStream:
        """Return the training images with these chains, done by the configuration's backend or another."""
        config = self.config
        options: Any = {"views": self.views, "seed": config.seed, "backend": backend or config.augment_backend}
        options |= {"grid": self.grid} if self.grid else {}
        table = self.train_table
        stream: Any = DenseStream if isinstance(table, DenseTable) else ImageStream
        return stream(table, self.train_rows, Preprocessing.of(config, training=True), **options, **chains)

    @cached_property
    def valid_stream(self) -> ImageStream:
        table = self.data.test if self.config.select_on == "test" else self.data.train
        return self._judged_stream(table, self.valid_rows)

    @cached_property
    def test_stream(self) -> ImageStream:
        return self._judged_stream(self.data.test, np.arange(len(self.data.test)))

    def _judged_stream(self, table: ImageTable, rows: np.ndarray) -> ImageStream:
        preprocessing = Preprocessing.of(self.config, training=False)
        if isinstance(table, DenseTable):
            return DenseStream(table, rows, preprocessing, judged=True)
        return ImageStream(table, rows, preprocessing)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the data, by content where it is in memory, else by file names, sizes, labels and boxes."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update("\n".join(self.data.classes).encode())
        for table in (self.train_table, self.data.test):
            digest.update(np.ascontiguousarray(table.labels).tobytes())
            digest.update(b"" if table.boxes is None else np.ascontiguousarray(table.boxes).tobytes())
            digest.update(table.digest if isinstance(table, DenseTable) else b"")
            if isinstance(table.images, np.ndarray):
                digest.update(np.ascontiguousarray(table.images).tobytes())
            else:
                digest.update("\n".join(map(name_and_size, quick_to_name(table.images))).encode())
        return digest.hexdigest()

    def check(self) -> None:
        """Decode every image once that is not kept decoded. Raises: DataError naming all that do not decode."""
        streams = (self.train_stream, self.valid_stream, self.test_stream)
        tables = {id(stream.table.images): stream.table for stream in streams if stream.needs_preparing}
        on_disk = [table for table in tables.values() if not isinstance(table.images, np.ndarray)]
        if on_disk:
            check_images([image for table in on_disk for image in table.images])
        for table in (self.data.train, self.data.test):
            if isinstance(table, DenseTable):
                table.refuse_problems(len(self.data.classes))

    def keep_images(self) -> None:
        """Decode, cut and resize the images once, where `cache` says, instead of in every epoch.

        Raises: ConfigError if they are to be kept where there is no room; DataError naming all that cannot be decoded.
        """
        try:
            keep_images((self.train_stream, self.valid_stream, self.test_stream), self.image_size, self.config)
        except DataError:
            self.check()  # which names the bad images of every part
            raise

    def faster_loading(self) -> str:
        """Return which settings would give images sooner, as the end of a message."""
        config, stream, hints = self.config, self.train_stream, []
        if stream.not_fused:
            hints.append(f"augmentation is not fused because of {stream.not_fused}")
        elif stream.one_by_one is not None:
            hints.append("set augment_backend: fused")
        if stream.needs_preparing:
            kept = config.cache != "none"
            hints.append("raise cache_limit_gb, or make room on the disk" if kept else "set cache: disk")
        if self.num_workers < available_cores():
            hints.append(f"set num_workers: {available_cores()}")
        return f"; {', '.join(hints)}" if hints else "; every core loads images already"

    @property
    def num_workers(self) -> int:
        """As configured; `auto` is none for sets in memory, else a worker for each core up to 8."""
        if self.config.num_workers != "auto":
            return self.config.num_workers
        if isinstance(self.data.train.images, np.ndarray):
            return 0
        return min(available_cores(), 8)

    def train_dataloader(self) -> ResumableLoader:
        batches = self.epoch_batches(*self._rank_and_world_size())
        return ResumableLoader(self._settled(self.train_stream), batches, self._position, **self._loader_options())

    def epoch_batches(self, rank: int = 0, world_size: int = 1) -> EpochBatches:
        """Return which training images each step sees, on one device among all.

        Raises: ConfigError if batches are too small for the loss's groups.
        """
        options = (self.config.batch_size, self.config.seed, rank, world_size)
        if self.sampling == "repeated":
            return RepeatedBatches(len(self.train_rows), *options, group_size=self.group_size)
        if self.sampling == "class_balanced":
            labels = self.train_table.labels[self.train_rows]
            return ClassBalancedBatches(labels, *options, group_size=self.group_size)
        return EpochBatches(len(self.train_rows), *options)

    def transfer_batch_to_device(self, loaded: Loaded, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch and finish it there, where that costs least: normalise and, in training, mix it.

        Partners are drawn from the rows in the host's memory, so that nothing waits for a GPU.
        """
        there = device.type == "cpu"  # where batches are loaded
        moved = loaded if there else super().transfer_batch_to_device(loaded, device, dataloader_idx)
        memory_format = torch.channels_last if self.config.channels_last else torch.contiguous_format
        if (trainer := self.trainer) is None:
            return self.valid_stream.finish(moved, memory_format)
        stream = self.train_stream if trainer.training else self.test_stream if trainer.testing else self.valid_stream
        batch = trainer.precision_plugin.convert_input(stream.finish(moved, memory_format))
        return self.mix(batch, loaded.index, *self._position(), trainer.global_rank) if trainer.training else batch

    def mix(self, batch: Batch, index: torch.Tensor, epoch: int, step: int, rank: int = 0) -> Batch:
        """Mix a training batch if the configuration says so.

        A pure function of the batch and (seed, epoch, step): what is mixed, how much and where is one for the whole
        step, on all devices; partners come from the device's own part of the batch and so depend on its rank too.
        `index` is the batch's own, in the host's memory.
        """
        if self.mixing is None:
            return batch
        seed = self.config.seed
        partner = draw_partners(index, seed, "partners", epoch, step, rank).to(batch.image.device, non_blocking=True)
        return self.mixing(batch, len(self.data.classes), partner, derive_seed(seed, "mixing", epoch, step))

    def val_dataloader(self) -> DataLoader:
        return self.evaluation_loader(self.valid_stream)

    def test_dataloader(self) -> DataLoader:
        return self.evaluation_loader(self.test_stream)

    def evaluation_loader(self, stream: ImageStream) -> DataLoader:
        """Return the samples of a stream in its order, on several devices each its share."""
        rank, world_size = self._rank_and_world_size()
        rows = range(rank, len(stream), world_size)
        return DataLoader(self._settled(stream), self.config.batch_size, sampler=rows, **self._loader_options())

    def _settled(self, stream: ImageStream) -> ImageStream:
        """Leave augmentation to an accelerator where there is one, and sets in memory on it."""
        if self.trainer is None or self._device_type() == "cpu":
            return stream
        stream.on_device = True
        in_batches = not stream.crops_originals  # which are cut one by one, before they are sent
        if in_batches and isinstance(pixels := stream.pixels, np.ndarray) and pixels.nbytes <= LARGEST_RESIDENT:
            if id(pixels) not in self._resident:
                planes = torch.from_numpy(pixels).permute(0, 3, 1, 2)
                self._resident[id(pixels)] = planes.to(self.trainer.strategy.root_device)
            stream.resident = self._resident[id(pixels)]
        return stream

    def _loader_options(self) -> dict:
        return {
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            "pin_memory": self._device_type() == "cuda",
            "collate_fn": _whole,
            "worker_init_fn": outlast_the_first_sigterm,
        }

    def _device_type(self) -> str:
        return "cpu" if self.trainer is None else self.trainer.strategy.root_device.type

    def _rank_and_world_size(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)

    def _position(self) -> tuple[int, int]:
        """Return the epoch and how many of its batches are done, from Lightning's own count."""
        assert self.trainer is not None
        done = self.trainer.fit_loop.epoch_loop.batch_progress.total.completed
        return divmod(done, int(self.trainer.num_training_batches))


def _whole(loaded: Loaded) -> Loaded:
    return loaded  # a stream gives whole batches


def common_size(config: Configuration, data: DataSet) -> tuple[int, int]:
    """Return the height and width that images are resized to or, without a resize, all have.

    Raises: ConfigError if they are not resized and differ.
    """
    if config.size is not None:
        return config.size
    sizes = {table.size(row) for table in (data.train, data.test) for row in range(len(table))}
    cut = config.crop_to_bboxes and not config.erase_background and data.train.boxes is not None
    if len(sizes) > 1 or cut:
        differ = "are cut to their boxes" if cut else f"are of {len(sizes)} sizes"
        raise ConfigError(f"image_size: the images {differ}; give the [height, width] to resize them to")
    return sizes.pop()


def _refuse_wrong_labels(data: DataSet, **tables: ImageTable) -> None:
    problems = [text for part, table in tables.items() for text in label_problems(part, table, len(data.classes))]
    if problems:
        raise DataError("\n".join(problems))
