"""Which samples a step sees: a pure function of (seed, epoch, step), whatever the workers, devices or interruptions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from utils.seeding import derive_seed


def stratified_split(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Hold out a share of every class.

    The held-out part has round(fraction * N) rows, shared among the classes by largest remainder; each class keeps at
    least one row for training.

    Shapes: labels [N] -> rows kept [N - M] and held out [M], both ascending.
    """
    classes, counts = np.unique(labels, return_counts=True)
    quota = fraction * counts
    held = np.floor(quota).astype(int)
    missing = round(fraction * len(labels)) - held.sum()
    held[np.argsort(held - quota, kind="stable")[: max(missing, 0)]] += 1
    held = np.minimum(held, counts - 1)
    generator = np.random.default_rng(derive_seed(seed, "split"))
    chosen = [
        generator.permutation(np.flatnonzero(labels == name))[:number]
        for name, number in zip(classes, held, strict=True)
    ]
    valid = np.sort(np.concatenate(chosen)) if chosen else np.empty(0, dtype=int)
    train = np.setdiff1d(np.arange(len(labels)), valid, assume_unique=True)
    return train, valid


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """The batches of one epoch, as lists of (epoch, position), so that workers know the epoch.

    A batch is split among the devices. A last batch of fewer than two samples a device joins the one before it, since
    batch normalisation cannot train on one sample.

    Args:
        num_samples: N.
        batch_size: samples of a step, over all devices.
        seed: the run's seed.
        rank, world_size: this device among all.

    Attributes:
        epoch: whose order is given.
        start: batches to leave out at the beginning, already trained on.
    """

    def __init__(self, num_samples: int, batch_size: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.num_samples, self.batch_size, self.seed = num_samples, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        full, rest = divmod(self.num_samples, self.batch_size)
        return max(full + (rest >= 2 * self.world_size), 1)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", self.epoch))
        order = torch.randperm(self.num_samples, generator=generator).tolist()
        for step in range(self.start, len(self)):
            end = self.num_samples if step == len(self) - 1 else (step + 1) * self.batch_size
            batch = order[step * self.batch_size : end]
            yield [(self.epoch, position) for position in batch[self.rank :: self.world_size]]


class ResumableLoader(DataLoader):
    """A loader that starts where training stands, by asking instead of by remembering.

    Args:
        dataset: takes the (epoch, position) pairs of `batches`.
        batches: the epoch's batches.
        position: returns the epoch and the number of its batches already trained on.
    """

    def __init__(self, dataset: Dataset, batches: EpochBatches, position: Callable[[], tuple[int, int]], **options):
        super().__init__(dataset, batch_sampler=batches, **options)
        self._batches = batches
        self._position = position

    def __iter__(self) -> Iterator:
        # A generator, so that this runs at the first next(): by then Lightning has settled its counters, which it has
        # not when it calls iter().
        self._batches.epoch, self._batches.start = self._position()
        yield from super().__iter__()
