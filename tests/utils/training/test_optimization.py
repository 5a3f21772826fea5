"""Optimizers and schedules by name, and the warm-up cosine with restarts by its formula."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from torch import nn

from utils.configuration.catalogue import optimizers, schedulers
from utils.training.optimization import STEPS_TRIED, build_optimizer, build_scheduler, try_out
from utils.training.schedules import CosineWarmupRestarts, factor_schedule
from utils.types import ConfigError

NEEDED = {
    "StepLR": {"step_size": 2},
    "MultiStepLR": {"milestones": [1, 3], "gamma": 0.1},
    "LambdaLR": {"lr_lambda": "cosine"},
    "MultiplicativeLR": {"lr_lambda": {1: 0.5}},
    "ExponentialLR": {"gamma": 0.9},
    "CosineAnnealingLR": {"T_max": 4},
    "CosineAnnealingWarmRestarts": {"T_0": 2},
    "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1, "cycle_momentum": False},
    "OneCycleLR": {"max_lr": 0.1},
    "SequentialLR": {"schedulers": [{"ConstantLR": {}}, {"ExponentialLR": {"gamma": 0.9}}], "milestones": [2]},
    "ChainedScheduler": {"schedulers": [{"ConstantLR": {}}, {"ExponentialLR": {"gamma": 0.9}}]},
    "CosineWarmupRestarts": {"period": 4, "warmup_epochs": 1},
}


def sgd(lr: float = 0.1) -> torch.optim.Optimizer:
    return build_optimizer("SGD", [nn.Parameter(torch.ones(2, 2))], lr=lr)


def rates(schedule: dict, steps: int) -> list[float]:
    optimizer = schedule["scheduler"].optimizer
    found = []
    for _ in range(steps):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule["scheduler"].step()
    return found


@pytest.mark.parametrize("name", optimizers())
def test_every_optimizer_by_name_lowers_a_loss(name):
    parameter = nn.Parameter(torch.full((4, 4), 2.0))
    params = {} if name in ("Adafactor", "AdafactorBigVision") else {"lr": 0.01}
    optimizer: Any = build_optimizer(name, [parameter], **params)

    def closure():
        optimizer.zero_grad()
        value = parameter.square().sum()
        value.backward()
        return value

    start = closure().item()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm's older optimizers call add_ in a way torch warns of
        for _ in range(30):
            optimizer.step(closure) if name == "LBFGS" else (closure(), optimizer.step())
    assert closure().item() < start


@pytest.mark.parametrize("name", schedulers())
def test_every_scheduler_by_name_steps(name):
    schedule = build_scheduler(name, sgd(), 5, 4, **NEEDED.get(name, {}))
    assert schedule is not None
    assert schedule["interval"] == ("step" if name in ("OneCycleLR", "CyclicLR", "CosineWarmupRestarts") else "epoch")
    if name == "ReduceLROnPlateau":
        schedule["scheduler"].step(1.0)
    else:
        assert all(0 <= rate <= 0.1 + 1e-9 for rate in rates(schedule, 12))


def test_no_scheduler_is_a_constant_learning_rate():
    assert build_scheduler(None, sgd(), 5, 4) is None


@pytest.mark.parametrize(
    ("params", "monitor", "mode"),
    [
        ({}, "valid/loss", "min"),
        ({"monitor": "valid/accuracy"}, "valid/accuracy", "max"),
        ({"mode": "max"}, "valid/loss", "max"),
    ],
)
def test_plateau_watches_the_loss_in_the_direction_of_its_monitor(params, monitor, mode):
    schedule = build_scheduler("ReduceLROnPlateau", sgd(), 5, 4, **params)
    assert schedule is not None
    assert (schedule["monitor"], schedule["scheduler"].mode) == (monitor, mode)


def test_one_cycle_ends_with_the_run():
    schedule = build_scheduler("OneCycleLR", sgd(), 5, 4, max_lr=0.1)
    assert schedule is not None
    found = rates(schedule, 20)
    assert found[-1] == min(found)


@pytest.mark.parametrize("step", [0, 3, 10, 14, 15, 49, 50, 51, 89, 130])
def test_cosine_with_warmup_and_restarts_follows_its_formula(step):
    schedule = build_scheduler(
        "CosineWarmupRestarts", sgd(), 5, 99, period=4, warmup_epochs=2, multiplier=2, decay=0.5, min_lr=0.01
    )
    assert schedule is not None
    epochs, peak, period = step / 5, 0.1, 4.0
    if epochs < 2:
        expected = peak * (0.01 + 0.99 * epochs / 2)
    else:
        epochs -= 2
        while epochs >= period:
            epochs, period, peak = epochs - period, period * 2, peak * 0.5
        expected = 0.01 + (peak - 0.01) * (1 + math.cos(math.pi * epochs / period)) / 2
    assert rates(schedule, step + 1)[-1] == pytest.approx(expected)


@pytest.mark.parametrize("warmup", ["first", "every"])
def test_warmup_within_periods_leaves_restarts_at_whole_periods(warmup):
    steps, lowest = 7, 0.001
    schedule = build_scheduler("CosineWarmupRestarts", sgd(), steps, 300, period=100, warmup=warmup, min_lr=lowest)
    assert schedule is not None
    expected = []
    for epoch in range(300):
        for step in range(steps):
            place, rise = (epoch % 100) * steps + step, 5 * steps if warmup == "every" or epoch < 100 else 0
            share = (place - rise) / (100 * steps - rise - 1)
            cosine = lowest + (0.1 - lowest) * (1 + math.cos(math.pi * share)) / 2
            expected.append(0.1 * (0.01 + 0.99 * place / rise) if place < rise else cosine)
    found = rates(schedule, 300 * steps)
    assert found == pytest.approx(expected)
    assert [found[epoch * steps - 1] for epoch in (100, 200, 300)] == pytest.approx([lowest] * 3)
    after_restart = 0.1 * 0.01 if warmup == "every" else 0.1
    assert [found[epoch * steps] for epoch in (100, 200)] == pytest.approx([after_restart] * 2)


def test_warmup_within_periods_grows_no_longer_with_them():
    params = {"period": 2, "multiplier": 2, "decay": 0.5, "warmup_epochs": 1, "warmup": "every"}
    schedule = build_scheduler("CosineWarmupRestarts", sgd(), 2, 6, **params)
    assert schedule is not None
    second = [0.05 * 0.01, 0.05 * 0.505, *(0.05 * (1 + math.cos(math.pi * step / 5)) / 2 for step in range(6))]
    assert rates(schedule, 12) == pytest.approx([0.1 * 0.01, 0.1 * 0.505, 0.1, 0.0, *second])


def test_a_single_step_behind_the_warmup_has_the_peak():
    schedule = build_scheduler("CosineWarmupRestarts", sgd(), 1, 4, period=2, warmup_epochs=1, warmup="every")
    assert schedule is not None
    assert rates(schedule, 4) == pytest.approx([0.001, 0.1, 0.001, 0.1])


@pytest.mark.parametrize("warmup", ["before", "first", "every"])
def test_schedule_goes_on_from_its_state(warmup):
    def build():
        return CosineWarmupRestarts(sgd(), steps_per_epoch=3, period=2, warmup_epochs=1, warmup=warmup)

    whole, first, second = build(), build(), build()
    expected = rates({"scheduler": whole}, 12)
    rates({"scheduler": first}, 5)
    state = first.state_dict()
    if warmup == "before":
        del state["warmup"]  # as checkpoints were written before there was a choice
    second.load_state_dict(state)
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    assert rates({"scheduler": second}, 7) == pytest.approx(expected[5:])


@pytest.mark.parametrize(
    ("given", "epochs"),
    [
        ({2: 0.5, 5: 0.1}, {0: 1.0, 1: 1.0, 2: 0.5, 4: 0.5, 5: 0.1, 99: 0.1}),
        ("linear", {0: 1.0, 5: 0.5, 10: 0.0, 12: 0.0}),
        ("cosine", {0: 1.0, 5: 0.5, 10: 0.0}),
        ("inverse_sqrt", {0: 1.0, 3: 0.5}),
    ],
)
def test_a_lambda_is_a_table_or_a_named_formula(given, epochs):
    factor = factor_schedule(given, 10)
    assert {epoch: factor(epoch) for epoch in epochs} == pytest.approx(epochs)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("LambdaLR", {"lr_lambda": "lambda epoch: 0.9"}, "lr_lambda must be a table"),
        ("StepLR", {}, "lr_scheduler_params.step_size: missing"),
        ("StepLR", {"step_sise": 1, "step_size": 1}, "unknown parameter; did you mean 'step_size'"),
        ("CosineWarmupRestarts", {"steps_per_epoch": 3}, "lr_scheduler_params.steps_per_epoch: unknown parameter"),
        ("CosineWarmupRestarts", {"period": 0}, "period must be > 0, got 0"),
        (
            "CosineWarmupRestarts",
            {"warmup": "each"},
            "lr_scheduler_params.warmup: must be 'before', 'first' or 'every'",
        ),
        ("CosineWarmupRestarts", {"period": 5, "warmup": "every"}, r"period must be > warmup_epochs \(5\), got 5"),
    ],
)
def test_wrong_parameters_of_schedulers_are_named(name, params, message):
    with pytest.raises(ConfigError, match=message):
        build_scheduler(name, sgd(), 5, 4, **params)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("AdamW", {"momentum": 0.9}, "optimizer_params.momentum: unknown parameter"),
        ("SGD", {"lr": -1}, "SGD refuses them: Invalid learning rate"),
        ("SGD", {"lr": "fast"}, "optimizer_params.lr: must be a number, got 'fast'"),
    ],
)
def test_wrong_parameters_of_optimizers_are_named(name, params, message):
    with pytest.raises(ConfigError, match=message):
        build_optimizer(name, [nn.Parameter(torch.ones(2, 2))], **params)


def test_a_schedule_is_tried_on_no_fewer_steps_than_a_run_of_one_epoch_has():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    schedule = build_scheduler("OneCycleLR", optimizer, STEPS_TRIED, 1, max_lr=0.1)
    assert schedule is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of a schedule that steps before its optimizer
        try_out(schedule, optimizer)
    assert schedule["scheduler"].last_epoch == STEPS_TRIED
