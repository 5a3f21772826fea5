"""What only a GPU can show; benchmarks/on_gpu.sh runs these where there is one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_map
from torchvision import transforms as T

import evaluate
import train
from datasets.augmentation.fused.chain import FusedChain
from datasets.stream.draws import Draws
from losses import LOSSES, TORCH_LOSSES
from runs.folder import RunFolder
from tests.losses.cases import make, samples
from tests.training.resuming import SETUPS, SMALL, deaths, differences
from training import runner

DEVICE = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
    pytest.mark.usefixtures("plain_log"),
]
NAMES = [*LOSSES, *TORCH_LOSSES]
ON_GPU = {"accelerator": "gpu" if DEVICE == "cuda" else "cpu"}


def there(value):
    return tree_map(lambda leaf: leaf.to(DEVICE) if isinstance(leaf, torch.Tensor) else leaf, value)


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_and_its_gradient_are_those_of_the_cpu(name):
    """As the network gives its scores in bfloat16, from which the loss computes in float32."""
    scores, target = samples(name)
    values, gradients = [], []
    for device in ("cpu", DEVICE):
        loss = make(name).to(device)
        own = scores.to(device).detach().requires_grad_()
        value = loss(own.bfloat16(), there(target) if device == DEVICE else target)
        value.backward()
        values.append(value.detach().cpu())
        assert own.grad is not None
        gradients.append(own.grad.cpu())
    torch.testing.assert_close(values[1], values[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-2, atol=1e-5)  # a gradient in bfloat16


@pytest.mark.parametrize("name", [name for name in LOSSES if make(name).kind == "image"])
def test_a_compiled_loss_gives_the_same(name):
    scores, target = samples(name)
    plain, compiled = make(name).to(DEVICE).eval(), torch.compile(make(name).to(DEVICE).eval(), dynamic=False)
    values = [loss(there(scores), there(target)) for loss in (plain, compiled)]
    torch.testing.assert_close(values[1], values[0], rtol=1e-4, atol=1e-5)
    torch.compiler.reset()


def test_augmentation_on_the_gpu_gives_nearly_the_pixels_of_the_cpu(record_property):
    """OpenCV rounds places to 1/32 pixel, so that one seed means the same images but for rounding."""
    transforms = [
        T.RandomHorizontalFlip(),
        T.RandomAffine(degrees=25, translate=(0.1, 0.1), scale=(0.9, 1.1), shear=8),
        T.ColorJitter(0.2, 0.2, 0.2, 0.1),
    ]
    smooth = np.add.outer(np.arange(48) * 3, np.arange(60) * 2)
    images = np.stack([np.stack([smooth + n, smooth[::-1] + n, smooth[:, ::-1] + n], -1) for n in range(8)])
    images = images.clip(0, 255).astype(np.uint8)
    chain = FusedChain(transforms, (48, 60), 3)
    drawn = chain.draw(Draws(0, 8), 0, np.arange(8), np.zeros(8, dtype=np.int64))
    here = chain.on_cpu(images, drawn).float()
    moved = chain.on_device(torch.from_numpy(images).permute(0, 3, 1, 2).to(DEVICE), drawn).cpu().float()
    difference = (here - moved).abs()
    record_property("largest difference of a pixel, of 255", float(difference.max()))
    record_property("mean difference of a pixel, of 255", float(difference.mean()))
    assert difference.mean() < 0.6


@pytest.fixture
def read(quick, tmp_path):
    return lambda place, **changes: quick(output_path=tmp_path / place, **SMALL | ON_GPU | changes)


@pytest.mark.parametrize("setup", ["plain", "together", "augmented"])
def test_a_run_that_dies_resumes_to_the_same_bits(read, setup):
    whole, _ = runner.train(read("whole", **SETUPS[setup]))
    *_, end = deaths(lambda **changes: read("dying", **changes), **SETUPS[setup])
    assert differences(whole, end) == []


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_saved_weights_evaluate_to_the_numbers_of_their_epoch(read, precision, capsys):
    folder, summary = runner.train(read("run", precision=precision, image_size="32"))
    assert evaluate.main([str(folder.path), "--on", "valid"]) == 0
    assert f"{100 * summary['best/valid_accuracy']:.2f}" in capsys.readouterr().out


def test_four_runs_share_the_gpu(tmp_path):
    file = tmp_path / "some.yml"
    file.write_text(
        "dataset: digits\nconvert_to_grayscale: true\nimage_size: null\narchitecture: test_resnet\nnum_epochs: 1\n"
        f"trackers: []\naccelerator: gpu\noutput_path: {tmp_path}/output\nlogging_dir: {tmp_path}/logs\n"
        "sweep: {seeds: 4, gpus_per_run: 0.25}\n"
    )
    assert train.main([str(file)]) == 0
    finished = [RunFolder(path.parent).read_summary() for path in (tmp_path / "output").glob("*/summary.json")]
    assert len(finished) == 4
    assert all(math.isfinite(summary["test/loss"]) for summary in finished)
