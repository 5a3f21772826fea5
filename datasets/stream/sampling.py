"""Which samples a step sees: a pure function of (seed, epoch, step), whatever the workers, devices or interruptions."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Sampler

from utils.seeding import derive_seed
from utils.types import ConfigError

SAMPLINGS = ("shuffle", "repeated", "class_balanced")
"""How a loss may have training images drawn: `EpochBatches`, `RepeatedBatches`, `ClassBalancedBatches`."""

Key = tuple[int, ...]
"""(epoch, position), or (epoch, position, repeat) where an epoch draws a sample more than once."""


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


class EpochBatches(Sampler[list[Key]]):
    """The batches of one epoch in random order, as lists of (epoch, position), so that workers know the epoch.

    An epoch draws as many samples as there are. A batch is split among the devices. A last batch of fewer than two
    samples a device joins the one before it, since batch normalisation cannot train on one sample.

    Args:
        num_samples: N.
        batch_size: samples of a step, over all devices.
        seed: the run's seed.
        rank, world_size: this device among all.

    Attributes:
        epoch: whose order is given.
        start: batches to leave out at the beginning, already trained on.
        group_size: samples that stay together on one device.
    """

    group_size = 1

    def __init__(self, num_samples: int, batch_size: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.num_samples, self.batch_size, self.seed = num_samples, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        full, rest = divmod(self.num_samples, self.batch_size)
        return max(full + (rest >= max(2, self.group_size) * self.world_size), 1)

    def __iter__(self) -> Iterator[list[Key]]:
        sizes = [self.batch_size] * (len(self) - 1)
        sizes.append(self.num_samples - sum(sizes))
        for step, groups in enumerate(self._groups(sizes)):
            if step >= self.start:
                yield [key for group in groups[self.rank :: self.world_size] for key in group]

    def _groups(self, sizes: list[int]) -> Iterator[list[list[Key]]]:
        """Give, for batches of these sizes, the groups that must not be divided."""
        order, done = self._order(), 0
        for size in sizes:
            yield [[(self.epoch, position)] for position in order[done : done + size]]
            done += size

    def _order(self) -> list[int]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", self.epoch))
        return torch.randperm(self.num_samples, generator=generator).tolist()


class GroupedBatches(EpochBatches):
    """Batches of groups: a batch of B samples holds B // group_size groups, and the samples left over are spread.

    So no group is smaller than asked, and batches have the sizes that they have under `EpochBatches`. Devices get whole
    groups; where these do not divide evenly, some devices get one group more.

    Args: as `EpochBatches`, and group_size: samples of a group, >= 1.

    Raises: ConfigError if a device would be left without a group.
    """

    def __init__(
        self, num_samples: int, batch_size: int, seed: int, rank: int = 0, world_size: int = 1, *, group_size: int
    ) -> None:
        super().__init__(num_samples, batch_size, seed, rank, world_size)
        self.group_size = group_size
        if batch_size < group_size * world_size:
            raise ConfigError(
                f"batch_size: must be >= {group_size * world_size}, got {batch_size}: the loss asks for groups of "
                f"{group_size} images, one or more for each of {world_size} devices"
            )
        if num_samples < group_size * world_size and world_size > 1:
            raise ConfigError(
                f"devices: {num_samples} training images make no group of {group_size} for each of {world_size} devices"
            )

    def _sizes(self, batch: int) -> list[int]:
        """Return the sizes of a batch's groups."""
        number = max(batch // self.group_size, 1)
        return [batch // number + (group < batch % number) for group in range(number)]


class RepeatedBatches(GroupedBatches):
    """Repeated augmentation: each image of a batch is drawn `group_size` times into it, as (epoch, position, repeat).

    An epoch of N draws sees the first N / group_size images, about, of its own random order.

    Source: Hoffer et al. 2020, "Augment Your Batch", CVPR; Berman et al. 2019, "MultiGrain", arXiv:1902.05509.
    Deviations: from the usual `RASampler`: the copies of an image stay in one batch and on one device (there they go to
        different devices, and batches that they do not divide tear them apart); an epoch is N draws (there rounded down
        to a multiple of 256, which leaves a set below 256 without any).
    """

    def _groups(self, sizes: list[int]) -> Iterator[list[list[Key]]]:
        order = iter(self._order())
        for size in sizes:
            copies = self._sizes(size)  # of each image
            yield [
                [(self.epoch, position, repeat) for repeat in range(number)]
                for number, position in zip(copies, order, strict=False)
            ]


class ClassBalancedBatches(GroupedBatches):
    """Batches of P classes with `group_size` samples each, as (epoch, position, repeat).

    Classes come in turn, in random passes over all of them, and so do the samples of a class: all are seen before one
    is seen again. A class with fewer samples than are wanted gives some twice; with fewer classes than P, some classes
    give two groups. An epoch is N draws, so it sees small classes more than once and large ones in part.

    Args: as `GroupedBatches`, and labels: the class of each sample, [N].

    Raises: ConfigError also if a device's part of a batch would be of one class, with nothing to tell apart, and for
        labels that are texts.

    Source: Hermans et al. 2017, "In Defense of the Triplet Loss for Person Re-Identification", arXiv:1703.07737, sec. 2
        ("P classes, K images").
    """

    def __init__(
        self,
        labels: np.ndarray,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        *,
        group_size: int,
    ) -> None:
        if labels.ndim != 1:
            raise ConfigError("loss_function: asks for batches of balanced classes; the images show texts instead")
        super().__init__(len(labels), batch_size, seed, rank, world_size, group_size=group_size)
        if batch_size < 2 * group_size * world_size:
            raise ConfigError(
                f"batch_size: must be >= {2 * group_size * world_size}, got {batch_size}: the loss asks for "
                f"{group_size} images of each of two classes or more for each of {world_size} devices"
            )
        self.labels = labels

    def _groups(self, sizes: list[int]) -> Iterator[list[list[Key]]]:
        random = np.random.default_rng(derive_seed(self.seed, "classes", self.epoch))
        classes = _Turns(np.unique(self.labels), random)
        samples = {name: _Turns(np.flatnonzero(self.labels == name), random) for name in classes.all.tolist()}
        repeats: defaultdict[int, Iterator[int]] = defaultdict(itertools.count)
        for size in sizes:
            groups = list(zip(classes.take(len(self._sizes(size))), self._sizes(size), strict=True))
            needed: Counter[int] = Counter()
            for name, number in groups:
                needed[name] += number
            taken = {name: iter(samples[name].take(number)) for name, number in needed.items()}
            yield [
                [(self.epoch, position, next(repeats[position])) for position in itertools.islice(taken[name], number)]
                for name, number in groups
            ]


class _Turns:
    """Gives things in random passes over all of them; one hand holds a thing twice only if it must."""

    def __init__(self, all: np.ndarray, random: np.random.Generator) -> None:
        self.all, self.random = all, random
        self.left = all[:0]

    def take(self, number: int) -> list[int]:
        hand = self.left[:number]
        self.left = self.left[number:]
        while len(hand) < number:
            fresh = self.random.permutation(self.all)
            held = np.isin(fresh, hand)
            fresh = np.concatenate([fresh[~held], fresh[held]])
            missing = number - len(hand)
            hand, self.left = np.concatenate([hand, fresh[:missing]]), fresh[missing:]
        return hand.tolist()
