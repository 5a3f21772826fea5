"""Weights from a local file: what fits is loaded, what does not is named."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models as tv

from models import build_model
from utils.types import ConfigError

NAME = "squeezenext23_1_0"


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(1)
    return build_model(NAME, 5).eval()


def same(network, other):
    return all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    )


WRAPPED = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model": lambda state: {"model": state, "epoch": 3},
    "a run's checkpoint": lambda state: {
        "state_dict": {f"network.{name}": value for name, value in state.items()} | {"loss.weight": torch.ones(2)}
    },
}


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".pt", "plain"),
        (".safetensors", "plain"),
        (".pth", "state_dict"),
        (".pth", "model"),
        (".ckpt", "a run's checkpoint"),
    ],
)
@pytest.mark.parametrize("pretrained", [False, True])  # a file takes the place of a download
def test_weights_come_back_from_every_kind_of_file(source, tmp_path, suffix, content, pretrained):
    path, state = tmp_path / f"weights{suffix}", WRAPPED[content](source.state_dict())
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    network = build_model(NAME, 5, pretrained=pretrained, weights_path=path)
    assert same(network, source)
    assert network.trained_classifier


@pytest.mark.parametrize(
    ("classes", "missing", "message"),
    [
        (7, (), r"a last layer \[5, 128\], the network's is \[7, 128\]: it stays fresh"),
        (5, ("classifier",), r"has no last layer, the network's is \[5, 128\]: it stays fresh"),
    ],
)
def test_a_head_that_the_file_does_not_have_stays_fresh_with_a_warning(source, tmp_path, classes, missing, message):
    state = {name: value for name, value in source.state_dict().items() if not name.startswith(missing)}
    torch.save(state, tmp_path / "weights.pt")
    with pytest.warns(UserWarning, match=message):
        network = build_model(NAME, classes, weights_path=tmp_path / "weights.pt")
    assert same(network.stages, source.stages)
    assert network.get_classifier().weight.shape == (classes, 128)
    assert not network.trained_classifier


def test_torchvisions_own_names_are_understood(tmp_path):
    published = tv.resnet18(num_classes=5).eval()
    torch.save(published.state_dict(), tmp_path / "resnet18.pth")
    network = build_model("torchvision/resnet18", 5, weights_path=tmp_path / "resnet18.pth").eval()
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(network(x), published(x))


def test_colours_are_summed_for_grayscale(source, tmp_path):
    torch.save(source.state_dict(), tmp_path / "weights.pt")
    network = build_model(NAME, 5, in_channels=1, weights_path=tmp_path / "weights.pt").eval()
    x = torch.randn(2, 1, 33, 33)
    torch.testing.assert_close(network(x), source(x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)


def test_mismatch_names_the_layers(source, tmp_path):
    state = dict(source.state_dict())
    state["stages.9.weight"] = torch.ones(1)
    state["stages.1.1.body.0.weight"] = torch.ones(2, 2, 1, 1)
    for name in [name for name in state if name.startswith("stages.2.")][:15]:
        del state[name]
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(ConfigError) as caught:
        build_model(NAME, 5, weights_path=tmp_path / "weights.pt")
    message = str(caught.value)
    assert "missing: stages.2.0.body.0.weight, " in message
    assert " and 3 more; " in message  # of 13: two counters of batches need not be there
    assert "not in the network: stages.9.weight" in message
    assert "of another shape: stages.1.1.body.0.weight [2, 2, 1, 1] instead of [16, 64, 1, 1]" in message


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("weights.npz", "must end in one of .pt, .pth, .ckpt, .safetensors, got weights.npz"),
        ("/nowhere/weights.pt", "there is no file /nowhere/weights.pt"),
    ],
)
def test_unusable_path_is_refused(path, problem):
    with pytest.raises(ConfigError, match=f"weights_path: {problem}"):
        build_model(NAME, 5, weights_path=path)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_without_weights_is_refused(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    for content in (b"", b"not a file of weights"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=f"weights_path: .*weights{suffix} cannot be read"):
            build_model(NAME, 5, weights_path=path)
    torch.save({"epoch": 3}, tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match="holds no state dict"):
        build_model(NAME, 5, weights_path=tmp_path / "weights.pt")
