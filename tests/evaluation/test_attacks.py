"""Attacks: closed forms, another implementation, and that a failed attack is not taken for a robust network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from msgspec import structs
from torch import nn

from evaluation.attacks import Attack, attacks, costs, fgsm, input_gradient, pgd, remarks
from losses import LOSSES
from tests.evaluation.made_up_subject import LOSSES_OF_CLASSES, all_right, make_subject
from training.losses import build_loss
from utils.lookup import load_entry

EPS, STEP = 8 / 255, 2 / 255


def random_images(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def convolutional() -> nn.Module:
    """A small network without kinks, so that two implementations meet the same gradients."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 8, 3, stride=2), nn.Tanh(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8 * 9, 5)).eval()


@pytest.fixture
def subject(quick):
    """A run that classifies every image correctly."""
    return all_right(make_subject(quick(classes=["3", "8", "0", "6"])))


def test_a_linear_cost_moves_each_pixel_by_eps_and_stays_an_image():
    image = torch.tensor([[[[0.5, 0.01, 0.99, 0.5]]]])
    weight = torch.tensor([2.0, -1.0, 0.1, 0.0])
    attacked = fgsm(lambda x: weight.expand_as(x), image, 0.1)
    assert attacked.flatten().tolist() == pytest.approx([0.6, 0.0, 1.0, 0.5])
    torch.testing.assert_close(pgd(lambda x: weight.expand_as(x), image, image, 0.1, 0.03, 4), attacked)


def test_pgd_stays_within_eps_of_the_image_and_an_image(convolutional):
    image, target = random_images(6, 3, 8, 8), torch.arange(6) % 5
    gradient = input_gradient(convolutional, build_loss("CrossEntropyLoss"), target, "cross_entropy")
    attacked = pgd(gradient, image, image + 1, EPS, STEP, 5)
    assert float((attacked - image).abs().max()) <= EPS + 1e-7
    assert float(attacked.min()) >= 0
    assert float(attacked.max()) <= 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_attacks_equal_those_of_the_adversarial_robustness_toolbox(convolutional):
    evasion = pytest.importorskip("art.attacks.evasion")
    classification = pytest.importorskip("art.estimators.classification")
    image, target = random_images(6, 3, 8, 8), torch.arange(6) % 5
    mean, std = np.array([0.4, 0.5, 0.6], "float32"), np.array([0.2, 0.3, 0.25], "float32")
    estimator = classification.PyTorchClassifier(
        convolutional,
        nn.CrossEntropyLoss(),
        (3, 8, 8),
        5,
        clip_values=(0, 1),
        preprocessing=(mean[:, None, None], std[:, None, None]),
        device_type="cpu",
    )
    as_mean, as_std = (torch.from_numpy(values)[:, None, None] for values in (mean, std))
    gradient = input_gradient(
        lambda x: convolutional((x - as_mean) / as_std), build_loss("CrossEntropyLoss"), target, "cross_entropy"
    )
    theirs = evasion.FastGradientMethod(estimator, eps=EPS).generate(image.numpy(), target.numpy())
    np.testing.assert_allclose(fgsm(gradient, image, EPS).numpy(), theirs, atol=1e-6)
    theirs = evasion.ProjectedGradientDescentPyTorch(
        estimator, eps=EPS, eps_step=STEP, max_iter=7, num_random_init=0, verbose=False
    ).generate(image.numpy(), target.numpy())
    np.testing.assert_allclose(pgd(gradient, image, image, EPS, STEP, 7).numpy(), theirs, atol=1e-6)


def test_objectives_are_those_of_an_explicit_loop():
    loss = build_loss("CrossEntropyLoss")
    scores, target = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 3, 1, 2, 2])
    likelihood = margin = 0.0
    for row, label in zip(scores.tolist(), target.tolist(), strict=True):
        log_p = torch.tensor(row).log_softmax(0).tolist()
        likelihood -= log_p[label]
        margin += max(log_p[:label] + log_p[label + 1 :]) - log_p[label]
    assert float(costs(loss, scores, target, "cross_entropy")) == pytest.approx(likelihood, rel=1e-5)
    assert float(costs(loss, scores, target, "own")) == pytest.approx(likelihood, rel=1e-5)
    assert float(costs(loss, scores, target, "margin")) == pytest.approx(margin, rel=1e-5)


@pytest.mark.parametrize("name", [name for name in LOSSES_OF_CLASSES if name != "FenchelYoungLoss"])  # p of 0
def test_the_margin_of_any_loss_has_a_gradient_at_scores_far_apart(name):
    loss = build_loss(name)
    width = 1 if load_entry(LOSSES[name]).num_classes == 2 else 4
    scores = (1000 * torch.eye(4)[:, :width]).requires_grad_()
    prediction = loss.predict(scores).clamp(min=0)
    (gradient,) = torch.autograd.grad(costs(loss, scores, prediction, "margin"), scores)
    assert gradient.abs().amax(dim=1).gt(1e-3).all()
    assert gradient.isfinite().all()


def test_a_random_start_does_not_depend_on_the_batch_around_it(subject):
    attack = Attack(subject, [8.0], 8.0, 0.25, 1, 1, "cross_entropy", 0)
    whole = attack.noise(torch.tensor([5, 9, 2]), torch.zeros(3, 1, 4, 4), 0)
    alone = attack.noise(torch.tensor([9]), torch.zeros(1, 1, 4, 4), 0)
    assert torch.equal(whole[1], alone[0])
    assert not torch.equal(whole[0], whole[1])
    assert float(whole.abs().max()) <= 1


def test_attacks_lower_accuracy_with_eps_and_count_the_same_in_any_batches(subject):
    found = attacks(subject, images=16, iterations=5)
    assert found.numbers["images"] == 16
    assert found.numbers["accuracy"] == 1
    curves = found.details
    assert curves["eps"] == [0, 2, 4, 8, 16, 32, 128]
    assert curves["pgd"] == sorted(curves["pgd"], reverse=True)
    assert curves["pgd"][-1] < 0.05
    assert curves["pgd"][3] == found.numbers["pgd_accuracy"] <= found.numbers["fgsm_accuracy"]
    assert [figure.path.is_file() for figure in found.figures] == [True, True]
    subject.data.config = structs.replace(subject.data.config, batch_size=7)
    assert attacks(subject, images=16, iterations=5).numbers == found.numbers


def test_more_iterations_and_restarts_leave_no_more_images_right(subject):
    def accuracy(**params):
        return attacks(subject, images=16, eps=4, curve=False, **params).numbers["pgd_accuracy"]

    assert accuracy(iterations=1) >= accuracy(iterations=5) >= accuracy(iterations=10)
    assert accuracy(iterations=1) >= accuracy(iterations=1, restarts=4)


def test_a_network_without_a_gradient_is_not_called_robust(subject):
    with torch.no_grad():
        subject.classifier.head.weight.mul_(1e5)
    found = attacks(subject, images=16, iterations=3, eps=64, step=32)
    assert found.numbers["zero_gradients"] > 0.5
    assert "a gradient of exactly 0: these attacks cannot change them, which is no robustness" in found.notes[1]
    assert "gradients are masked" in found.notes[-1]
    by_margin = attacks(subject, images=16, iterations=3, eps=64, step=32, objective="margin")
    assert by_margin.numbers["zero_gradients"] == 0
    assert by_margin.numbers["pgd_accuracy"] < found.numbers["pgd_accuracy"] - 0.3


@pytest.mark.parametrize("name", ["BinaryCrossEntropyLoss", "BinaryOneSidedMarginLoss"])
def test_two_classes_of_one_score_are_attacked(quick, name):
    subject = all_right(make_subject(quick(classes=["3", "8"], loss_function=name)))
    numbers = attacks(subject, images=16, iterations=2, curve=False, objective="margin").numbers
    assert numbers["accuracy"] == 1
    assert numbers["pgd_accuracy"] <= numbers["fgsm_accuracy"] <= 1


def test_signs_of_masked_gradients_are_reported():
    numbers = {"zero_gradients": 0.0, "images": 100.0, "pgd_accuracy": 0.6, "fgsm_accuracy": 0.4}
    curves = {"eps": [0.0, 8.0, 128.0], "fgsm": [0.9, 0.4, 0.1], "pgd": [0.9, 0.6, 0.7]}
    (_, note) = remarks("cross_entropy", numbers, curves)
    for sign in ("PGD is weaker than its first step", "accuracy rises with eps", "70.00 % stay correct at 128 of 255"):
        assert sign in note
    sound = {"eps": [0.0, 8.0, 128.0], "fgsm": [0.9, 0.4, 0.1], "pgd": [0.9, 0.3, 0.0]}
    assert len(remarks("cross_entropy", numbers | {"pgd_accuracy": 0.3}, sound)) == 1
