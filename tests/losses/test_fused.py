"""The written-out gradients: autograd's of the plain formula, first and second, ordinary scores and extreme ones."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from losses import fused

B, K = 6, 70  # more classes than fused.FOLDED_FROM


def without_label(scores: Tensor, label: Tensor) -> Tensor:
    return scores.scatter(1, label[:, None], -math.inf)


def plain_entropy(scores: Tensor, _) -> Tensor:
    log_p = scores.log_softmax(dim=-1)
    return -(log_p.exp() * log_p).sum(dim=-1)


def plain_one_sided_margin(scores: Tensor, label: Tensor) -> Tensor:
    def softplus(x: Tensor) -> Tensor:
        return -F.logsigmoid(-x)

    own = scores.gather(1, label[:, None]).squeeze(1)
    others = softplus(4.0 - scores).sum(dim=-1) - softplus(4.0 - own)
    return (softplus(own - 1.0) + 0.3 * softplus(-own) + 0.5 * others).mean()


PAIRS = {
    "smoothed_cross_entropy": (
        lambda s, y: fused.smoothed_cross_entropy(s, y, 0.1),
        lambda s, y: F.cross_entropy(s, y, label_smoothing=0.1),
    ),
    "log_odds_against": (
        fused.log_odds_against,
        lambda s, y: without_label(s, y).logsumexp(dim=-1) - s.gather(1, y[:, None]).squeeze(1),
    ),
    "entropy": (lambda s, _: fused.entropy(s), plain_entropy),
    "cross_entropies": (fused.cross_entropies, lambda s, y: F.cross_entropy(s, y, reduction="none")),
    "one_sided_margin": (lambda s, y: fused.one_sided_margin(s, y, 1.0, 4.0, 0.3, 0.5), plain_one_sided_margin),
}


@pytest.fixture(params=[(name, written_from) for name in PAIRS for written_from in (0, 10**9)], ids=str)
def pair(request, monkeypatch):
    name, written_from = request.param
    monkeypatch.setattr(fused, "WRITTEN_FROM", written_from)
    return PAIRS[name]


def samples(scale: float = 3.0, classes: int = K, dtype=torch.float64) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return (scale * torch.randn(B, classes, dtype=dtype)).requires_grad_(), torch.arange(B) % classes


@pytest.mark.parametrize("classes", [2, 3, 63, 64, 65, K])
@pytest.mark.parametrize("scale", [1e-3, 3.0, 50.0, 1e4])
def test_value_and_gradient_are_those_of_the_plain_formula(pair, scale, classes):
    values, gradients = [], []
    for function in pair:
        scores, label = samples(scale, classes)
        value = function(scores, label)
        weights = torch.linspace(-1.0, 2.0, value.numel(), dtype=torch.float64)
        (value * weights).sum().backward()
        values.append(value)
        gradients.append(scores.grad)
    torch.testing.assert_close(*values, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("scale", [3.0, 1e4])
def test_float32_is_the_rounded_float64(pair, scale):
    fast, plain = pair
    scores, label = samples(scale, dtype=torch.float32)
    fast(scores, label).sum().backward()
    exact = scores.detach().double().requires_grad_()
    plain(exact, label).sum().backward()
    torch.testing.assert_close(fast(scores, label), plain(exact, label).float(), rtol=1e-6, atol=1e-7)
    assert exact.grad is not None
    torch.testing.assert_close(scores.grad, exact.grad.float(), rtol=1e-5, atol=1e-7)


def test_numerical_derivatives_agree_first_and_second(pair):
    scores, label = samples(1.0, 5)
    assert gradcheck(lambda s: pair[0](s, label), (scores,))
    assert gradgradcheck(lambda s: pair[0](s, label), (scores,))


def test_a_graph_can_be_walked_twice(pair):
    scores, label = samples()
    value = pair[0](scores, label).sum()
    first, again = (torch.autograd.grad(value, scores, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, again)


def test_gradients_of_a_graph_walked_thrice_add_up(pair):
    scores, label = samples()
    value = pair[0](scores, label).sum()
    once = torch.autograd.grad(value, scores, retain_graph=True)[0].clone()
    for _ in range(3):
        value.backward(retain_graph=True)
    torch.testing.assert_close(scores.grad, 3 * once, rtol=1e-12, atol=0)


def test_input_is_left_as_it_was(pair):
    scores, label = samples()
    before = scores.detach().clone()
    pair[0](scores, label).sum().backward()
    assert torch.equal(scores, before)


def test_transforms_see_the_plain_formula(pair):
    scores, label = samples()
    one_by_one = torch.func.vmap(torch.func.grad(lambda s, y: pair[0](s[None], y[None]).sum()))(scores.detach(), label)
    torch.cat([pair[1](scores[i : i + 1], label[i : i + 1]).reshape(1) for i in range(B)]).sum().backward()
    torch.testing.assert_close(one_by_one, scores.grad, rtol=1e-8, atol=1e-8)


def test_a_class_left_out_carries_no_entropy():
    scores, _ = samples()
    left_out = torch.cat([scores.detach(), torch.full((B, 1), -math.inf)], dim=1).requires_grad_()
    torch.testing.assert_close(fused.entropy(left_out), fused.entropy(scores))
    fused.entropy(left_out).sum().backward()
    assert left_out.grad is not None
    assert torch.equal(left_out.grad[:, -1], torch.zeros(B, dtype=torch.float64))


def test_compiled_is_the_same_in_one_graph(pair):
    scores, label = samples()
    compiled = torch.compile(pair[0], backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(scores, label), pair[1](scores, label), rtol=1e-8, atol=1e-8)
