"""What training is fed: mixed, corrupted and drawn as pure functions of (seed, epoch, step)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets import build_dataset
from datasets.augmentation.mixing import draw_partners
from datasets.data_module import DataModule
from datasets.stream.loader import ResumableLoader
from datasets.stream.sampling import ClassBalancedBatches, EpochBatches, RepeatedBatches
from losses.contract import Batch

AUGMENTED = {"augment_images": "true", "image_augmentations": "{RandomAffine: {degrees: 25}}"}
DRAWN = {"repeated": 3, "class_balanced": 4}


@pytest.fixture(scope="module")
def digits():
    return build_dataset("digits")


@pytest.fixture
def module(quick, digits):
    """Return a function that builds the data of a quick run, drawn as the loss asks."""

    def build(sampling: str = "shuffle", views: int = 1, **changes) -> DataModule:
        return DataModule(quick(**changes), digits, (8, 8), views, sampling, DRAWN.get(sampling, 1))

    return build


def first_batches(data: DataModule, epoch: int = 0, start: int = 0, workers: int = 0) -> list[Batch]:
    """Return the epoch's first three batches, from `start` on, as a loader gives them."""
    batches = data.epoch_batches()
    options: dict = {"num_workers": workers, "collate_fn": data.train_stream.finish}
    loader = ResumableLoader(data.train_stream, batches, lambda: (epoch, start), **options)
    return [batch for batch, _ in zip(loader, range(3 - start), strict=False)]


def equal(a: Batch, b: Batch) -> bool:
    parts = zip(a[:3], b[:3], strict=True)
    return a.extra == b.extra == {} and all(torch.equal(one, other) for one, other in parts)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------- drawing


def test_the_loss_s_wish_decides_how_images_are_drawn(module):
    kinds = {"shuffle": EpochBatches, "repeated": RepeatedBatches, "class_balanced": ClassBalancedBatches}
    for sampling, kind in kinds.items():
        batches = module(sampling).epoch_batches()
        assert type(batches) is kind
        assert batches.group_size == DRAWN.get(sampling, 1)
        assert len(batches) == len(module().epoch_batches())
    with pytest.raises(ValueError, match="sampling must be one of shuffle, repeated, class_balanced, got 'random'"):
        module("random")


@pytest.mark.parametrize("sampling", DRAWN)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_of_groups_is_the_same_whole_resumed_and_by_workers(module, sampling, workers):
    data = module(sampling, **AUGMENTED)
    whole = first_batches(data, epoch=2)
    for start in (1, 2):
        parts = first_batches(data, epoch=2, start=start, workers=workers)
        assert all(equal(a, b) for a, b in zip(parts, whole[start:], strict=True))


def test_repeats_of_an_image_are_its_further_views(module):
    data, once = module("repeated", views=2, **AUGMENTED), module(views=8, **AUGMENTED)
    batch = first_batches(data, epoch=1)[0]
    row = int(batch.index[0])
    position = int(np.flatnonzero(data.train_rows == row)[0])
    copies = batch.image[batch.index == row]  # [R, V, C, H, W]
    assert torch.equal(copies.flatten(0, 1), once.train_stream[(1, position)].image[: copies.shape[0] * 2])
    assert not torch.equal(copies[0], copies[1])


def test_class_balanced_batches_count_the_labels_trained_on(module):
    data = module("class_balanced", label_noise=0.5)
    batch = first_batches(data)[0]
    # 128 images are 32 groups of 4, ten classes three or four times
    assert set(np.bincount(np.asarray(batch.target)).tolist()) == {12, 16}


# ------------------------------------------------------------------------------------------------------ label noise


def test_noise_is_on_the_rows_trained_on_and_nowhere_else(module, digits):
    data = module(label_noise=0.4)
    assert len(data.wrong_rows) == round(0.4 * len(data.train_rows))
    assert set(data.wrong_rows) <= set(data.train_rows)
    trained = np.array([int(data.train_stream[n].target) for n in range(len(data.train_rows))])
    true = digits.train.labels[data.train_rows]
    assert np.array_equal(data.train_rows[trained != true], data.wrong_rows)
    assert np.array_equal([int(sample.target) for sample in data.valid_stream], digits.train.labels[data.valid_rows])
    assert np.array_equal([int(sample.target) for sample in data.test_stream], digits.test.labels)
    clean, noisy = module(**AUGMENTED), module(label_noise=0.4, **AUGMENTED)
    assert np.array_equal(clean.train_rows, noisy.train_rows)
    a, b = first_batches(clean)[0], first_batches(noisy)[0]
    assert torch.equal(a.image, b.image)
    assert torch.equal(a.index, b.index)
    assert clean.mix(a, a.index, 0, 0) is a  # without mixing a batch is left alone


def test_noise_boxes_classes_and_each_pixel_change_the_fingerprint_of_the_data(module, quick, digits):
    def of(**changes) -> str:
        return DataModule(quick(), replace(digits, **changes), (8, 8)).fingerprint

    train, test = digits.train, digits.test
    boxes = np.tile(np.array([[0, 0, 8, 8]]), (len(train), 1))
    moved = boxes.copy()
    moved[-1, 0] = 1
    other = test.images.copy()
    other[-1, -1, -1] ^= 1
    prints = [of(), *(of(train=replace(train, boxes=each)) for each in (boxes, moved))]
    prints += [of(test=replace(test, images=other)), of(classes=(*digits.classes[:-1], "nine"))]
    prints += [module(label_noise=share).fingerprint for share in (0.2, 0.4)]
    assert len(set(prints)) == 7
    assert module(label_noise=0.0).fingerprint == prints[0]
    assert module(label_noise=0.2).fingerprint == prints[5]


# ----------------------------------------------------------------------------------------------------------- mixing


ALWAYS = "{probability: 1.0}"
MIXED = [("MixUp", ALWAYS), ("CutMix", ALWAYS), ("[CutMix, MixUp]", "{}")]


@pytest.mark.parametrize(("mixing", "params"), MIXED)
def test_mixing_is_a_function_of_seed_epoch_and_step(module, mixing, params):
    data = module(mixing=mixing, mixing_params=params)
    batch = first_batches(data)[0]
    first = data.mix(batch, batch.index, 1, 2)
    torch.manual_seed(5)
    np.random.seed(5)
    assert equal(data.mix(batch, batch.index, 1, 2), first)
    other_seed = module(mixing=mixing, mixing_params=params, seed=1)
    others = [data.mix(batch, batch.index, 1, 3), data.mix(batch, batch.index, 2, 2)]
    others.append(other_seed.mix(batch, batch.index, 1, 2))
    assert not any(torch.equal(other.target, first.target) for other in others)


def test_devices_mix_by_one_share_with_partners_of_their_own(module):
    data = module(mixing="MixUp")
    batch = first_batches(data)[0]
    ranks = [data.mix(batch, batch.index, 0, 0, rank) for rank in (0, 1)]
    shares = [{round(share, 5) for share in rank.target.flatten().tolist() if 0 < share < 1} for rank in ranks]
    assert shares[0] == shares[1]
    assert len(shares[0]) == 2
    assert not torch.equal(ranks[0].target, ranks[1].target)


@pytest.mark.parametrize(("mixing", "params"), MIXED)
def test_views_and_copies_of_an_image_keep_one_label(module, mixing, params):
    data = module("repeated", views=2, mixing=mixing, mixing_params=params)
    batch = first_batches(data)[0]
    mixed = data.mix(batch, batch.index, 0, 1)
    assert mixed.target.shape == (128, 10)
    for row in set(batch.index.tolist()):
        copies = mixed.target[batch.index == row]
        assert torch.equal(copies, copies[:1].expand_as(copies))
        images = mixed.image[batch.index == row].flatten(0, 1)  # unaugmented, so copies and views are equal pixels
        assert torch.equal(images, images[:1].expand_as(images))


@pytest.mark.parametrize("backend", ["fused", "torchvision"])
def test_hybrid_of_flip_affine_cutmix_and_mixup_mixes_augmented_replicas(module, backend):
    chain = "{RandomHorizontalFlip: {}, RandomAffine: {degrees: 10, translate: [0.1, 0.1]}}"
    augmented = {"augment_images": True, "image_augmentations": chain, "augment_backend": backend}
    plain = module(views=3, **augmented)
    data = module(views=3, mixing="[CutMix, MixUp]", **augmented)
    batch = first_batches(plain)[0]
    assert not torch.equal(batch.image[:, 0], batch.image[:, 1])
    assert torch.equal(first_batches(data)[0].image, batch.image)  # mixing comes after the augmentation of each view
    kinds = set()
    for step in range(8):
        mixed = data.mix(batch, batch.index, 0, step)
        partner = draw_partners(batch.index, data.config.seed, "partners", 0, step, 0)
        other = batch.image[partner]
        differs = (batch.image != other).all(dim=2)  # [B, V, H, W]
        share = ((mixed.image - other) / (batch.image - other)).mean(dim=2)[differs]  # of a sample's own pixels
        kinds.add("CutMix" if bool(((share == 0) | (share == 1)).all()) else "MixUp")
        kept = 1 - mixed.target[torch.arange(len(partner)), batch.target[partner]]
        kept = kept[batch.target != batch.target[partner]]
        torch.testing.assert_close(kept, kept[:1].expand_as(kept))
        assert 0 <= float(kept[0]) <= 1
    assert kinds == {"CutMix", "MixUp"}
