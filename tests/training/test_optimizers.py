"""Optimizers and schedules by name, and the warm-up cosine with restarts by its formula."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import pytest
import torch
from torch import nn

from evaluation.subject import open_subject
from runs.checkpoints import load_checkpoint
from training import building, runner
from training.learning_rates import STEPS_TRIED, build_scheduler, try_out
from training.names import optimizers, schedulers
from training.optimizers import assign, build_optimizer, build_optimizers
from training.schedules import CosineWarmupRestarts, factor_schedule
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

    try_out(None, build_optimizer(name, [nn.Parameter(torch.ones(2, 2))], **params))
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


STEPS = 5
COSINE = {"CosineWarmupRestarts": {"period": 4, "warmup_epochs": 0}}
CYCLE = {"OneCycleLR": {"max_lr": 0.3, "cycle_momentum": False}}
TRIANGLE = {"CyclicLR": {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 4, "cycle_momentum": False}}


def cosine(step: int) -> float:
    return 0.1 * (1 + math.cos(math.pi * (step / STEPS % 4) / 4)) / 2


def one_cycle(step: int, total: int) -> float:
    """OneCycleLR's rate with a peak of 0.3, at the step that it counts from its own start."""
    top, last = 0.3 * total - 1, total - 1
    start, end, share = (0.3 / 25, 0.3, step / top) if step <= top else (0.3, 0.3 / 25e4, (step - top) / (last - top))
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def triangle(step: int) -> float:
    return 0.01 + 0.19 * (1 - abs(step % 8 / 4 - 1))


def build_outer(name: str, *parts: dict, **params: Any) -> dict[str, Any]:
    schedule = build_scheduler(name, sgd(), STEPS, 8, schedulers=list(parts), **params)
    assert schedule is not None
    return schedule


@pytest.mark.parametrize(
    ("parts", "milestones", "expected"),
    [
        ([COSINE, CYCLE], [3], lambda step: cosine(step) if step < 15 else one_cycle(step - 15, 25)),
        ([CYCLE, COSINE], [3], lambda step: one_cycle(step, 15) if step < 15 else cosine(step - 15)),
        ([TRIANGLE, CYCLE], [2], lambda step: triangle(step) if step < 10 else one_cycle(step - 10, 30)),
        ([CYCLE, TRIANGLE], [2], lambda step: one_cycle(step, 10) if step < 10 else triangle(step - 10)),
        (
            [TRIANGLE, COSINE, CYCLE],
            [1, 6],
            lambda step: triangle(step) if step < 5 else cosine(step - 5) if step < 30 else one_cycle(step - 30, 10),
        ),
        ([CYCLE], [], lambda step: one_cycle(step, 40)),
    ],
)
def test_schedules_of_steps_follow_one_another_at_epochs(parts, milestones, expected):
    schedule = build_outer("SequentialLR", *parts, milestones=milestones)
    assert schedule["interval"] == "step"
    assert rates(schedule, 8 * STEPS) == pytest.approx([expected(step) for step in range(8 * STEPS)])


def test_schedules_of_epochs_follow_one_another_as_before():
    parts = {"LinearLR": {"start_factor": 0.5, "total_iters": 2}}, {"ExponentialLR": {"gamma": 0.5}}
    schedule = build_outer("SequentialLR", *parts, milestones=[2])
    assert schedule["interval"] == "epoch"
    assert rates(schedule, 5) == pytest.approx([0.05, 0.075, 0.1, 0.05, 0.025])


def test_a_chain_of_one_schedule_is_that_schedule():
    schedule = build_outer("ChainedScheduler", COSINE)
    assert schedule["interval"] == "step"
    assert rates(schedule, 40) == pytest.approx([cosine(step) for step in range(40)])


def test_the_first_of_several_schedules_keeps_the_momentum_of_the_optimizer():
    optimizer = build_optimizer("SGD", [nn.Parameter(torch.ones(2, 2))], lr=0.1, momentum=0.5)
    parts = [COSINE, {"OneCycleLR": {"max_lr": 0.3}}]
    schedule = build_scheduler("SequentialLR", optimizer, STEPS, 8, schedulers=parts, milestones=[3])
    assert schedule is not None
    momenta = []
    for _ in range(16):
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        schedule["scheduler"].step()
    assert momenta == [0.5] * 15 + [0.95]


def test_a_run_with_accumulated_batches_counts_the_steps_of_the_optimizer(quick):
    parts = "[{CosineWarmupRestarts: {period: 2, warmup_epochs: 0}}, {OneCycleLR: {max_lr: 0.3}}]"
    changes = {"optimizer_params.lr": "0.1", "batch_size": "300", "accumulate_batches": "2", "num_epochs": "5"}
    schedule = {"lr_scheduler": "SequentialLR", "lr_scheduler_params": f"{{schedulers: {parts}, milestones: [2]}}"}
    folder, _ = runner.train(quick(**changes, **schedule))
    steps = 3  # of 5 batches, two by two
    expected = [0.1, 0.05, *(one_cycle(epoch * steps, 3 * steps) for epoch in range(3))]
    assert [float(row["learning_rate"]) for row in folder.read_metrics()] == pytest.approx(expected)


@pytest.mark.parametrize("death", [1, 14, 15, 16, 33])
@pytest.mark.parametrize("parts", [[COSINE, CYCLE], [CYCLE, TRIANGLE], [TRIANGLE, COSINE]])
def test_schedules_that_follow_one_another_resume_where_they_were(parts, death):
    whole, first, second = (build_outer("SequentialLR", *parts, milestones=[3]) for _ in range(3))
    expected = rates(whole, 40)
    rates(first, death)
    second["scheduler"].load_state_dict(first["scheduler"].state_dict())
    second["scheduler"].optimizer.load_state_dict(first["scheduler"].optimizer.state_dict())
    assert rates(second, 40 - death) == expected[death:]


LINEAR = {"LinearLR": {}}


@pytest.mark.parametrize(
    ("name", "parts", "milestones", "message"),
    [
        ("SequentialLR", [LINEAR, COSINE], [2], r"CosineWarmupRestarts counts optimizer steps, LinearLR epochs"),
        ("ChainedScheduler", [LINEAR, CYCLE], None, r"OneCycleLR counts optimizer steps, LinearLR epochs"),
        ("ChainedScheduler", [COSINE, CYCLE], None, r"CosineWarmupRestarts sets the learning rate whatever it was"),
        ("SequentialLR", [CYCLE, CYCLE], [2], r"can hold one OneCycleLR only"),
        ("SequentialLR", [LINEAR, {"ReduceLROnPlateau": {}}], [2], r"ReduceLROnPlateau: cannot stand inside another"),
        ("ChainedScheduler", [{"SequentialLR": {}}], None, r"SequentialLR: cannot stand inside another"),
        ("ChainedScheduler", [{"LinaerLR": {}}], None, r"LinaerLR: unknown schedule; did you mean 'LinearLR'"),
        ("ChainedScheduler", [{3: {}}], None, r"3: unknown schedule"),
        ("ChainedScheduler", [{"LinearLR": 3}], None, r"LinearLR: must be a mapping of parameters, got 3"),
        ("ChainedScheduler", [{"LinearLR": {"factor": 3}}], None, r"LinearLR.factor: unknown parameter"),
        ("ChainedScheduler", ["LinearLR"], None, r"must be a list of {name: parameters}, got \['LinearLR'\]"),
        ("ChainedScheduler", [], None, r"must be a list of {name: parameters}, got \[\]"),
    ],
)
def test_schedules_that_cannot_stand_together_are_refused(name, parts, milestones, message):
    params = {} if milestones is None else {"milestones": milestones}
    with pytest.raises(ConfigError, match=rf"^lr_scheduler_params\.schedulers.*{message}"):
        build_scheduler(name, sgd(), STEPS, 8, schedulers=parts, **params)


@pytest.mark.parametrize("milestones", [[], [2, 4], [0]])
def test_milestones_are_one_fewer_than_the_schedules(milestones):
    message = r"lr_scheduler_params\.milestones: 2 schedules need 1, rising, each an epoch from 1 on, got "
    with pytest.raises(ConfigError, match=message):
        build_outer("SequentialLR", COSINE, CYCLE, milestones=milestones)


def test_one_cycle_of_epochs_gets_the_steps_of_an_epoch():
    schedule = build_scheduler("OneCycleLR", sgd(), 5, 4, max_lr=0.3, epochs=3, cycle_momentum=False)
    assert schedule is not None
    assert rates(schedule, 15) == pytest.approx([one_cycle(step, 15) for step in range(15)])


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_a_learning_rate_beyond_float32_is_refused_before_training(name):
    optimizer = build_optimizer(name, [nn.Parameter(torch.ones(2, 2))], lr=1e300)
    with pytest.raises(
        ConfigError, match=f"optimizer_params: {name} rejects these parameters: value cannot be converted"
    ):
        try_out(None, optimizer)


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


def test_a_share_of_the_steps_that_is_one_step_is_refused_in_plain_words():
    message = "lr_scheduler_params: OneCycleLR cannot divide 5 steps so: try more epochs, or another share of them"
    with pytest.raises(ConfigError, match=f"^{message}$"):
        build_scheduler("OneCycleLR", sgd(), 5, 1, max_lr=0.1, pct_start=0.2)


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


# ------------------------------------------------------------------------------------------------ groups of parameters


def weights() -> dict[str, nn.Parameter]:
    torch.manual_seed(0)
    shapes = {"stages.0.weight": (4, 2, 3, 3), "stages.0.bias": (4,), "classifier.weight": (3, 4)}
    return {name: nn.Parameter(torch.randn(shape)) for name, shape in shapes.items()}


def grouped(quick: Any, trained: dict[str, nn.Parameter], groups: str, **changes: str) -> torch.optim.Optimizer:
    plain = {"optimizer": "AdamW", "optimizer_params": "{lr: 0.1, weight_decay: 0}", "optimizer_groups": groups}
    config = quick(**plain | changes)
    return build_optimizers(config, assign(trained, config.optimizer_groups))


def take_steps(trained: dict[str, nn.Parameter], *optimizers: torch.optim.Optimizer, numbers: Any = (1, 2)) -> None:
    """Take a step by gradients that the number of the step decides, for each number."""
    for number in numbers:
        generator = torch.Generator().manual_seed(number)
        for weight in trained.values():
            weight.grad = torch.randn(weight.shape, generator=generator)
        for optimizer in optimizers:
            optimizer.step()


GROUPS = "{head: {params: classifier.*, optimizer: SGD, optimizer_params: {lr: 2, momentum: 0.5}}, \
biases: {params: ['*.bias', classifier.*], optimizer_params: {lr: 0.3}}}"


def test_each_parameter_trains_as_the_first_group_that_names_it(quick):
    ours, theirs = weights(), weights()
    optimizer = grouped(quick, ours, GROUPS)
    alone = [
        torch.optim.AdamW([theirs["stages.0.weight"]], lr=0.1, weight_decay=0),
        torch.optim.SGD([theirs["classifier.weight"]], lr=2, momentum=0.5),
        torch.optim.AdamW([theirs["stages.0.bias"]], lr=0.3, weight_decay=0),
    ]
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 2, 0.3]
    take_steps(ours, optimizer)
    take_steps(theirs, *alone)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_groups_resume_and_follow_a_schedule_each_from_its_own_learning_rate(quick):
    whole, resumed = weights(), weights()
    cycle = {"pct_start": 0.0, "anneal_strategy": "linear", "cycle_momentum": False, "final_div_factor": math.inf}
    optimizer = grouped(quick, whole, GROUPS, lookahead="{k: 2}")
    schedule = build_scheduler("OneCycleLR", optimizer, 5, 1, **cycle)
    assert schedule is not None
    found = []
    for number in range(3):
        take_steps(whole, optimizer, numbers=[number])
        schedule["scheduler"].step()
        found.append([group["lr"] for group in optimizer.param_groups])
    assert found[2] == pytest.approx([lr * found[2][0] / 0.1 for lr in (0.1, 2, 0.3)])
    assert found[0][0] > found[1][0] > found[2][0] > 0
    saved = copy.deepcopy(optimizer.state_dict())
    for name, weight in resumed.items():
        weight.data.copy_(whole[name])
    again = grouped(quick, resumed, GROUPS, lookahead="{k: 2}")
    again.load_state_dict(saved)
    assert [group["lr"] for group in again.param_groups] == found[2]
    take_steps(whole, optimizer, numbers=[3, 4])
    take_steps(resumed, again, numbers=[3, 4])
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_look_ahead_returns_to_half_way_every_k_steps(quick):
    ours, theirs = weights(), weights()
    optimizer = grouped(quick, ours, "{}", optimizer="SGD", lookahead="{k: 2, alpha: 0.25}")
    plain = build_optimizer("SGD", theirs.values(), lr=0.1)
    take_steps(ours, optimizer)  # the first return is where the slow weights begin
    take_steps(theirs, plain)
    slow = {name: weight.detach().clone() for name, weight in theirs.items()}
    take_steps(ours, optimizer, numbers=[3, 4])
    take_steps(theirs, plain, numbers=[3, 4])
    for name, weight in ours.items():
        torch.testing.assert_close(weight.data, slow[name] + 0.25 * (theirs[name].data - slow[name]))


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        (
            "{a: {params: x.*}}",
            r"optimizer_groups\.a\.params: match no parameter that trains and is not in a group above; there are",
        ),
        ("{a: {params: '*'}, b: {params: '*.bias'}}", r"optimizer_groups\.b\.params: match no parameter"),
        (
            "{a: {params: '*', optimizer: SGDW, optimizer_params: {lrr: 1}}}",
            r"optimizer_groups\.a\.optimizer_params\.lrr: unknown parameter; did you mean 'lr'\?",
        ),
        (
            "{a: {params: '*', optimizer: SDG}}",
            r"optimizer_groups\.a\.optimizer: unknown optimizer 'SDG'; did you mean",
        ),
        ("{a: {params: '*', epochs: 1}}", r"optimizer_groups: no parameter trains after epoch 1 of 2"),
    ],
)
def test_groups_that_cannot_be_are_refused(quick, groups, text):
    with pytest.raises(ConfigError, match=text):
        grouped(quick, weights(), groups)


def test_an_optimizer_that_needs_a_closure_is_refused_in_a_group(quick):
    groups = "{head: {params: classifier.*, optimizer: LBFGS}}"
    with pytest.raises(ConfigError, match=r"optimizer_params: AdamW, LBFGS rejects .* missing .* 'closure'"):
        building.prepare(quick(optimizer_groups=groups))


def test_mistakes_in_groups_have_their_places(quick):
    with pytest.raises(
        ConfigError, match=r"command line: optimizer_groups\.a\.parms: unknown key; did you mean 'params'"
    ):
        quick(optimizer_groups="{a: {parms: '*'}}")
    with pytest.raises(
        ConfigError, match=r"command line: optimizer_groups\.a\.params: match no parameter .*conv1\.0\.weight"
    ):
        building.prepare(quick(optimizer_groups="{a: {params: nothing.*}}"))
    with pytest.raises(ConfigError, match=r"command line: lookahead\.alpha_: unknown"):
        building.prepare(quick(lookahead="{alpha_: 1}"))


def test_muon_takes_convolutions(quick):
    trained = weights()
    before = {name: weight.detach().clone() for name, weight in trained.items()}
    optimizer = build_optimizer("Muon", trained.values(), lr=0.1, adjust_lr_fn="original")
    take_steps(trained, optimizer, numbers=[1])
    change = (trained["stages.0.weight"] - before["stages.0.weight"]).detach().flatten(1) / 0.1
    values = torch.linalg.svdvals(change)  # all near 1: the step is orthogonal
    assert 0.5 < values.min() <= values.max() < 1.4


@pytest.mark.usefixtures("plain_log", "quiet_runs")
def test_a_group_is_frozen_after_its_epochs_and_the_rest_is_not(quick):
    groups = "{early: {params: [conv1.*, bn1.*], epochs: 1}, head: {params: classifier.*, optimizer: SGD}}"
    folder, _ = runner.train(quick(optimizer_groups=groups, keep_epochs="all", classes="[0,1,2]"))
    first, second = (load_checkpoint(folder.kept(epoch))["state_dict"] for epoch in (0, 1))
    changed = {name for name in first if not torch.equal(first[name], second[name])}
    trained = dict(open_subject(folder.path).classifier.named_parameters())
    frozen = {name for name in trained if name.startswith(("network.conv1.", "network.bn1."))}
    assert len(frozen) > 2
    assert trained.keys() & changed == trained.keys() - frozen
    assert "network.bn1.running_mean" in changed
