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


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".safetensors"])
def test_state_dict_comes_back(source, tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    save_file(source.state_dict(), path) if suffix == ".safetensors" else torch.save(source.state_dict(), path)
    network = build_model(NAME, 5, weights_path=path)
    assert same(network, source)
    assert network.trained_classifier


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_state_dict_may_be_wrapped(source, tmp_path, key):
    torch.save({key: source.state_dict(), "epoch": 3}, tmp_path / "weights.pth")
    assert same(build_model(NAME, 5, weights_path=tmp_path / "weights.pth"), source)


def test_checkpoint_of_a_run_gives_its_network(source, tmp_path):
    state = {f"network.{name}": value for name, value in source.state_dict().items()}
    torch.save({"state_dict": state | {"loss.weight": torch.ones(2)}}, tmp_path / "best.ckpt")
    assert same(build_model(NAME, 5, weights_path=tmp_path / "best.ckpt"), source)


def test_file_takes_the_place_of_a_download(source, tmp_path):
    torch.save(source.state_dict(), tmp_path / "weights.pt")
    assert same(build_model(NAME, 5, pretrained=True, weights_path=tmp_path / "weights.pt"), source)


def test_torchvisions_own_names_are_understood(tmp_path):
    published = tv.resnet18(num_classes=5).eval()
    torch.save(published.state_dict(), tmp_path / "resnet18.pth")
    network = build_model("torchvision/resnet18", 5, weights_path=tmp_path / "resnet18.pth").eval()
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(network(x), published(x))


def test_head_of_another_class_count_stays_fresh_and_is_told(source, tmp_path):
    torch.save(source.state_dict(), tmp_path / "weights.pt")
    with pytest.warns(UserWarning, match=r"a last layer \[5, 128\], the network's is \[7, 128\]: it stays fresh"):
        network = build_model(NAME, 7, weights_path=tmp_path / "weights.pt")
    assert same(network.stages, source.stages)
    assert network.get_classifier().weight.shape == (7, 128)
    assert not network.trained_classifier


def test_missing_head_stays_fresh_and_is_told(source, tmp_path):
    state = {name: value for name, value in source.state_dict().items() if not name.startswith("classifier")}
    torch.save(state, tmp_path / "weights.pt")
    with pytest.warns(UserWarning, match=r"has no last layer, the network's is \[5, 128\]: it stays fresh"):
        network = build_model(NAME, 5, weights_path=tmp_path / "weights.pt")
    assert same(network.stages, source.stages)
    assert not network.trained_classifier


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
        ("https://example.org/weights.pt", "must be a local file, got 'https://example.org/weights.pt'"),
        ("weights.npz", "must end in one of .pt, .pth, .ckpt, .safetensors, got weights.npz"),
        ("/nowhere/weights.pt", "there is no file /nowhere/weights.pt"),
    ],
)
def test_unusable_path_is_refused(path, problem):
    with pytest.raises(ConfigError, match=f"weights_path: {problem}"):
        build_model(NAME, 5, weights_path=path)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    for content in (b"", b"not a file of weights"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=f"weights_path: .*weights{suffix} cannot be read"):
            build_model(NAME, 5, weights_path=path)


def test_file_that_would_run_code_is_refused(tmp_path):
    torch.save({"state_dict": pytest.Module}, tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match="cannot be read as a file of tensors"):
        build_model(NAME, 5, weights_path=tmp_path / "weights.pt")


def test_file_without_tensors_is_refused(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match="holds no state dict"):
        build_model(NAME, 5, weights_path=tmp_path / "weights.pt")
