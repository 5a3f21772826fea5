"""Order and split are pure functions of their seeds and of nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.stream.loader import ResumableLoader
from datasets.stream.sampling import (
    SAMPLINGS,
    ClassBalancedBatches,
    EpochBatches,
    RepeatedBatches,
    stratified_split,
)
from losses import LOSSES
from utils.lookup import load_entry
from utils.types import ConfigError


def order(**options) -> list[list[int]]:
    batches = EpochBatches(**{"num_samples": 50, "batch_size": 8, "seed": 1} | options)
    return [[position for _, position in batch] for batch in batches]


@pytest.mark.parametrize(("samples", "sizes"), [(16, [8, 8]), (17, [8, 9]), (18, [8, 8, 2]), (3, [3]), (9, [9])])
def test_a_single_left_over_sample_joins_the_batch_before(samples, sizes):
    assert [len(batch) for batch in order(num_samples=samples)] == sizes
    assert len(EpochBatches(samples, 8, 0)) == len(sizes)


@given(st.integers(2, 200), st.integers(4, 64), st.integers(1, 2))
@settings(max_examples=60, deadline=None)
def test_devices_share_the_batches_of_one_device(samples, batch_size, world_size):
    ranks = [
        order(num_samples=samples, batch_size=batch_size, rank=r, world_size=world_size) for r in range(world_size)
    ]
    assert len({len(rank) for rank in ranks}) == 1
    alone = EpochBatches(samples, batch_size, 1, world_size=world_size)
    assert len(alone) == len(ranks[0])
    joined = [position for step in zip(*ranks, strict=True) for rank in step for position in rank]
    assert sorted(joined) == list(range(samples))  # every sample once
    if samples >= 2 * world_size:
        assert all(len(batch) >= 2 for rank in ranks for batch in rank)


def test_a_loader_starts_where_training_stands_when_the_first_batch_is_asked_for():
    stands = [0, 0]

    class Positions(torch.utils.data.Dataset):
        def __getitem__(self, key):
            return torch.tensor(key)

    loader = ResumableLoader(Positions(), EpochBatches(20, 5, seed=3), lambda: (stands[0], stands[1]))
    iterator = iter(loader)
    stands[:] = [2, 3]
    (batch,) = iterator
    expected = EpochBatches(20, 5, seed=3)
    expected.epoch = 2
    assert batch.tolist() == [list(pair) for pair in list(expected)[3]]


# --------------------------------------------------------------------------------------------------- validation


def test_held_out_part_has_the_share_of_every_class():
    labels = np.repeat(np.arange(4), [100, 50, 30, 20])
    train, valid = stratified_split(labels, 0.1, seed=0)
    assert np.bincount(labels[valid]).tolist() == [10, 5, 3, 2]
    assert sorted([*train, *valid]) == list(range(200))


@given(st.lists(st.integers(0, 8), min_size=2, max_size=300), st.floats(0.01, 0.9), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_split_is_a_partition_that_leaves_every_class_to_train_on(labels, fraction, seed):
    labels = np.array(labels)
    train, valid = stratified_split(labels, fraction, seed)
    assert sorted([*train, *valid]) == list(range(len(labels)))
    assert set(labels[train]) == set(labels)
    assert len(valid) <= round(fraction * len(labels))


def test_split_depends_on_its_seed_alone():
    labels = np.arange(100) % 5
    np.random.seed(1)
    first = stratified_split(labels, 0.2, seed=4)[1]
    np.random.seed(2)
    assert np.array_equal(first, stratified_split(labels, 0.2, seed=4)[1])
    assert not np.array_equal(first, stratified_split(labels, 0.2, seed=5)[1])


# -------------------------------------------------------------------------------------- repeated and class-balanced

LABELS = np.repeat(np.arange(6), [40, 20, 12, 9, 2, 1])


def repeated(samples: int = 84, batch_size: int = 12, group_size: int = 3, **options) -> RepeatedBatches:
    return RepeatedBatches(samples, batch_size, 1, group_size=group_size, **options)


def balanced(labels: np.ndarray = LABELS, batch_size: int = 12, group_size: int = 3, **options) -> ClassBalancedBatches:
    return ClassBalancedBatches(labels, batch_size, 1, group_size=group_size, **options)


def shuffled(**options) -> EpochBatches:
    return EpochBatches(84, 12, 1, **options)


GROUPED = pytest.mark.parametrize("make", [repeated, balanced])
EVERY = pytest.mark.parametrize("make", [shuffled, repeated, balanced])


@EVERY
def test_batches_depend_on_seed_and_epoch_alone_and_carry_the_epoch(make):
    first, second = make(), make()
    torch.manual_seed(9)
    np.random.seed(9)
    assert list(first) == list(first) == list(second)
    second.epoch = 1
    assert list(first) != list(second)
    assert {key[0] for batch in second for key in batch} == {1}
    second.epoch, second.seed = 0, 2
    assert list(first) != list(second)


@EVERY
@pytest.mark.parametrize("start", [1, 4, 6])
def test_an_epoch_can_be_entered_at_any_batch(make, start):
    batches = make()
    whole = list(batches)
    batches.start = start
    assert list(batches) == whole[start:]


@GROUPED
def test_every_epoch_of_groups_draws_other_images_together(make):
    batches = make()
    drawn = []
    for batches.epoch in range(4):
        drawn.append([tuple(position for _, position, _ in batch) for batch in batches])
    assert len({tuple(epoch) for epoch in drawn}) == 4
    assert not {*drawn[0]} & {*drawn[1]}


@GROUPED
@pytest.mark.parametrize("batch_size", [12, 13, 40, 84, 100])
def test_an_epoch_of_groups_has_as_many_draws_and_steps_as_a_shuffled_one(make, batch_size):
    sizes = [len(batch) for batch in make(batch_size=batch_size)]
    assert sum(sizes) == 84
    assert len(sizes) == len(make(batch_size=batch_size))
    assert sizes == [len(batch) for batch in EpochBatches(84, batch_size, 1)]
    for samples in (1, 2, 5, 200):  # no epoch is empty
        some = make(samples if make is repeated else np.arange(samples) % 2, batch_size=256)
        assert sum(len(batch) for batch in some) == samples


@GROUPED
@pytest.mark.parametrize("batch_size", [24, 26, 37])
@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_devices_share_the_groups_of_one_device(make, batch_size, world_size):
    alone = list(make(batch_size=batch_size))
    ranks = [list(make(batch_size=batch_size, rank=rank, world_size=world_size)) for rank in range(world_size)]
    for step, parts in enumerate(zip(*ranks, strict=True)):
        assert all(len(part) >= 3 for part in parts)
        if step < len(ranks[0]) - 1:  # the last batch may have joined the one before it
            assert sorted(key for part in parts for key in part) == sorted(alone[step])
    draws = [key for rank in ranks for batch in rank for key in batch]
    assert len(draws) == len(set(draws)) == 84


@pytest.mark.parametrize(("batch_size", "copies"), [(12, {3}), (13, {3, 4}), (14, {3, 4})])
def test_a_batch_holds_each_of_its_images_the_same_times_and_no_image_stands_in_two(batch_size, copies):
    seen = set()
    for batch in list(repeated(batch_size=batch_size))[:-1]:
        positions = [position for _, position, _ in batch]
        assert {positions.count(position) for position in positions} == copies
        assert len(set(positions)) == batch_size // 3
        assert not seen & set(positions)
        seen |= set(positions)
        assert {repeat for _, _, repeat in batch} == set(range(max(copies)))


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_copies_of_an_image_stay_on_one_device(world_size):
    for step in zip(*(repeated(rank=r, world_size=world_size) for r in range(world_size)), strict=True):
        images = [{position for _, position, _ in part} for part in step]
        assert sum(map(len, images)) == len(set().union(*images))


def test_a_batch_holds_p_classes_of_k_samples():
    for batch in balanced():
        counts = np.bincount(LABELS[[position for _, position, _ in batch]])
        assert sorted(counts[counts > 0]) == [3, 3, 3, 3]
    labels = np.arange(100) % 2  # fewer classes than groups give two groups
    for batch in balanced(labels, batch_size=20, group_size=5):
        positions = [position for _, position, _ in batch]
        assert np.bincount(labels[positions]).tolist() == [10, 10]
        assert len(set(positions)) == 20


def test_classes_and_their_samples_come_in_turn():
    draws = [position for batch in balanced() for _, position, _ in batch]
    per_class = np.bincount(LABELS[draws])
    assert per_class.max() - per_class.min() <= 3
    times = np.bincount(draws, minlength=len(LABELS))
    for name in range(6):
        of_class = times[name == LABELS]
        assert of_class.max() - of_class.min() <= 1


def test_a_batch_holds_a_sample_twice_only_if_its_class_is_too_small():
    for batch in balanced():
        positions = [position for _, position, _ in batch]
        assert all(LABELS[p] >= 4 for p in positions if positions.count(p) > 1)


def test_what_is_drawn_again_in_an_epoch_is_another_repeat():
    draws = [key for batch in balanced() for key in batch]
    assert len(set(draws)) == len(draws)
    alone = [repeat for _, position, repeat in draws if position == 83]  # the only sample of its class
    assert len(alone) >= 12
    assert alone == list(range(len(alone)))


@GROUPED
def test_a_batch_too_small_for_a_group_on_each_device_is_refused(make):
    with pytest.raises(ConfigError, match="batch_size: must be >= 6, got 5: the loss asks for groups of 3 images"):
        make(batch_size=5, world_size=2)
    with pytest.raises(ConfigError, match="batch_size: must be >= 3, got 2"):
        make(batch_size=2)
    with pytest.raises(ConfigError, match=r"batch_size: must be >= 6, got 5: .* 3 images of each of two classes"):
        balanced(batch_size=5)
    with pytest.raises(ConfigError, match="devices: 5 training images make no group of 3 for each of 2 devices"):
        repeated(5, world_size=2)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_ask_for_a_sampling_that_is_known(name):
    loss = load_entry(LOSSES[name])
    assert loss.sampling in SAMPLINGS
    assert loss.repeats >= 1
    assert loss.samples_per_class >= 1
