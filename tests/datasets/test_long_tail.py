"""Long-tailed training parts: as many images of each class as published, the same ones, and balanced validation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from configuration.schema import Configuration
from configuration.smoke import OF_EVERY_SET as KEPT_BY_SMOKE
from datasets import OF_EVERY_SET, build_dataset
from datasets.data_module import DataModule
from datasets.rows import long_tail, long_tailed_counts
from runs.identity import settings_of
from training.building import prepare
from training.checks import check_parameters
from training.report import describe
from utils.signatures import keyword_defaults
from utils.types import ConfigError

PUBLISHED = {  # CIFAR-10-LT and CIFAR-100-LT: images in all, of the first and of the last class
    (10, 10): (20_431, 5_000, 500),
    (10, 50): (13_996, 5_000, 100),
    (10, 100): (12_406, 5_000, 50),
    (100, 10): (19_573, 500, 50),
    (100, 50): (12_608, 500, 10),
    (100, 100): (10_847, 500, 5),
}


@pytest.mark.parametrize(("num_classes", "imbalance"), PUBLISHED)
def test_counts_are_the_published_ones(num_classes: int, imbalance: int) -> None:
    counts = long_tailed_counts(np.full(num_classes, 50_000 // num_classes), imbalance, "exponential")
    assert (counts.sum(), counts[0], counts[-1]) == PUBLISHED[num_classes, imbalance]
    assert (np.diff(counts) <= 0).all()
    step = long_tailed_counts(np.full(num_classes, 50_000 // num_classes), imbalance, "step").tolist()
    half, most = num_classes // 2, 50_000 // num_classes
    assert step == [most] * half + [int(most * (1 / imbalance))] * half


def test_the_counts_of_cifar_10_at_100() -> None:
    counts = long_tailed_counts(np.full(10, 5_000), 100, "exponential")
    assert counts.tolist() == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


def test_the_images_are_those_of_the_authors_code() -> None:
    labels = np.random.default_rng(1).permutation(np.arange(3_000) % 10)
    np.random.seed(0)  # as their loop draws: the images of each class shuffled in place, the first ones kept
    expected = []
    for label, count in enumerate(long_tailed_counts(np.full(10, 300), 20, "exponential")):
        indices = np.where(labels == label)[0]
        np.random.shuffle(indices)
        expected += indices[:count].tolist()
    assert long_tail(labels, np.arange(3_000), imbalance=20).tolist() == sorted(expected)


@pytest.mark.parametrize("kind", ["exponential", "step"])
@pytest.mark.parametrize("counts", [[5, 900, 40, 3], [1, 1, 1], [7, 7]])
def test_no_class_keeps_more_than_it_has_or_none(counts: list[int], kind: str) -> None:
    kept = long_tailed_counts(np.array(counts), 1000, kind)
    assert ((kept >= 1) & (kept <= counts)).all()


@pytest.fixture(scope="module")
def digits():
    return build_dataset("digits")


def data_of(config: Configuration, digits) -> DataModule:
    return DataModule(config, digits, (8, 8))


@pytest.mark.parametrize("select_on", ["valid", "test"])
def test_only_images_trained_on_are_left_out(quick: Callable, digits, select_on: str) -> None:
    changes = {"select_on": select_on, "label_noise": "0.2"}
    whole, tail = (
        data_of(quick(**changes, data_params=params), digits)
        for params in ("{}", "{imbalance: 10, imbalance_kind: step}")
    )
    assert set(tail.train_rows) < set(whole.train_rows)
    assert np.array_equal(tail.valid_rows, whole.valid_rows)
    clean = np.bincount(digits.train.labels[tail.train_rows])
    assert clean[:5].sum() > 9 * clean[5:].sum()
    assert set(tail.wrong_rows) <= set(tail.train_rows)
    assert len(tail.wrong_rows) == round(0.2 * len(tail.train_rows))
    assert tail.class_counts is not None
    assert sum(tail.class_counts) == len(tail.train_rows)
    assert tail.class_counts != tuple(clean)  # they count the labels that training sees


def test_seeds_share_the_images_where_nothing_is_held_out(quick: Callable, digits) -> None:
    one, other = (
        data_of(quick(select_on="test", data_params="{imbalance: 10}", seed=seed), digits).train_rows for seed in (0, 1)
    )
    assert np.array_equal(one, other)


def test_imbalance_is_part_of_a_run_s_identity(quick: Callable) -> None:
    plain, one, ten = (
        settings_of(quick(data_params=params)) for params in ("{}", "{imbalance: 1.0}", "{imbalance: 10}")
    )
    assert plain == one != ten
    assert ten["data_params.imbalance"] == 10


def test_mistakes_are_reported_together(quick: Callable) -> None:
    config = quick(data_params="{imbalance: 0.5, imbalance_kind: linear, imbalanse: 3}")
    with pytest.raises(ConfigError) as caught:
        check_parameters(config)
    text = str(caught.value)
    assert "data_params.imbalance: must be a number >= 1, got 0.5" in text
    assert "data_params.imbalance_kind: must be 'exponential' or 'step', got 'linear'" in text
    assert "data_params.imbalanse: unknown parameter; did you mean 'imbalance'?" in text


def test_the_check_shows_the_counts(quick: Callable) -> None:
    text = describe(prepare(quick(select_on="test", data_params="{imbalance: 100}")))
    assert "1 to 142 training images a class (imbalance: 100): 142, 86, 51, 30, 18, 11, 6, 4, 2, 1" in text


def test_texts_have_no_rare_classes(quick: Callable) -> None:
    texts = {"dataset": "made_up", "architecture": "lprnet_small", "loss_function": "ConnectionistTemporalLoss"}
    params = "{like: plates, num_classes: 3, imbalance: 10}"
    with pytest.raises(ConfigError, match=r"data_params.imbalance: is of classes, made_up holds sequences"):
        prepare(quick(**texts, data_params=params, convert_to_grayscale="false"))


def test_a_run_on_made_up_images_is_imbalanced_too(quick: Callable) -> None:
    config = quick(dataset="cifar10", smoke="true", data_params="{imbalance: 10, imbalance_kind: step}")
    assert config.data_params == {"like": "cifar10", "imbalance": 10, "imbalance_kind": "step"}
    assert set(KEPT_BY_SMOKE) == set(keyword_defaults(OF_EVERY_SET))
