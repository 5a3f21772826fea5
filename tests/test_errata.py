"""Errors of the papers that docs/errata.md lists, computed again."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from docs.errata import FIGURE, draw, printed_factor, true_factor
from losses.binary_one_sided_margin import BinaryOneSidedMarginLoss
from losses.competing_ratio import CompetingRatioLoss
from losses.contract import Batch, Outputs
from losses.label_smoothing import LabelSmoothingCrossEntropy
from losses.negative_log_likelihood_ratio import NegativeLogLikelihoodRatioLoss
from losses.one_sided_margin import OneSidedMarginLoss
from sweeps.reference import read_reference
from tests.losses.cases import make

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "errata.md").read_text(encoding="utf-8")


def printed(table: str, column: str | None = None, **paper: Any) -> list[float]:
    """Return the numbers that a paper prints for rows that have all these entries."""
    numbers = read_reference(ROOT / "experiments" / "reference" / f"{table}.yml").numbers
    return [
        number.value
        for number in numbers
        if paper.items() <= number.paper.items() and (column is None or number.column == column)
    ]


def only(table: str, column: str | None = None, **paper: Any) -> float:
    (value,) = printed(table, column, **paper)
    return value


def test_the_page_lists_43_errors_and_marks_those_that_are_tested_here() -> None:
    rows = re.findall(r"^\| ([OCTLS][0-9]+)( ✓)? \|", PAGE, flags=re.MULTILINE)
    assert [name for name, _ in rows] == [
        f"{letter}{number}"
        for letter, count in zip("OCTLS", (9, 13, 10, 3, 8), strict=True)
        for number in range(1, count + 1)
    ]
    tested = set(
        re.findall(r"def test_([octls][0-9]+(?:_[octls][0-9]+)*)_", Path(__file__).read_text(encoding="utf-8"))
    )
    assert {name.lower() for name, mark in rows if mark} == {name for names in tested for name in names.split("_")}


def row(name: str) -> str:
    """Return a line of the page's tables, by which what is right there is held to what is computed here."""
    (line,) = re.findall(rf"^\| {name} .*$", PAGE, flags=re.MULTILINE)
    return line


def gradient(loss: torch.nn.Module, scores: list[float], label: int) -> torch.Tensor:
    values = torch.tensor([scores], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(values, torch.tensor([label])), values)
    return slope[0]


def test_o1_each_term_of_the_binary_loss_belongs_to_one_class() -> None:
    loss, score = BinaryOneSidedMarginLoss(), torch.tensor([[20.0]])
    second = F.softplus(score - 100) + 0.1 * F.softplus(-score)
    assert loss(score, torch.tensor([1])).item() == pytest.approx(second.item())
    assert loss(score, torch.tensor([0])).item() == pytest.approx(F.softplus(600 - score).item())


def test_o2_with_the_sign_as_printed_every_image_is_rejected() -> None:
    loss = OneSidedMarginLoss(reject=True)
    scores = torch.tensor([[50.0, 620.0, 640.0]], dtype=torch.float64)  # as sure as can be
    rejection = F.softplus(600 - scores).sum()  # T: what "no class" costs
    costs = rejection + loss.label_costs(scores)[0]
    assert torch.cat([costs.neg(), rejection[None]]).softmax(0)[-1] == pytest.approx(1.0)
    assert torch.cat([costs.neg(), rejection.neg()[None]]).softmax(0)[0] == pytest.approx(1.0)
    assert loss.predict(scores).item() == 0


@pytest.mark.filterwarnings("ignore:.*not the likeliest class")
def test_o3_the_lowest_score_is_the_likeliest_class_where_lambda_exceeds_alpha() -> None:
    scores = torch.linspace(-50, 700, 200, dtype=torch.float64)[None]
    increasing = {
        alpha: bool((OneSidedMarginLoss(alpha=alpha).label_costs(scores).diff() > 0).all()) for alpha in (0.1, 1, 5)
    }
    assert increasing == {0.1: True, 1: False, 5: False}
    numbers = read_reference(ROOT / "experiments" / "reference" / "osm_table4.yml").numbers
    wrong = {(each.paper["alpha"], each.paper["lam"]) for each in numbers if each.paper["alpha"] >= each.paper["lam"]}
    assert wrong == {(1, 1), (5, 1), (10, 1), (0.1, 0.01), (0.1, 0.1)}


def test_o5_a_setting_is_printed_twice() -> None:
    assert printed("osm_table4", alpha=0.1, lam=1, lambda_max=500, lambda_min=0) == [92.68, 92.63]


def test_o7_gains_do_not_fall_with_the_size_of_the_data_set() -> None:
    gains = {}
    for name, other in (
        ("CIFAR-10", "CE"),
        ("Flowers-102", "CE"),
        ("CIFAR-100", "CE"),
        ("CIFAR-10 (plane,truck)", "BinaryCE"),
        ("Stanford Cars", "CE"),
    ):
        pairs = zip(
            printed("osm_table5", dataset=name, loss="OSM"),
            printed("osm_table5", dataset=name, loss=other),
            strict=True,
        )
        gains[name] = np.mean([ours - theirs for ours, theirs in pairs])
    assert [*gains.values()] == pytest.approx([0.452, 0.274, 0.266, 0.24, 0.196], abs=0.0005)


def test_c2_c3_the_softmax_and_cross_entropy_fall_where_the_label_grows() -> None:
    scores = torch.tensor([1.3, -0.2, 0.4], dtype=torch.float64)
    p = scores.softmax(0)
    slopes = torch.autograd.functional.jacobian(lambda each: each.softmax(0)[0], scores)
    torch.testing.assert_close(slopes, torch.cat([p[:1] * (1 - p[:1]), -p[0] * p[1:]]))
    entropy = gradient(torch.nn.CrossEntropyLoss(), scores.tolist(), 0)
    torch.testing.assert_close(entropy, torch.cat([p[:1] - 1, p[1:]]))
    norms = [gradient(torch.nn.CrossEntropyLoss(), [score, 0.0, 0.0], 0).norm().item() for score in (0, 2, 5, 10)]
    assert norms == sorted(norms, reverse=True)


def test_c4_the_ratio_term_has_the_other_sign() -> None:
    slopes = gradient(CompetingRatioLoss(), [1.3, -0.2, 0.4], 0)
    assert slopes.tolist() == pytest.approx([-0.51208, 0.18145, 0.33063], abs=1e-5)
    p = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    assert true_factor(p, 1.5, 1).tolist() == pytest.approx([1.0417, 1.25, 1.5625], abs=1e-4)
    assert printed_factor(p, 1.5, 1).tolist() == pytest.approx([0.9583, 0.75, 0.4375], abs=1e-4)


def test_c5_confident_samples_weigh_more_not_less() -> None:
    p = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    assert (true_factor(p, 1.5, 1).diff() > 0).all()
    assert (printed_factor(p, 1.5, 1).diff() < 0).all()


def test_c6_the_likelihood_ratio_falls_everywhere_and_has_no_end() -> None:
    loss = NegativeLogLikelihoodRatioLoss()
    for score in (-3.0, 0.0, 3.0):
        p = torch.tensor([score, 0.0, 0.0], dtype=torch.float64).softmax(0)
        expected = torch.cat([-torch.ones(1, dtype=p.dtype), p[1:] / (1 - p[0])])
        torch.testing.assert_close(gradient(loss, [score, 0.0, 0.0], 0), expected)
    far = [loss(torch.tensor([[score, 0.0]]), torch.tensor([0])).item() for score in (10.0, 100.0, 1000.0)]
    assert far == pytest.approx([-10, -100, -1000])


def test_c7_a_negative_minimum_is_one() -> None:
    sure = torch.tensor([[100.0, 0.0, 0.0]], dtype=torch.float64)
    assert CompetingRatioLoss(alpha=0.5)(sure, torch.tensor([0])).item() == pytest.approx(math.log(0.5))
    assert gradient(CompetingRatioLoss(alpha=0.5), sure[0].tolist(), 0).abs().max() < 1e-12


def test_c9_the_defaults_are_the_best_of_cifar_10_alone() -> None:
    def best(dataset: str, **paper: Any) -> tuple[float, float]:
        cells = itertools.product((1, 1.5, 2), (0.25, 0.5, 0.75, 1, 1.25))
        return min(cells, key=lambda cell: only("crl_table1", dataset=dataset, alpha=cell[0], beta=cell[1]))

    assert best("CIFAR-10") == (1.5, 1)
    assert best("CIFAR-100") == (2, 0.25)
    assert only("crl_table1", dataset="CIFAR-100", alpha=2, beta=0.25) == 26.78
    row = [only("crl_table1", dataset="CIFAR-10", alpha=1, beta=beta) for beta in (0.5, 1, 1.25)]
    assert row == [6.18, 6.41, 6.24]


def test_c10_four_cells_are_worse_than_cross_entropy() -> None:
    cells = itertools.product((1, 1.5, 2), (0.25, 0.5, 0.75, 1, 1.25))
    entropy = only("crl_table1", dataset="CIFAR-100", alpha=None, beta=0)
    worse = [cell for cell in cells if only("crl_table1", dataset="CIFAR-100", alpha=cell[0], beta=cell[1]) > entropy]
    assert worse == [(1, 0.25), (1, 1.25), (1.5, 0.5), (2, 1.25)]


def test_c11_a_number_of_another_setting_stands_in_table_3() -> None:
    assert only("crl_table3", dataset="CIFAR-100", architecture="ResNet-34", loss="CRL") == 27.34
    assert only("crl_table1", dataset="CIFAR-100", alpha=1, beta=1) == 27.34
    assert only("crl_table1", dataset="CIFAR-100", alpha=1.5, beta=1) == 27.26


def test_c12_one_baseline_has_two_numbers() -> None:
    assert only("crl_table3", dataset="CIFAR-10", architecture="ResNet-164", loss="CE") == 4.76
    assert only("crl_table4", dataset="CIFAR-10", loss="CE") == 5.27


def test_c13_svhn_improves_by_more_than_printed() -> None:
    assert f"| {100 * (2.04 - 1.88) / 2.04:.1f} % |" in row("C13")


def test_t1_smoothed_labels_share_epsilon() -> None:
    scores = torch.tensor([[1.0, -1.0, 0.5, 2.0]], dtype=torch.float64)
    value = LabelSmoothingCrossEntropy(epsilon=0.2)(scores, torch.tensor([1])).item()
    label = torch.tensor([0.05, 0.85, 0.05, 0.05], dtype=torch.float64)
    assert value == pytest.approx(-(label * scores.log_softmax(1)).sum().item())


def test_t8_the_spread_over_all_pixels_exceeds_the_mean_of_each_image() -> None:
    images = np.random.default_rng(0).random((50, 100)) * 0.5 + np.random.default_rng(1).random((50, 1))
    assert images.std() > 1.1 * images.std(axis=1).mean()


def test_t9_t10_losses_of_the_log_differ_from_the_text() -> None:
    losses = {name: only("thesis_c01_c66", "min_valid_loss", experiment=name) for name in ("C-3", "C-4", "C-9")}
    assert losses == {"C-3": 4.792, "C-4": 2.811, "C-9": 4.746}


def test_l1_repeats_are_dealt_out_to_processes() -> None:
    assert f"a process takes {[3, 3, 3, 1, 1, 1, 4, 4, 4][::2]} |" in row("L1")


def test_s1_the_first_epoch_is_smoothed_by_half() -> None:
    loss = make("OnlineLabelSmoothingLoss").train()
    scores, target = torch.randn(6, 5), torch.arange(6) % 5
    batch = Batch(torch.zeros(6, 1), target, torch.arange(6))
    total = sum(loss.terms(Outputs(scores, torch.zeros(6, 8)), batch).values())
    assert float(total) == pytest.approx(F.cross_entropy(scores, target, label_smoothing=0.5).item(), rel=1e-5)


def test_s2_the_gain_over_smoothing_is_smaller() -> None:
    gains = [only("ols_table6", "top1", loss=loss) for loss in ("OLS", "LS")]
    assert gains[0] - gains[1] == pytest.approx(0.89)


def test_s3_hard_labels_have_two_numbers() -> None:
    assert only("ols_table7", loss="Hard Label", noise_rate=0) == 26.81
    assert only("ols_table3", loss="Hard Label", n_models=1) == 26.41
    assert 26.81 - only("ols_table7", loss="OLS", noise_rate=0) == pytest.approx(1.57)
    assert 26.41 - only("ols_table3", loss="OLS", n_models=1) == pytest.approx(1.14)


def test_s4_an_epoch_has_391_steps() -> None:
    assert f"| {math.ceil(50_000 / 128)} |" in row("S4")


def test_s7_smoothing_withstands_fgsm_better() -> None:
    assert only("ols_table9", "fgsm_top1", loss="OLS") == 75.79
    assert only("ols_table9", "fgsm_top1", loss="LS") == 74.44


def test_s8_another_method_is_better_at_80_percent() -> None:
    assert only("ols_table7", loss="OLS", noise_rate=0.8) == 78.22


def test_the_figure_is_drawn(tmp_path: Path) -> None:
    draw(tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as here, Image.open(FIGURE) as kept:
        assert here.size == kept.size
        assert len(kept.convert("RGB").getcolors(1_000_000)) > 10  # type: ignore[arg-type]
