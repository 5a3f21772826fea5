"""Laws that every loss by name keeps."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from cases import (
    K,
    N,
    all_alike,
    batch_of,
    classes_of,
    every_label,
    likeliest,
    make,
    outputs_of,
    pick,
    samples,
    trained,
)
from torch import nn
from torch.autograd import gradcheck

from losses import LOSSES, NOT_CLASSIFICATION, TORCH_LOSSES
from losses.base import ClassificationLoss
from losses.contract import REJECTED, Sequences
from training.losses import build_loss
from utils.lookup import Entry, class_names, load_entry
from utils.types import ConfigError

DISTANCES = {"HuberLoss", "L1Loss", "SmoothL1Loss"}  # of scores to the one-hot label: flat beyond 0 and 1
OVERFLOWING = {"PoissonNLLLoss", "SoftMarginLoss"}  # torch computes exp(score) as it stands
BY_GAPS = {"DualFocalLoss"}  # a label costs little where another class scores nearly as much below it
CONSTANT_WEIGHTS = {"CircleLoss"}  # always: tests/losses/test_cosine_losses.py has its gradient
SOFTENING = {"LabelSmoothingCrossEntropy", "TeacherFreeDistillationLoss"}  # the posterior of a label that was softened
TRAINING_ONLY: dict[str, dict[str, Any]] = {  # what these do in training and not in judging, switched off
    "AdaFaceLoss": {"margin": 0.0},
    "AngularSoftmaxLoss": {"margin": 1},
    "CenterLoss": {"weight": 0.0},
    "DataDistortionDistillationLoss": {"weight": 0.0, "mmd_weight": 0.0},
    "DisturbLabelLoss": {"alpha": 0.0},
    "EarlyLearningRegularizationLoss": {"lambda_": 0.0},
    "LargeMarginSoftmaxLoss": {"margin": 1},
    "LossTransform": {"lambda_": 0.0},
    "MDCALoss": {"beta": 0.0},
    "OnlineLabelSmoothingLoss": {"alpha": 1.0},
    "PairwiseConfusionLoss": {"weight": 0.0},
    "SingleLabelSmoothingLoss": {"alpha": 1.0},
    "SoftMarginSoftmaxLoss": {"margin": 0.0},
    "SupervisedContrastiveLoss": {"weight": 0.0},
    "TripletLoss": {"weight": 0.0},
}
STOPPED_GRADIENT: dict[str, dict[str, Any]] = {  # what is held constant has no derivative to compare with
    "BeYourOwnTeacherLoss": {"alpha": 0.0},
    "EarlyLearningRegularizationLoss": {"beta": 1.0},
    "LossTransform": {"detach_mean": False},
    "SeesawLoss": {"q": 0.0},
}
NAMES = [*LOSSES, *TORCH_LOSSES]
WITH_STATE: list[tuple[str, dict[str, Any]]] = [
    ("BeYourOwnTeacherLoss", {"label_loss": "OnlineLabelSmoothingLoss"}),
    ("OnlineLabelSmoothingLoss", {"update_every": 2}),
    ("PairwiseConfusionLoss", {"start_epoch": 2}),
]


@pytest.fixture(params=NAMES)
def name(request) -> str:
    return request.param


def judging(name: str, *args: Any) -> ClassificationLoss:
    return make(name, *args).eval()


def test_loss_is_a_finite_scalar_with_finite_gradients(name):
    scores, target = samples(name)
    value = make(name)(scores.requires_grad_(), target)
    value.backward()
    assert value.ndim == 0
    assert value.isfinite()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert scores.grad.abs().sum() > 0


def test_terms_sum_to_what_forward_judges(name):
    if name == "BeYourOwnTeacherLoss":
        pytest.skip(f"{name} always trains its shallow classifiers too")
    loss, (scores, target) = make(name, **TRAINING_ONLY.get(name, {})), samples(name)
    torch.testing.assert_close(trained(loss, scores, target), loss(scores, target), rtol=1e-6, atol=0)


@pytest.mark.parametrize("magnitude", [1e4, -1e4])
def test_large_scores_stay_finite(name, magnitude):
    if name in OVERFLOWING:
        pytest.skip(f"torch.nn.{name} overflows by its definition")
    scores, target = samples(name)
    scores = (scores * magnitude).requires_grad_()
    value = make(name)(scores, target)
    value.backward()
    assert value.isfinite()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_batch_is_the_mean_of_its_samples(name):
    loss, (scores, target) = judging(name), samples(name)
    single = torch.stack([loss(scores[i : i + 1], pick(target, slice(i, i + 1))) for i in range(N)])
    torch.testing.assert_close(loss(scores, target), single.mean())


def test_repeated_classes_all_count(name):
    loss, (scores, target) = judging(name), samples(name)
    target = all_alike(target)
    single = torch.stack([loss(scores[i : i + 1], pick(target, slice(i, i + 1))) for i in range(N)])
    torch.testing.assert_close(loss(scores, target), single.mean())


def test_hard_labels_equal_one_hot_ones(name):
    loss, (scores, target) = judging(name), samples(name)
    if not loss.soft_targets:
        pytest.skip(f"{name} takes no soft labels")
    one_hot = nn.functional.one_hot(target, classes_of(name)).float()
    torch.testing.assert_close(loss(scores, one_hot), loss(scores, target))


def test_soft_labels_are_linear_between_hard_ones(name):
    loss, (scores, target) = judging(name), samples(name)
    if not loss.soft_targets or name in {"KLDivLoss", "MSELoss", *DISTANCES}:
        pytest.skip(f"{name} is not linear in the label")
    classes = classes_of(name)
    other = (target + 1) % classes
    mixed = 0.3 * nn.functional.one_hot(target, classes) + 0.7 * nn.functional.one_hot(other, classes)
    torch.testing.assert_close(loss(scores, mixed), 0.3 * loss(scores, target) + 0.7 * loss(scores, other))


def test_probabilities_sum_to_one(name):
    loss, (scores, _) = make(name), samples(name)
    log_p = loss.log_probabilities(scores)
    assert log_p.shape == (*scores.shape[:-1], classes_of(name) + loss.num_blanks)
    torch.testing.assert_close(log_p.exp().sum(dim=-1), torch.ones(scores.shape[:-1]))


def test_calibrated_losses_are_least_where_probabilities_are_the_labels(name):
    loss = judging(name).double()
    if not (loss.calibrated and loss.soft_targets) or name in SOFTENING:
        pytest.skip(f"{name} does not claim it")
    scores = samples(name, dtype=torch.float64)[0].requires_grad_()
    q = loss.log_probabilities(scores.detach()).exp()
    loss(scores, q).backward()
    torch.testing.assert_close(scores.grad, torch.zeros_like(scores))


def test_prediction_is_the_likeliest_class(name):
    loss, (scores, _) = make(name), samples(name)
    prediction = loss.predict(scores)
    assert prediction.dtype == torch.int64
    assert torch.equal(prediction, likeliest(loss.log_probabilities(scores)))


def test_what_is_rejected_is_less_sure_than_all_that_is_not(name):
    loss, (scores, _) = make(name), samples(name)
    sure, rejected = loss.confidence(scores), loss.predict(scores) == REJECTED
    assert sure.shape == (N,)
    assert sure.isfinite().all()
    if rejected.ndim == 1 and rejected.any() and not rejected.all():
        assert sure[rejected].max() < sure[~rejected].min()


def test_the_label_that_costs_least_is_predicted(name):
    if name in DISTANCES | BY_GAPS:
        pytest.skip(f"{name} ties between labels whose scores exceed 1, or judges by the gap to the next class")
    loss, (scores, _) = judging(name), samples(name)
    if loss.kind == "sequence":  # few steps, and scores so far apart that the likeliest alignment is the likeliest text
        scores = scores.mean() + 30 * (scores[:, :2] - scores.mean())
    labels = every_label(name, classes_of(name), steps=2)
    costs = torch.stack([torch.stack([loss(scores[i : i + 1], k) for k in labels]) for i in range(N)])
    cheapest = [labels[int(place)] for place in costs.argmin(dim=-1)]
    padded = [label.padded() if isinstance(label, Sequences) else label for label in cheapest]
    assert torch.equal(torch.cat(padded), loss.predict(scores))


@pytest.mark.parametrize("classes", [2, 3])
def test_gradient_is_the_derivative(name, classes):
    scores, target = samples(name, classes, torch.float64, 4)
    loss = judging(name, classes).double()
    assert gradcheck(lambda s: loss(s, target), (scores.requires_grad_(),))


def test_many_classes_and_one_sample(name):
    scores, target = samples(name, 21_841, size=1)
    assert make(name, 21_841)(scores, target).isfinite()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_scores_that_were_half_precision_are_judged_as_float32(name, dtype):
    loss, (scores, target) = judging(name), samples(name)
    rounded = scores.to(dtype).float()
    assert loss(rounded, target).dtype == torch.float32
    torch.testing.assert_close(loss(rounded, target), loss.double()(rounded.double(), target).float())


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_scores_give_float32_losses(name, dtype):
    loss, (scores, target) = judging(name), samples(name)
    scores = scores.to(dtype)
    terms = loss.terms(outputs_of(loss, scores), batch_of(target, loss.views))
    assert {term.dtype for term in terms.values()} == {torch.float32}
    assert torch.equal(loss(scores, target), loss(scores.float(), target))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("soft", [False, True])
def test_large_scores_stay_finite_in_training(name, soft):
    loss, (scores, target) = make(name), samples(name)
    if soft and loss.kind != "image":
        pytest.skip(f"{name} judges {loss.kind}s, which have no soft labels")
    if soft and not loss.soft_targets:
        with pytest.raises((IndexError, RuntimeError, ValueError)):
            trained(loss, scores, nn.functional.one_hot(target, K).float())
        return
    classes = classes_of(name)
    scores = (scores * 1e4).requires_grad_()
    target = (nn.functional.one_hot(target, classes) * 0.9 + 0.1 / classes) if soft else target
    value = trained(loss, scores, target)
    value.backward()
    assert value.isfinite()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize(("name", "params"), [*((name, {}) for name in NAMES), *WITH_STATE])
def test_state_survives_a_checkpoint_in_the_midst_of_an_epoch(name, params, tmp_path):
    loss, again, (scores, target) = make(name, **params), make(name, **params), samples(name)
    trained(loss, scores, target)
    loss.on_epoch_end()
    trained(loss, scores.roll(1, dims=0), target)
    torch.save(loss.state_dict(), tmp_path / "state")
    again.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    costs = []
    for each in (loss, again):
        torch.manual_seed(2)
        costs.append([trained(each, scores, target), each.on_epoch_end(), trained(each, scores, target)])
    assert torch.equal(costs[0][0], costs[1][0])
    assert torch.equal(costs[0][2], costs[1][2])
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in loss.state_dict().items())


@pytest.mark.parametrize("name", LOSSES)
def test_training_terms_have_the_derivative_of_scores_and_features(name):
    if name in CONSTANT_WEIGHTS:
        pytest.skip(f"{name} holds weights constant")
    loss = make(name).double()
    scores, target = samples(name, dtype=torch.float64)
    scores, features = scores.requires_grad_(), outputs_of(loss, scores).features.detach().cos().requires_grad_()

    def value(scores, features):
        torch.manual_seed(3)
        fresh = copy.deepcopy(loss)  # state that advances would make it another function
        outputs = outputs_of(fresh, scores, features)
        outputs = outputs._replace(stages=tuple(each.double() for each in outputs.stages))
        return torch.stack(list(fresh.terms(outputs, batch_of(target, loss.views)).values())).sum()

    if STOPPED_GRADIENT.get(name):
        loss = make(name, **STOPPED_GRADIENT[name]).double()
    assert gradcheck(value, (scores, features))


@pytest.mark.parametrize("name", LOSSES)
def test_batch_of_one_image_trains(name):
    loss = make(name).eval()  # batch normalisation cannot train on one sample
    scores, target = samples(name, size=loss.views)
    scores.requires_grad_()
    trained(loss, scores, target).backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_unknown_parameter_is_refused_with_what_is_allowed(name):
    with pytest.raises(ConfigError, match=r"loss_params\.nonsense: unknown parameter"):
        build_loss(name, None, nonsense=1)


def test_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'OneSidedMarginLoss'"):
        build_loss("OneSideMarginLoss")


def test_every_loss_of_torch_is_either_taken_or_refused_with_a_reason():
    shipped = {name for name in class_names("torch.nn.modules.loss") if name.endswith("Loss")}
    assert shipped - {"NLLLoss2d"} <= {*TORCH_LOSSES, *NOT_CLASSIFICATION}
    for name in NOT_CLASSIFICATION:
        with pytest.raises(ConfigError, match="cannot train a classifier"):
            build_loss(name)


@pytest.mark.parametrize("name", TORCH_LOSSES)
def test_reduction_must_leave_one_number(name):
    with pytest.raises(ConfigError, match="must leave one number"):
        build_loss(name, reduction="none")


@pytest.mark.parametrize("name", LOSSES)
def test_docstring_gives_source_and_deviations(name):
    text = load_entry(LOSSES[name]).__doc__
    for word in ("Source:", "Deviations:", "Shapes:", "Raises:", "Use:"):
        assert word in text


def test_a_loss_that_needs_no_task_need_not_take_one(monkeypatch):
    class Plain(ClassificationLoss):
        def __init__(self, *, scale: float = 1.0) -> None:
            super().__init__()
            self.scale = scale

        def forward(self, scores, target: Any):
            return self.scale * nn.functional.cross_entropy(scores, target)

    monkeypatch.setitem(LOSSES, "Plain", Entry("somewhere:Plain", "for this test"))
    monkeypatch.setattr("losses.loss_class", lambda name: Plain)
    monkeypatch.setattr("training.losses.load_entry", lambda entry: Plain)
    scores, target = samples("HingeLoss")
    assert build_loss("Plain", None, scale=2)(scores, target) == 2 * nn.functional.cross_entropy(scores, target)
    with pytest.raises(ConfigError, match=r"loss_params\.scale: must be a number, got 'abc'"):
        build_loss("Plain", None, scale="abc")
