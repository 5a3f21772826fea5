"""SAN: pairwise attention against loops over pixels, and the published sizes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models import build_model
from models.flops import count_multiply_adds, count_parameters
from models.networks.san import _PairwiseAttention, _reflected, _san


def attention(channels, kernel):
    """Return attention in eval mode, float64, with statistics that matter."""
    torch.manual_seed(0)
    module = _PairwiseAttention(channels, kernel).double()
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.get_buffer("running_mean"))
            nn.init.uniform_(norm.get_buffer("running_var"), 0.5, 2)
    return module.eval()


def small_network():
    torch.manual_seed(0)
    return _san(5, 3, 0.0, (1, 1, 1, 1, 1)).eval()


def reflect(i, size):
    while size > 1 and not 0 <= i < size:
        i = -i if i < 0 else 2 * (size - 1) - i
    return i if size > 1 else 0


def by_loops(module, x):
    """The paper's equations 2 and 3, pair by pair."""
    batch, _, height, width = x.shape
    pad = module.kernel // 2
    phi, psi, beta = module.phi(x), module.psi(x), module.beta(x)
    place = {
        (r, c): torch.tensor([2 * c / max(width - 1, 1) - 1, 2 * r / max(height - 1, 1) - 1], dtype=x.dtype)
        for r in range(height)
        for c in range(width)
    }
    y = torch.zeros_like(beta)
    for b in range(batch):
        for r in range(height):
            for c in range(width):
                mapped, values = [], []
                for dr in range(-pad, pad + 1):
                    for dc in range(-pad, pad + 1):
                        i, j = reflect(r + dr, height), reflect(c + dc, width)
                        distance = module.position.weight[:, :, 0, 0] @ (place[r, c] - place[i, j])
                        pair = torch.cat([phi[b, :, r, c] - psi[b, :, i, j], distance])
                        mapped.append(module.gamma(pair[None, :, None, None]).flatten())
                        values.append(beta[b, :, i, j])
                weights = torch.stack(mapped).softmax(dim=0)
                for channel in range(beta.shape[1]):
                    shared = weights[:, channel % weights.shape[1]]
                    y[b, channel, r, c] = (shared * torch.stack(values)[:, channel]).sum()
    return y


@pytest.mark.parametrize(("channels", "kernel", "size"), [(64, 3, (2, 5)), (64, 7, (4, 5)), (32, 7, (1, 3))])
def test_attention_is_the_sum_over_pairs(channels, kernel, size):
    module = attention(channels, kernel)
    x = torch.randn(2, channels, *size, dtype=torch.float64)
    torch.testing.assert_close(module(x), by_loops(module, x))


def test_attention_has_the_gradient_of_the_sum_over_pairs():
    module = attention(64, 3)
    x = torch.randn(1, 64, 3, 4, dtype=torch.float64, requires_grad=True)
    given = torch.randn(1, 16, 3, 4, dtype=torch.float64)
    wanted = [x, *module.parameters()]
    ours = torch.autograd.grad(module(x), wanted, given)
    theirs = torch.autograd.grad(by_loops(module, x), wanted, given)
    torch.testing.assert_close(ours, theirs)


def test_equal_weights_give_the_mean_of_the_neighbours():
    module = attention(128, 7)
    nn.init.zeros_(module.get_parameter("gamma.5.weight"))
    x = torch.randn(2, 128, 6, 9, dtype=torch.float64)
    mean = F.avg_pool2d(F.pad(module.beta(x), (3, 3, 3, 3), mode="reflect"), 7, stride=1)
    torch.testing.assert_close(module(x), mean)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
def test_maps_are_reflected_as_often_as_short_axes_need_it(size):
    assert _reflected(size, 3, torch.device("cpu")).tolist() == np.pad(np.arange(size), 3, mode="reflect").tolist()


def test_what_is_kept_for_the_gradient_holds_no_copies_of_the_values():
    module, x = attention(64, 7), torch.randn(2, 64, 8, 8, dtype=torch.float64)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.untyped_storage().nbytes()), lambda t: t):
        module(x)
    pairs = 2 * 8 * 8 * 7 * 7 * x.element_size()
    assert max(kept) == (4 + 2) * pairs  # the relation and the distance; the values would be 16


def test_san15_has_the_size_of_its_published_code():
    with torch.device("meta"):
        assert count_parameters(build_model("san15", 1000)) == 14_065_406  # 30 more there: biases that cancel


@pytest.mark.parametrize(
    ("blocks", "millions", "billions"),
    [((2, 1, 2, 4, 1), 10.5, 2.2), ((3, 2, 3, 5, 2), 14.1, 3.0), ((3, 3, 4, 6, 3), 17.6, 3.8)],
)
def test_family_has_the_published_costs(blocks, millions, billions):
    elementwise = 0  # the published numbers are met if this counts: biases, norms twice, ReLU, pooling, pairs

    def count(module, inputs, output):
        nonlocal elementwise
        if isinstance(module, _PairwiseAttention):
            differences = output.numel() // 4
            elementwise += (output.numel() + differences) * module.kernel**2
        elif isinstance(module, nn.MaxPool2d):
            elementwise += inputs[0].numel()
        elif isinstance(module, nn.Conv2d):
            elementwise += 0 if module.bias is None else output.numel()
        else:
            elementwise += output.numel() * (2 if isinstance(module, nn.BatchNorm2d) else 1)

    with torch.device("meta"):
        network = _san(1000, 3, 0.0, blocks)
    for module in network.modules():
        if isinstance(module, (_PairwiseAttention, nn.MaxPool2d, nn.Conv2d, nn.BatchNorm2d, nn.ReLU)):
            module.register_forward_hook(count)
    multiply_adds = count_multiply_adds(network, 224, 3)
    assert round(count_parameters(network) / 1e6, 1) == millions
    assert round((multiply_adds + elementwise) / 1e9, 1) == billions


def test_maps_have_the_published_sizes():
    with torch.device("meta"):
        _, maps = small_network().forward_intermediates(torch.empty(1, 3, 224, 224))
    assert [tuple(x.shape[1:]) for x in maps] == [
        *((64, 112, 112), (256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7))
    ]


def test_bfloat16_gives_the_scores_to_its_precision():
    network, x = small_network(), torch.randn(4, 3, 16, 16)
    expected = network(x)
    scores = network.bfloat16()(x.bfloat16()).float()
    assert (scores - expected).norm() < 0.05 * expected.norm()
