"""Losses beside their authors' code: values that it gave, by repository and commit, for one batch.

The batch is written as formulas, so that anybody can compute the values again.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from losses import build_loss
from losses.base import ClassificationLoss
from losses.contract import Batch, Outputs, Task
from losses.supervised_contrastive import contrast

ROWS, K, D = 6, 5, 8
COUNTS = (500, 100, 60, 20, 5)
TARGET = torch.tensor([0, 1, 2, 3, 4, 1])
SCORES = 3 * torch.sin(1 + torch.arange(ROWS * K).double()).reshape(ROWS, K)
FEATURES = torch.cos(0.3 + torch.arange(ROWS * D).double()).reshape(ROWS, D) * torch.arange(1, ROWS + 1)[:, None]
WEIGHTS = torch.sin(0.7 * torch.arange(K * D).double() + 0.2).reshape(K, D)
INDEX = torch.tensor([3, 1, 4, 0, 5, 2])

OF_SCORES: list[tuple[str, str, dict[str, Any], float]] = [
    ("jiawei-ren/BalancedMetaSoftmax-Classification@34a61e4", "BalancedSoftmaxLoss", {}, 2.291709024193525),
    ("by-liu/MbLS@dc86503", "MarginLabelSmoothingLoss", {"margin": 2.0}, 1.878787007824954),
    ("Linwei94/ICML2023-DualFocalLoss@106f26b", "DualFocalLoss", {}, 1.0580194499202986),
    ("Linwei94/ICML2023-DualFocalLoss@106f26b", "DualFocalLoss", {"gamma": 2.0}, 1.3938675724274472),
    ("HanxunH/Active-Passive-Losses@04bce53", "ActivePassiveLoss", {}, 7.018669503138261),
    (
        "HanxunH/Active-Passive-Losses@04bce53",
        "ActivePassiveLoss",
        {"active": "focal", "passive": "absolute_error", "alpha": 2.0, "beta": 3.0},
        2.456242118021258,
    ),
    (
        "HanxunH/Active-Passive-Losses@04bce53",
        "ActivePassiveLoss",
        {"active": "generalized", "alpha": 10.0, "beta": 0.1},
        2.4373398493125475,
    ),
    ("Alibaba-MIIL/ASL@8c9e0bd", "AsymmetricLoss", {}, 1.6044701568806092),
    (
        "Alibaba-MIIL/ASL@8c9e0bd",
        "AsymmetricLoss",
        {"gamma_pos": 1.0, "gamma_neg": 2.0, "smoothing": 0.3},
        1.1285789163753108,
    ),
    ("hongxin001/logitnorm_ood@0a60eef", "LogitNormLoss", {}, 7.351052829655841),
    ("hongxin001/logitnorm_ood@0a60eef", "LogitNormLoss", {"tau": 1.0}, 1.414021876784594),
    ("open-mmlab/mmpretrain@ee7f2e88", "SeesawLoss", {}, 3.7272962422930482),
    ("ZhouYuxuanYX/Maximum-Suppression-Regularization@5b7c0db", "MaxSupLoss", {}, 2.019607159461303),
    # 200 steps of the fixed point instead of the default five, which give 1.17263094 and 0.73212711
    ("google/bi-tempered-loss@1c65c77", "BiTemperedLoss", {}, 1.1726309061797986),
    ("google/bi-tempered-loss@1c65c77", "BiTemperedLoss", {"t1": 0.5, "t2": 4.0}, 0.7321271236512038),
    ("entmax 1.3, entmax15_loss", "FenchelYoungLoss", {}, 1.4472786187796143),
    ("entmax 1.3, entmax_bisect_loss", "FenchelYoungLoss", {"alpha": 1.25}, 1.5278018969887954),
    ("3mcloud/adafocal@f2c6ca0", "AdaFocalLoss", {"num_bins": 4, "switch": 0.8}, 1.471651091013811),
]
OF_A_HEAD: list[tuple[str, str, dict[str, Any], float]] = [
    ("kaidic/LDAM-DRW@2536330", "LDAMLoss", {}, 20.334845105063902),
    ("mk-minchul/AdaFace@c60eaa7", "ArcFaceLoss", {}, 50.01283871963604),
    ("mk-minchul/AdaFace@c60eaa7", "CosFaceLoss", {"margin": 0.4}, 50.06340278266322),
    ("mk-minchul/AdaFace@c60eaa7", "AdaFaceLoss", {}, 49.85525716436919),
    ("mk-minchul/AdaFace@c60eaa7", "AdaFaceLoss", {"momentum": 1.0}, 50.5437963092641),
    ("open-mmlab/mmpretrain@ee7f2e88", "AdaptiveArcFaceLoss", {}, 36.36447833443241),
    # its exponent is of squared distances, 1.5 for 3 here
    ("KindXiaoming/grow-crystals@0f2e6cd", "HarmonicLoss", {"exponent": 3.0}, 1.723943422136094),
]


def task() -> Task:
    return Task(K, ROWS, nn.Linear(D, K), class_counts=COUNTS, num_epochs=5)


def with_head(name: str, **params: Any) -> tuple[ClassificationLoss, Outputs]:
    """Return a loss and what its head, with the weights above, makes of the features."""
    loss = build_loss(name, task(), **params).double()
    head: Any = loss.make_head(task()).double()
    head.weight.data = WEIGHTS.clone()
    return loss, Outputs(head(FEATURES).detach(), FEATURES)


def total(loss: ClassificationLoss, outputs: Outputs, index: Tensor = INDEX) -> float:
    terms = loss.terms(outputs, Batch(torch.zeros(ROWS, 1), TARGET, index))
    return torch.stack(list(terms.values())).sum().item()


@pytest.mark.parametrize(("source", "name", "params", "value"), OF_SCORES)
def test_equals_the_authors_code_on_scores(source, name, params, value):
    loss = build_loss(name, task(), **params)
    assert loss(SCORES, TARGET).item() == pytest.approx(value, rel=1e-6), source


@pytest.mark.parametrize(("source", "name", "params", "value"), OF_A_HEAD)
def test_equals_the_authors_code_with_its_head(source, name, params, value):
    assert total(*with_head(name, **params)) == pytest.approx(value, rel=1e-6), source


def test_scores_beyond_the_margin_are_smoothed_as_by_the_authors():
    value = build_loss("MarginLabelSmoothingLoss")(10 * SCORES, TARGET)
    assert value.item() == pytest.approx(15.544766958849443, rel=1e-6), "by-liu/MbLS@dc86503"


def test_deferred_weights_are_the_authors():
    loss, outputs = with_head("LDAMLoss")
    loss.begin_epoch(4)  # of 5, the first with weights; the authors divide by the weights' sum, not by the images
    value = total(loss, outputs)
    assert value == pytest.approx(10.2378926385399, rel=1e-6), "kaidic/LDAM-DRW@2536330"


def test_class_balanced_weights_are_the_authors():
    loss = build_loss("ClassBalancedLoss", task())
    value = 2.3528081478906877  # cross entropies times the weights of cifar_train.py
    assert loss(SCORES, TARGET).item() == pytest.approx(value, rel=1e-6), "kaidic/LDAM-DRW@2536330"


@pytest.mark.parametrize(
    ("params", "value"),
    [({}, 1.7981806513183747), ({"base": "FocalLoss", "beta": 5.0}, 1.5570572529951827)],
)
def test_calibration_of_classes_is_the_authors(params, value):
    found = total(build_loss("MDCALoss", task(), **params), Outputs(SCORES, FEATURES))
    assert found == pytest.approx(value, rel=1e-6), "mdca-loss/MDCA-Calibration@cece2e5"


def test_memory_of_predictions_is_the_authors():
    loss = build_loss("EarlyLearningRegularizationLoss", task()).double()
    first = total(loss, Outputs(SCORES, FEATURES))
    second = total(loss, Outputs(SCORES.flip(1), FEATURES), INDEX.flip(0))
    assert [first, second] == pytest.approx([1.1772478505274533, 3.0711440189558794], rel=1e-6), (
        "shengliu66/ELR@934af53"
    )


def test_moving_averages_of_lengths_are_the_authors():
    loss, outputs = with_head("AdaFaceLoss")
    total(loss, outputs)
    assert total(loss, outputs) == pytest.approx(49.855482806587524, rel=1e-6), "mk-minchul/AdaFace@c60eaa7"


@pytest.mark.parametrize(("temperature", "value"), [(0.1, 10.470055031987247), (0.07, 14.936266308664337)])
def test_contrast_is_the_authors(temperature, value):
    found = contrast(F.normalize(FEATURES), torch.tensor([0, 0, 1, 1, 1, 1]), temperature)
    assert found.item() == pytest.approx(value, rel=1e-6), "HobbitLong/SupContrast@66a8fe5, without its factor"


def test_weight_of_the_largest_score_rises_as_the_authors():
    loss = build_loss("MaxSupLoss", task())
    loss.begin_epoch(2)  # of 0 to 4
    value = loss(SCORES, TARGET).item()
    assert value == pytest.approx(2.158087903850246, rel=1e-6), (
        "ZhouYuxuanYX/Maximum-Suppression-Regularization@5b7c0db"
    )


def test_powers_and_bins_adapt_as_the_authors():
    loss: Any = build_loss("AdaFocalLoss", task(), num_bins=4, switch=0.8)
    validation = 2 * torch.cos(2 + torch.arange(60).double()).reshape(12, 5)
    values, gammas = [], []
    for _ in range(2):
        loss.end_validation(validation, torch.arange(12) % 5)
        values.append(loss(SCORES, TARGET).item())
        gammas.append(loss.gammas.tolist())
    assert values == pytest.approx([1.3363415887823802, 1.163194166086669], rel=1e-6), "3mcloud/adafocal@f2c6ca0"
    assert gammas[0] == pytest.approx([1.660025, 1.781971, 2.056339, 2.077236], rel=1e-5)
    assert gammas[1] == pytest.approx([2.755684, 3.175421, 4.228529, 4.314909], rel=1e-5)
    assert loss.edges.tolist() == pytest.approx([0.464193, 0.510792, 0.682133, 0.723534, 0.73135], rel=1e-5)
