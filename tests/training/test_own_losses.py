"""How mistakes in a loss that somebody writes are reported: by what is missing, with the loss's file and line."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import losses
from losses.base import ClassificationLoss
from losses.contract import Task
from training import building
from training.losses import build_loss, check_loss_name
from utils.lookup import Entry
from utils.types import ConfigError


class Plain(nn.Module):
    def forward(self, scores: Tensor, target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(scores, target)


def function(task: Task | None = None) -> nn.Module:
    return Plain()


class OwnNames(ClassificationLoss):
    """Takes names of the contract for parameters of its own."""

    def __init__(self, task: Task | None = None, **values: Any) -> None:
        super().__init__(task)
        for name, value in values.items():
            setattr(self, name, value)


class NeedsTask(ClassificationLoss):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.register_buffer("counts", torch.zeros(task.num_classes))


class Unannotated(ClassificationLoss):
    def __init__(self, task=None, epsilon=1, scale=1.0, name="mean", quiet=False, rest=None):
        super().__init__(task)
        self.epsilon = epsilon


class Refusing(ClassificationLoss):
    def __init__(self, task: Task | None = None, *, scale: float = 1.0) -> None:
        super().__init__(task)
        if scale < 0:
            raise ValueError(f"scale must be >= 0, got {scale}")
        self.gama.clear()  # type: ignore


class Unreduced(ClassificationLoss):
    def forward(self, scores: Tensor, target: Any) -> Tensor:
        return nn.functional.cross_entropy(scores, target, reduction="none")


class Float(ClassificationLoss):
    def forward(self, scores: Tensor, target: Any) -> Any:
        return nn.functional.cross_entropy(scores.detach(), target).item()


class Detached(ClassificationLoss):
    def forward(self, scores: Tensor, target: Any) -> Tensor:
        return nn.functional.cross_entropy(scores.detach(), target)


class Unreadable(ClassificationLoss):
    def __init__(self, task: Task | None = None, *, scale: float = 1.0) -> None:
        super().__init__(task)
        self.scale = int("one") * scale


class Misspelt(ClassificationLoss):
    def forward(self, scores: Tensor, target: Any) -> Any:
        return self.gama + nn.functional.cross_entropy(scores, target)  # type: ignore


@pytest.fixture(autouse=True)
def of_the_table(monkeypatch):
    for loss in (
        Plain,
        function,
        OwnNames,
        NeedsTask,
        Unannotated,
        Refusing,
        Unreduced,
        Float,
        Detached,
        Unreadable,
        Misspelt,
    ):
        monkeypatch.setitem(losses.LOSSES, loss.__name__, Entry(f"{__name__}:{loss.__name__}", "of a test"))


HERE = r"loss_function: tests/training/test_own_losses\.py:\d+: "


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("Plain", {}, r"Plain must be a subclass of losses\.base\.ClassificationLoss"),
        ("function", {}, r"function must be a subclass of losses\.base\.ClassificationLoss"),
        ("OwnNames", {"kind": "typos"}, r"OwnNames\.kind must be image or sequence: it belongs to the contract"),
        ("OwnNames", {"views": 0.5}, r"OwnNames\.views must be a whole number >= 1: it belongs"),
        ("OwnNames", {"repeats": 0}, r"OwnNames\.repeats must be a whole number >= 1"),
        ("OwnNames", {"stages": "deep"}, r"OwnNames\.stages must be a tuple of whole numbers"),
        ("OwnNames", {"sampling": "often"}, r"OwnNames\.sampling must be shuffle or repeated or class_balanced"),
        ("OwnNames", {"calibrated": 2}, r"OwnNames\.calibrated must be true or false"),
        ("OwnNames", {"confidence": 0.9}, r"OwnNames\.confidence must be a method"),
        ("NeedsTask", {}, r"NeedsTask must be built without a task, too: .* 'NoneType' object has no attribute"),
    ],
)
def test_a_loss_outside_the_contract_is_refused_with_its_place(name, params, message):
    with pytest.raises(ConfigError, match=f"^{HERE}{message}"):
        build_loss(name, None, **params)


def test_a_loss_without_sample_losses_ends_with_its_name():
    with pytest.raises(NotImplementedError, match=r"^OwnNames defines no sample_losses$"):
        build_loss("OwnNames", None)(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64))


def test_all_names_that_a_loss_takes_from_the_contract_are_named_at_once():
    with pytest.raises(ConfigError) as error:
        build_loss("OwnNames", None, kind="typos", views=-1)
    assert re.findall(r"OwnNames\.(\w+) must", str(error.value)) == ["kind", "views"]


def test_a_loss_that_has_its_task_is_built():
    loss = build_loss("NeedsTask", Task(7, 10, nn.Linear(3, 7)))
    assert loss.counts.shape == (7,)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"epsilon": "abc"}, "loss_params.epsilon: must be a number, got 'abc'"),
        ({"scale": True}, "loss_params.scale: must be a number, got True"),
        ({"name": 3}, "loss_params.name: must be a text, got 3"),
        ({"quiet": 1}, "loss_params.quiet: must be true or false, got 1"),
    ],
)
def test_a_parameter_without_annotation_has_the_type_of_its_default(params, message):
    with pytest.raises(ConfigError, match=f"^{message}$"):
        build_loss("Unannotated", None, **params)


def test_a_whole_number_as_default_takes_any_number_and_none_takes_anything():
    loss: Any = build_loss("Unannotated", None, epsilon=0.5, rest=[1])
    assert loss.epsilon == 0.5


def test_what_a_constructor_refuses_is_a_mistake_and_all_else_a_bug():
    with pytest.raises(ConfigError, match=r"^loss_params: Refusing refuses them: scale must be >= 0, got -1.0$"):
        build_loss("Refusing", None, scale=-1.0)
    with pytest.raises(AttributeError, match="'Refusing' object has no attribute 'gama'"):
        build_loss("Refusing", None, scale=1.0)
    with pytest.raises(ValueError, match=r"^invalid literal for int\(\)"):  # of no parameter
        build_loss("Unreadable")


@pytest.mark.usefixtures("plain_log")
def test_a_bug_in_a_loss_is_no_mistake_of_the_users(quick):
    with pytest.raises(AttributeError, match="'Misspelt' object has no attribute 'gama'"):
        building.prepare(quick(loss_function="Misspelt"))


@pytest.mark.usefixtures("plain_log")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Unreduced", r"must return one number, the mean over the batch, got the shape \[2\]"),
        ("Float", "must return a tensor of one number, got a float"),
        ("Detached", "must return a number with a gradient: none leads from it to the scores"),
    ],
)
def test_a_loss_that_cannot_be_minimised_is_named_with_its_line(quick, name, message):
    with pytest.raises(ConfigError, match=f"^command line: {HERE}{name}: forward {message}"):
        building.prepare(quick(loss_function=name))


def test_a_loss_whose_line_is_missing_is_found_by_its_file(monkeypatch, tmp_path):
    (tmp_path / "quartic.py").write_text(
        "class QuarticFrame:\n    pass\n\n\nclass QuarticLoss(QuarticFrame):\n    pass\n"
    )
    monkeypatch.setattr(losses, "__file__", str(tmp_path / "__init__.py"))
    line = '"QuarticLoss": Entry("losses.quartic:QuarticLoss", "what it is, in one line")'
    expected = f"unknown loss 'QuarticLoss'; losses/quartic.py defines it: add {line} to LOSSES in losses/__init__.py"
    assert check_loss_name("QuarticLoss") == expected
    assert "defines it" not in str(check_loss_name("QuarticFrame"))  # a frame of other losses
    assert "did you mean" not in str(check_loss_name("Quartic"))


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("CrossEntropyLoss", {"label_smoothing": 2.0}, "label_smoothing must be between 0.0 and 1.0"),
        ("CrossEntropyLoss", {"weight": {"a": 1}}, "CrossEntropyLoss refuses them"),
        ("SmoothL1Loss", {"beta": -1.0}, "SmoothL1Loss refuses them"),
    ],
)
def test_what_torch_refuses_only_when_it_computes_is_refused_when_it_is_built(name, params, message):
    with pytest.raises(ConfigError, match=f"^loss_params: .*{message}"):
        build_loss(name, None, **params)
