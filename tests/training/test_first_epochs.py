"""The one-sided margins of the template, and of their paper's recipes, train on real images: minutes each."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from configuration.reading import read_configuration
from configuration.schema import Configuration
from evaluation.catalogue import NAME_CHECKS
from sweeps.cells import expand, load_sweep
from sweeps.mistakes import find_mistakes
from training import runner

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT.parent / "shared" / "data"
pytestmark = [pytest.mark.torture, pytest.mark.usefixtures("plain_log")]


def cells(recipe: str) -> dict[str, Configuration]:
    """Return the runs of a recipe with a one-sided margin, of its first seed."""
    path = ROOT / "experiments" / f"{recipe}.yml"
    sweep = load_sweep(read_configuration(str(path), ["sweep.seeds=1"], NAME_CHECKS, find_mistakes))
    return {cell.name: cell.config for cell in expand(sweep) if "OneSidedMargin" in cell.config.loss_function}


TABLE_4, TABLE_5, TABLE_7 = (cells(f"osm_table{number}") for number in (4, 5, 7))
NETWORKS = {(config.architecture, config.loss_function): name for name, config in reversed(TABLE_5.items())}
"""Network and loss -> the first run of Table 5 with them."""


@pytest.fixture(scope="session")
def real(tmp_path_factory) -> Callable[[str], Path]:
    """Lay out a real sample by its name; gives the folder around it."""
    if not (SAMPLES / "unpack.py").is_file():
        pytest.skip(f"no real samples: {SAMPLES} is absent")
    folder = tmp_path_factory.mktemp("samples")

    def lay_out(name: str) -> Path:
        if not any(folder.glob(f"*{name}*")):
            subprocess.run([sys.executable, SAMPLES / "unpack.py", folder, name], check=True, capture_output=True)
        return folder

    return lay_out


def train(config: Configuration, folder: Path, **changes: Any) -> dict[str, Any]:
    """Train two epochs, the second at the learning rate that the warm-up leads to, clipped as the recipe says."""
    if config.lr_scheduler == "CosineWarmupRestarts":
        changes["lr_scheduler_params"] = {**config.lr_scheduler_params, "warmup_epochs": 1}
    here = {"trackers": [], "accelerator": "cpu", "num_workers": 0, "pretrained": False, "data_params": {}}
    folders = {"output_path": str(folder / "output"), "logging_dir": str(folder / "logs")}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*the lowest one is not the likeliest class")
        return runner.train(structs.replace(config, num_epochs=2, **here, **folders, **changes))[1]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_template_learns_the_digits_by_one_sided_margins(seed, tmp_path):
    changes = ["loss_function=OneSidedMarginLoss", f"seed={seed}", "trackers=[]", "accelerator=cpu", "num_workers=0"]
    folders = [f"output_path={tmp_path}/output", f"logging_dir={tmp_path}/logs"]
    config = read_configuration(str(ROOT / "config_template.yml"), [*changes, *folders], NAME_CHECKS)
    assert runner.train(config)[1]["test/accuracy"] > 0.97


@pytest.mark.parametrize("name", TABLE_4)
def test_every_setting_of_table_4_stays_finite_on_real_images(name, real, tmp_path):
    folder = real("cifar10_small") / "cifar10_small"
    summary = train(TABLE_4[name], tmp_path, dataset="image_folder", data_path=str(folder))
    assert math.isfinite(summary["best/train_loss"])
    assert summary["epochs_run"] == 2


@pytest.mark.parametrize("pair", NETWORKS, ids=" ".join)
def test_every_network_of_table_5_stays_finite_on_real_images(pair, real, tmp_path):
    """CIFAR-10's images stand for all sets; networks for 224 px see them at 64 px, from fresh weights."""
    config = TABLE_5[NETWORKS[pair]]
    changes: dict[str, Any] = {"dataset": "image_folder", "data_path": str(real("cifar10_small") / "cifar10_small")}
    if config.dataset == "cifar10_pair":
        changes["classes"] = ["airplane", "truck"]
    if config.image_size == 224:
        changes |= {"image_size": 64, "image_augmentations": {"RandomHorizontalFlip": {"p": 0.5}}}
    summary = train(config, tmp_path, **changes)
    assert math.isfinite(summary["best/train_loss"])
    assert summary["epochs_run"] == 2


@pytest.mark.parametrize("name", TABLE_7)
def test_every_run_of_table_7_stays_finite_on_real_plates(name, real, tmp_path):
    changes = {"dataset": "plates", "data_path": str(real("plates") / "plates"), "crop_to_bboxes": False}
    summary = train(TABLE_7[name], tmp_path, **changes)
    assert math.isfinite(summary["best/train_loss"])
    assert summary["epochs_run"] == 2
