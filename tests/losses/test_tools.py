"""Every loss goes through torch's tools, or says in its file why it does not."""

from __future__ import annotations

import pytest
import torch
from cases import make, samples
from torch.func import grad, vmap

from losses import LOSSES, TORCH_LOSSES

NAMES = [*LOSSES, *TORCH_LOSSES]


def within(name: str, tool: str) -> None:
    if reason := make(name).limits.get(tool):
        pytest.skip(f"{name}: {reason}")


@pytest.mark.parametrize("name", NAMES)
def test_compiled_losses_train_as_they_do_uncompiled(name):
    within(name, "compile")
    scores, target = samples(name)
    torch.compiler.reset()
    results = []
    for loss in (make(name), torch.compile(make(name), fullgraph=True, backend="aot_eager")):
        own = scores.clone().requires_grad_()
        torch.manual_seed(0)
        value = loss(own, target)  # type: ignore[operator]
        value.backward()
        results.append((value.detach(), own.grad))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("name", NAMES)
def test_exported_losses_judge_alike(name):
    within(name, "export")
    loss, batch = make(name).eval(), samples(name)
    torch.testing.assert_close(torch.export.export(loss, batch).module()(*batch), loss(*batch))


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch loops where it has no rule for batches
@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_each_sample_by_vmap(name):
    within(name, "vmap")
    loss, (scores, target) = make(name).eval(), samples(name)
    each = vmap(grad(lambda row, label: loss(row[None], label[None])))(scores, target)
    rows = [grad(lambda row: loss(row[None], label[None]))(row) for row, label in zip(scores, target, strict=True)]  # noqa: B023
    torch.testing.assert_close(each, torch.stack(rows))


@pytest.mark.parametrize("name", NAMES)
def test_autocast_changes_nothing(name):
    within(name, "autocast")
    loss, batch = make(name).eval(), samples(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(*batch)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(*batch))


@pytest.mark.parametrize("name", NAMES)
def test_float64_stays_float64(name):
    within(name, "float64")
    scores, target = samples(name)
    value = make(name).double().eval()(scores.double(), target)
    assert value.dtype == torch.float64
    torch.testing.assert_close(value.float(), make(name).eval()(scores, target), rtol=1e-4, atol=1e-4)
