"""Whatever parameters are given to whatever is named, it is built, or refused by the key: never a traceback."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from fuzzing import cases, outcome, within
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from torchvision.transforms import v2

from configuration.schema import Configuration
from datasets import DATASETS, MIXINGS, TRANSFORMS
from losses import LOSSES, TORCH_LOSSES
from training import schedules
from training.building import prepare
from training.checks import check_parameters
from training.names import optimizers, schedulers, tensor_transforms, transforms
from utils.lookup import keywords, load_entry


def scheduler_class(name: str) -> Any:
    return getattr(schedules, name, None) or getattr(torch.optim.lr_scheduler, name)


def optimizer_class(name: str) -> Any:
    import timm.optim

    return getattr(torch.optim, name, None) or getattr(timm.optim, name)


def transform_class(name: str) -> Any:
    return load_entry(TRANSFORMS[name]) if name in TRANSFORMS else getattr(v2, name)


def loss_class(name: str) -> Any:
    return load_entry(LOSSES[name]) if name in LOSSES else getattr(torch.nn, name)


WORDS = [
    "",
    "mean",
    "sum",
    "none",
    "min",
    "random",
    "cosine",
    "bilinear",
    "valid/loss",
    "\x1b[31m",
    "é",
    "CrossEntropyLoss",
]
NUMBERS = st.one_of(st.integers(-2, 10), st.floats(-1, 2), st.sampled_from([float("nan"), float("inf"), 1e300, 2**62]))
SIMPLE = st.one_of(st.none(), st.booleans(), NUMBERS, st.sampled_from(WORDS))
VALUES = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.sampled_from(["ColorJitter", "RandomErasing", "StepLR", "LinearLR", "name", "lr", "formula", "p"]),
                st.integers(-1, 3),
            ),
            inner,
            max_size=2,
        ),
    ),
    max_leaves=4,
)


@st.composite
def params_of(draw: st.DrawFn, constructor: Any, values: st.SearchStrategy[Any] = VALUES) -> dict[str, Any]:
    """Draw parameters that a constructor has, or a few that it has not."""
    names = [*sorted(keywords(constructor) - {"self", "args", "kwargs"}), "alhpa", "task", "optimizer"]
    return draw(st.dictionaries(st.sampled_from(names), values, max_size=4))


@st.composite
def named(draw: st.DrawFn, names: list[str], find: Callable[[str], Any]) -> tuple[str, dict[str, Any]]:
    name = draw(st.sampled_from(names))
    return name, draw(params_of(find(name)))


@pytest.fixture
def config(quick: Callable[..., Configuration]) -> Configuration:
    return quick()


def check(config: Configuration, *keys: str, **changes: Any) -> None:
    """See that parameters are taken, or refused in lines that begin with the place and one of the keys."""
    with within(seconds=5):
        _, told = outcome(lambda: check_parameters(structs.replace(config, **changes)))
    for line in told.split("\n") if told else []:
        assert re.match(rf"(command line|configuration): ({'|'.join(keys)})\b", line), line


@cases(normal=60, torture=3_000)
@given(loss=named([*LOSSES, *TORCH_LOSSES], loss_class))
def test_any_parameters_of_a_loss_are_taken_or_refused_by_name(config: Configuration, loss) -> None:
    check(config, "loss_params", "loss_function", loss_function=loss[0], loss_params=loss[1])


@cases(normal=60, torture=3_000)
@given(optimizer=named(list(optimizers()), optimizer_class))
def test_any_parameters_of_an_optimizer_are_taken_or_refused_by_name(config: Configuration, optimizer) -> None:
    check(config, "optimizer_params", optimizer=optimizer[0], optimizer_params=optimizer[1])


@cases(normal=60, torture=3_000)
@given(scheduler=named(list(schedulers()), scheduler_class))
def test_any_parameters_of_a_scheduler_are_taken_or_refused_by_name(config: Configuration, scheduler) -> None:
    check(config, "lr_scheduler_params", lr_scheduler=scheduler[0], lr_scheduler_params=scheduler[1])


@cases(normal=60, torture=3_000)
@given(
    chain=st.lists(named(list(transforms()), transform_class), max_size=3).map(dict),
    tensors=st.lists(named(list(tensor_transforms()), transform_class), max_size=3).map(dict),
)
def test_any_parameters_of_transforms_are_taken_or_refused_by_name(config: Configuration, chain, tensors) -> None:
    keys = ("image_augmentations", "tensor_augmentations")
    check(config, *keys, image_augmentations=chain, tensor_augmentations=tensors)


@cases(normal=30, torture=1_000)
@given(
    mixing=named(list(MIXINGS), lambda name: load_entry(MIXINGS[name])),
    data=named(list(DATASETS), lambda name: load_entry(DATASETS[name])),
)
def test_any_parameters_of_a_mixing_and_a_data_set_are_taken_or_refused_by_name(
    config: Configuration, mixing, data
) -> None:
    changes = {"mixing": mixing[0], "mixing_params": mixing[1], "dataset": data[0], "data_params": data[1]}
    check(config, "mixing_params", "data_params", "task", **changes)


SMALL = st.one_of(st.none(), st.booleans(), st.integers(-1, 4), st.floats(-1, 2), st.sampled_from(WORDS))


@cases(normal=6, torture=100)
@given(
    loss=named([*LOSSES, *TORCH_LOSSES], loss_class),
    chain=st.lists(named(list(transforms()), transform_class), max_size=2).map(dict),
    tensors=st.lists(named(list(tensor_transforms()), transform_class), max_size=2).map(dict),
    network=st.sampled_from(["test_resnet"]),
    more=st.dictionaries(st.sampled_from(["drop_path_rate", "width", "depth", "dropout", "name"]), SMALL, max_size=1),
)
def test_any_parameters_of_a_run_make_it_ready_or_are_refused(
    config: Configuration, loss, chain, tensors, network, more
) -> None:
    changes: dict[str, Any] = {"loss_function": loss[0], "loss_params": loss[1], "architecture": network}
    changes |= {"architecture_params": more, "augment_images": bool(chain), "augment_tensors": bool(tensors)}
    changes |= {"image_augmentations": chain, "tensor_augmentations": tensors}
    with within(seconds=30, silent=False):
        ready, told = outcome(lambda: prepare(structs.replace(config, **changes)))
    assert (ready is None) == (told is not None)
    for line in told.split("\n") if told else []:
        assert re.search(r"\b(loss_params|loss_function|architecture|image_augmentations|tensor_augmentations)", line)
