"""airbench: what its first layer computes from training images, and that every run of a seed starts from the same."""

from __future__ import annotations

import pytest
import torch
from msgspec import structs
from torch import Tensor
from torch.nn import functional as F

from models import build_model
from models.flops import count_parameters
from training import runner
from training.building import prepare
from utils.types import ConfigError

SMALL = {"architecture": "airbench", "architecture_params": "{widths: [8, 8]}", "num_epochs": "1"}


def photographs(count: int) -> Tensor:
    """Return images whose neighbouring pixels are alike. Shapes: [count, 3, 32, 32]."""
    noise = torch.randn(count, 3, 34, 34, generator=torch.Generator().manual_seed(0))
    return F.avg_pool2d(noise, 3, stride=1) + noise.mean(dim=(2, 3), keepdim=True)


def whitening(network: torch.nn.Module) -> torch.nn.Module:
    return network.get_submodule("stages.0.0")


def test_patches_leave_the_first_layer_uncorrelated_with_their_negatives():
    network, images = build_model("airbench", 10), photographs(100)
    network.start_from(images.split(30))
    values = (whitening(network)(images) - network.stages[0][0].bias[:, None, None]).transpose(0, 1).flatten(1)
    torch.testing.assert_close(values[:12] @ values[:12].T / values.shape[1], torch.eye(12), atol=0.05, rtol=0)
    torch.testing.assert_close(values[12:], -values[:12])


def test_filters_do_not_depend_on_batches_nor_on_weights_of_the_start():
    filters = []
    for seed, size in ((0, 100), (1, 7)):
        torch.manual_seed(seed)
        network = build_model("airbench", 10)
        network.start_from(photographs(100).split(size))
        filters.append(whitening(network).get_buffer("weight").clone())
    torch.testing.assert_close(*filters, rtol=1e-5, atol=1e-6)


def test_filters_are_saved_and_not_trained():
    network = build_model("airbench", 10)
    assert "stages.0.0.weight" in network.state_dict()
    assert "stages.0.0.weight" not in dict(network.named_parameters())
    pairs = ((24, 64), (64, 256), (256, 256))
    filters = sum(9 * width * (channels + width) for channels, width in pairs)
    assert count_parameters(network) == filters + 24 + 2 * (64 + 256 + 256) + 256 * 10  # biases, the last layer


def test_too_few_images_are_refused():
    text = "patches of 12 values, for which 11 training images are too few: at least 12"
    with pytest.raises(ConfigError, match=text):
        build_model("airbench", 10).start_from([photographs(11)])


def test_no_width_is_refused():
    with pytest.raises(ConfigError, match=r"architecture_params: airbench refuses them: widths must hold a number"):
        build_model("airbench", 10, widths=[])


def test_too_few_training_images_are_refused_with_the_place(quick):
    config = quick(**SMALL | {"architecture_params": "{widths: [8, 8], patch: 4}", "classes": "[0, 1]"})
    config = structs.replace(config, architecture_params={"widths": [8], "patch": 7}, valid_fraction=0.9)
    with pytest.raises(ConfigError, match=r"command line: architecture: .* patches of 49 values, for which \d\d train"):
        prepare(config)


def test_every_loss_of_a_seed_starts_from_the_same_filters_and_other_seeds_from_others(quick):
    def filters(**changes: str) -> Tensor:
        return whitening(prepare(quick(**SMALL | changes)).classifier.network).get_buffer("weight")

    plain = filters()
    assert torch.equal(plain, filters())
    assert torch.equal(plain, filters(loss_function="TripletLoss", image_augmentations="{RandomVerticalFlip: {}}"))
    assert torch.equal(plain, filters(loss_function="DataDistortionDistillationLoss"))
    assert not torch.equal(plain, filters(seed="1"))


@pytest.mark.usefixtures("plain_log", "quiet_runs")
def test_weights_of_a_file_bring_their_filters(quick, tmp_path):
    folder, _ = runner.train(quick(**SMALL))
    weights = torch.load(folder.best, weights_only=True)["state_dict"]["network.stages.0.0.weight"]
    config = quick(**SMALL, seed=1, weights_path=folder.best)
    assert torch.equal(whitening(prepare(config).classifier.network).get_buffer("weight"), weights)
