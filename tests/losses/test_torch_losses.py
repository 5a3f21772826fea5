"""Each loss of torch.nn is fed what it expects."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from losses import TORCH_LOSSES
from training.losses import build_loss


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 1, 1])


def expected(name, scores, target):
    one_hot = F.one_hot(target, 4).float()
    return {
        "BCELoss": lambda: F.binary_cross_entropy(scores.sigmoid(), one_hot),
        "BCEWithLogitsLoss": lambda: F.binary_cross_entropy_with_logits(scores, one_hot),
        "CrossEntropyLoss": lambda: F.cross_entropy(scores, target),
        "HuberLoss": lambda: F.huber_loss(scores, one_hot),
        "KLDivLoss": lambda: F.cross_entropy(scores, target),
        "L1Loss": lambda: (scores - one_hot).abs().mean(),
        "MSELoss": lambda: (scores - one_hot).square().mean(),
        "MultiLabelMarginLoss": lambda: F.multi_margin_loss(scores, target),
        "MultiLabelSoftMarginLoss": lambda: F.binary_cross_entropy_with_logits(scores, one_hot),
        "MultiMarginLoss": lambda: F.multi_margin_loss(scores, target),
        "NLLLoss": lambda: F.cross_entropy(scores, target),
        "PoissonNLLLoss": lambda: (scores.exp() - one_hot * scores).mean(),
        "SmoothL1Loss": lambda: F.smooth_l1_loss(scores, one_hot),
        "SoftMarginLoss": lambda: torch.log1p((-(2 * one_hot - 1) * scores).exp()).mean(),
    }[name]()


@pytest.mark.parametrize("name", TORCH_LOSSES)
def test_equals_its_closed_form(name, batch):
    torch.testing.assert_close(build_loss(name)(*batch), expected(name, *batch))


@pytest.mark.parametrize("weight", [[1.0, 2.0, 3.0, 4.0], [1, 2, 3, 4]])
def test_class_weights_are_taken_as_a_list(batch, weight):
    loss = build_loss("CrossEntropyLoss", weight=weight, label_smoothing=0.1)
    ours = nn.CrossEntropyLoss(weight=torch.tensor(weight, dtype=torch.float32), label_smoothing=0.1)
    assert torch.equal(loss(*batch), ours(*batch))


def test_a_weight_that_is_null_is_the_default():
    scores, target = torch.randn(4, 3), torch.tensor([0, 1, 2, 1])
    assert torch.equal(build_loss("CrossEntropyLoss", weight=None)(scores, target), F.cross_entropy(scores, target))
