"""Be your own teacher: its equation against loops, what is held constant, its limits."""

from __future__ import annotations

import pytest
import torch
from by_loops import cross_entropy, mean, softmax, squared_distance
from cases import K, feature_batch, make, outputs_of, refused, terms_of
from torch import Tensor
from torch.nn import functional as F

from losses.be_your_own_teacher import BeYourOwnTeacherLoss
from training.losses import build_loss

NAME = "BeYourOwnTeacherLoss"


def own_teacher(**params) -> BeYourOwnTeacherLoss:
    loss = make(NAME, **params)
    assert isinstance(loss, BeYourOwnTeacherLoss)
    loss.shallow.eval()  # batch normalisation by its running statistics, the same at every call
    return loss


def step(loss: BeYourOwnTeacherLoss, scores: Tensor, features: Tensor, target: Tensor) -> dict[str, Tensor]:
    return terms_of(loss, scores.float(), target, features=features.float())


def shallow_outputs(loss: BeYourOwnTeacherLoss, scores: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return each shallow classifier's features and scores."""
    maps = outputs_of(loss, scores.float()).stages
    return [classifier(each) for classifier, each in zip(loss.shallow, maps, strict=True)]


@pytest.mark.parametrize("params", [{}, {"alpha": 0.4, "temperature": 2.0, "feature_weight": 0.3}])
@pytest.mark.parametrize("soft", [False, True])
def test_equals_the_equation(params, soft):
    scores, features, target = feature_batch()
    loss = own_teacher(**params)
    alpha, temperature = params.get("alpha", 0.1), params.get("temperature", 3.0)
    if soft:
        target = torch.rand(len(target), K).softmax(dim=-1)
    shallow = [(f.tolist(), z.tolist()) for f, z in shallow_outputs(loss, scores)]
    deep, labels, deepest = scores.tolist(), target.tolist(), features.tolist()
    label = sum(
        mean([cross_entropy(z, y) for z, y in zip(each, labels, strict=True)])
        for each in (deep, *(z for _, z in shallow))
    )
    teaching = sum(
        mean(
            [
                cross_entropy([v / temperature for v in own], softmax([v / temperature for v in teacher]))
                for own, teacher in zip(z, deep, strict=True)
            ]
        )
        for _, z in shallow
    )
    distance = sum(mean([squared_distance(*pair) for pair in zip(f, deepest, strict=True)]) for f, _ in shallow)
    found = step(loss, scores, features, target)
    assert found["label"].item() == pytest.approx((1 - alpha) * label, rel=1e-5)
    assert found["teaching"].item() == pytest.approx(alpha * temperature**2 * teaching, rel=1e-5)
    assert found["features"].item() == pytest.approx(params.get("feature_weight", 0.0) * distance, rel=1e-5)


def test_alpha_0_is_the_sum_of_every_classifier_s_cross_entropy():
    scores, features, target = feature_batch()
    loss = own_teacher(alpha=0.0)
    expected = F.cross_entropy(scores, target).float()
    for _, z in shallow_outputs(loss, scores):
        expected = expected + F.cross_entropy(z, target)
    total = torch.stack(list(step(loss, scores, features, target).values())).sum()
    torch.testing.assert_close(total, expected)


def test_the_deepest_learns_from_the_label_alone():
    scores, features, target = feature_batch()
    scores.requires_grad_()
    features.requires_grad_()
    terms = step(own_teacher(alpha=0.4, feature_weight=0.3), scores, features, target)
    torch.stack(list(terms.values())).sum().backward()
    expected = 0.6 * (scores.detach().softmax(dim=-1) - F.one_hot(target, K)) / len(target)
    torch.testing.assert_close(scores.grad, expected, rtol=1e-5, atol=1e-7)
    assert features.grad is None or (features.grad == 0).all()


def test_shallow_classifiers_learn_from_label_and_teacher():
    scores, features, target = feature_batch()
    loss = own_teacher(alpha=1.0)
    terms = step(loss, scores, features, target)
    assert terms["label"].item() == 0
    terms["teaching"].backward()
    for name, parameter in loss.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_judging_and_prediction_are_the_deepest_s():
    scores, _, target = feature_batch()
    loss = own_teacher()
    torch.testing.assert_close(loss(scores, target), F.cross_entropy(scores, target))
    assert torch.equal(loss.predict(scores), scores.argmax(dim=-1))


def test_each_feature_map_has_a_classifier_of_its_width():
    loss = own_teacher(stages=[-3, -2])
    assert loss.stages == (-3, -2)
    assert [classifier.project.in_channels for classifier in loss.shallow] == [3, 4]  # type: ignore[union-attr]


def test_training_without_the_channels_is_told():
    scores, features, target = feature_batch()
    loss = build_loss(NAME)
    with pytest.raises(ValueError, match=r"^stages: the loss was built without the channels"):
        terms_of(loss, scores, target, features=features)


ONLINE = {"label_loss": "OnlineLabelSmoothingLoss", "label_loss_params": {"alpha": 0.3}}


def test_each_classifier_learns_soft_labels_of_its_own():
    """Two epochs of BYOT + OLS against an OnlineLabelSmoothingLoss for each classifier, and loops for the rest."""
    torch.manual_seed(5)
    loss = own_teacher(alpha=0.4, temperature=2.0, **ONLINE)
    alone = [make("OnlineLabelSmoothingLoss", alpha=0.3) for _ in range(4)]
    for _ in range(2):
        for shift in range(3):
            scores, features, target = feature_batch(24)
            scores = scores.roll(shift, dims=1).float()
            outputs = [scores, *(z for _, z in shallow_outputs(loss, scores))]
            labels = [terms_of(each, z, target)["main"].item() for each, z in zip(alone, outputs, strict=True)]
            found = step(loss, scores, features, target)
            assert found["label"].item() == pytest.approx(0.6 * sum(labels), rel=1e-5)
        loss.on_epoch_end()
        for own, each in zip(loss.label_losses, alone, strict=True):
            each.on_epoch_end()
            torch.testing.assert_close(own.soft, each.soft)
    deep, *shallow = [own.soft for own in loss.label_losses]
    assert all(not torch.equal(each, deep) for each in shallow)


def test_online_labels_with_alpha_1_are_cross_entropy_s():
    scores, features, target = feature_batch()
    plain, online = own_teacher(), own_teacher(label_loss=ONLINE["label_loss"], label_loss_params={"alpha": 1.0})
    for name, value in step(plain, scores, features, target).items():
        torch.testing.assert_close(step(online, scores, features, target)[name], value)


def test_state_of_the_default_has_the_names_of_before():
    assert {key.partition(".")[0] for key in own_teacher().state_dict()} == {"shallow"}


def test_judging_is_the_label_s_loss():
    scores, _, target = feature_batch()
    loss = own_teacher(label_loss="LabelSmoothingCrossEntropy", label_loss_params={"epsilon": 0.2})
    torch.testing.assert_close(loss(scores, target), F.cross_entropy(scores, target, label_smoothing=0.2))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"label_loss": "OneSidedMarginLoss"}, "loss_params.label_loss: must read the network's own scores as logits"),
        ({"label_loss": "AngularSoftmaxLoss"}, "loss_params.label_loss: must read the network's own scores as logits"),
        ({"label_loss": "LossTransform"}, "loss_params.label_loss: must read the network's own scores as logits"),
        ({"label_loss": NAME}, "loss_params.label_loss: must judge images one by one"),
        ({"label_loss": "ConnectionistTemporalLoss"}, "loss_params.label_loss: must read the network's own scores"),
        ({"label_loss": "HingLoss"}, "loss_params.label_loss: unknown loss 'HingLoss'; did you mean 'HingeLoss'?"),
        ({"label_loss_params": 3}, "loss_params.label_loss_params: must be"),
        (ONLINE | {"label_loss_params": {"alfa": 1}}, "loss_params.label_loss_params.alfa: unknown parameter; did you"),
        (ONLINE | {"label_loss_params": {"alpha": 2}}, "loss_params.label_loss_params: OnlineLabelSmoothingLoss refu"),
    ],
)
def test_a_label_loss_that_cannot_be_is_refused_with_its_place(params, message):
    assert message in refused(NAME, params)
