"""The losses beside those of other packages, written by others from the same papers."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import hinge_loss, log_loss
from timm.loss.cross_entropy import LabelSmoothingCrossEntropy as TimmLabelSmoothing
from timm.loss.cross_entropy import SoftTargetCrossEntropy
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_hinge_loss
from torchvision.ops import sigmoid_focal_loss

from losses.base import ClassificationLoss
from losses.focal import FocalLoss
from losses.hinge import HingeLoss
from losses.label_smoothing import LabelSmoothingCrossEntropy
from training.losses import build_loss

CROSS_ENTROPIES = {  # settings in which a loss is cross entropy
    "BootstrapLoss": {"beta": 1.0},
    "CompetingRatioLoss": {"beta": 0.0},
    "ComplementCrossEntropyLoss": {"gamma": 0.0},
    "CrossEntropyLoss": {},
    "DisturbLabelLoss": {},
    "DualCrossEntropyLoss": {"beta": 0.0},
    "FocalLoss": {"gamma": 0.0},
    "LabelSmoothingCrossEntropy": {"epsilon": 0.0},
    "SoftMarginSoftmaxLoss": {},
    "SymmetricCrossEntropyLoss": {"alpha": 1.0, "beta": 0.0},
    "TamedCrossEntropyLoss": {"alpha": 0.0},
}


def samples(classes: int = 7, size: int = 50) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return 3 * torch.randn(size, classes, dtype=torch.float64), torch.arange(size) % classes


def cross_entropy_loss(name: str) -> ClassificationLoss:
    return build_loss(name, None, **CROSS_ENTROPIES[name]).eval()


@pytest.mark.parametrize("epsilon", [0.1, 0.4])
def test_label_smoothing_is_timms(epsilon):
    scores, target = samples()
    ours, theirs = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    value = LabelSmoothingCrossEntropy(epsilon=epsilon)(ours, target)
    expected = TimmLabelSmoothing(smoothing=epsilon)(theirs, target)
    torch.testing.assert_close(value, expected)
    value.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("name", CROSS_ENTROPIES)
def test_cross_entropy_is_scikit_learns(name):
    scores, target = samples()
    value = cross_entropy_loss(name)(scores, target)
    expected = log_loss(target.numpy(), scores.softmax(dim=-1).numpy(), labels=range(7))
    assert value.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", CROSS_ENTROPIES)
def test_cross_entropy_with_soft_labels_is_timms(name):
    scores, _ = samples()
    q = torch.randn_like(scores).softmax(dim=-1)
    torch.testing.assert_close(cross_entropy_loss(name)(scores, q), SoftTargetCrossEntropy()(scores, q))


def test_crammer_singer_hinge_is_scikit_learns():
    scores, target = samples()
    value = HingeLoss(variant="crammer_singer")(scores, target)
    assert value.item() == pytest.approx(hinge_loss(target.numpy(), scores.numpy(), labels=range(7)), rel=1e-12)


@pytest.mark.parametrize("power", [1, 2])
def test_crammer_singer_hinge_is_torchmetrics(power):
    # torchmetrics takes scores outside 0 to 1 for logits and hinges their softmax; within, it leaves them as they are.
    scores, target = samples()
    scores = scores.sigmoid()
    expected = multiclass_hinge_loss(scores, target, 7, squared=power == 2, multiclass_mode="crammer-singer")
    torch.testing.assert_close(HingeLoss(power=power)(scores, target), expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_of_two_classes_is_torchvisions_of_their_difference(gamma):
    # The softmax of two scores is the sigmoid of their difference; with more classes torchvision's is another loss.
    scores, target = samples(classes=2)
    expected = sigmoid_focal_loss(scores[:, 1] - scores[:, 0], target.double(), alpha=-1, gamma=gamma).mean()
    torch.testing.assert_close(FocalLoss(gamma=gamma)(scores, target), expected)


@pytest.mark.parametrize(("power", "margin"), [(1, 1.0), (2, 0.5)])
def test_weston_watkins_hinge_is_classes_times_torchs(power, margin):
    scores, target = samples()
    value = HingeLoss(variant="weston_watkins", power=power, margin=margin)(scores, target)
    torch.testing.assert_close(value, 7 * F.multi_margin_loss(scores, target, p=power, margin=margin))
