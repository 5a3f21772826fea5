"""Order and split are pure functions of their seeds and of nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.sampling import EpochBatches, ResumableLoader, stratified_split


def order(**options) -> list[list[int]]:
    batches = EpochBatches(**{"num_samples": 50, "batch_size": 8, "seed": 1} | options)
    return [[position for _, position in batch] for batch in batches]


def test_an_epoch_sees_every_sample_once():
    assert sorted(position for batch in order() for position in batch) == list(range(50))


def test_order_depends_on_seed_and_epoch_alone():
    first, second = (EpochBatches(50, 8, seed=1) for _ in range(2))
    torch.manual_seed(123)
    assert list(first) == list(second)
    second.epoch = 1
    assert list(first) != list(second)
    assert order(seed=2) != order(seed=1)


def test_workers_are_told_the_epoch():
    batches = EpochBatches(10, 5, seed=0)
    batches.epoch = 7
    assert {epoch for batch in batches for epoch, _ in batch} == {7}


@pytest.mark.parametrize("start", range(7))
def test_an_epoch_can_be_entered_at_any_batch(start):
    batches = EpochBatches(50, 8, seed=1)
    whole = list(batches)
    batches.start = start
    assert list(batches) == whole[start:]


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
    assert sorted(joined) == list(range(samples))
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
