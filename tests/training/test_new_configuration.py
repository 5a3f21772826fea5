"""`train.py --new`: a configuration that fits a data set's images, and that can be trained as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import train
from configuration.reading import read_configuration
from configuration.schema import Configuration
from evaluation.catalogue import NAME_CHECKS
from training.building import prepare
from training.learning_rates import build_scheduler
from training.optimizers import build_optimizer


def draw(folder: Path, size: tuple[int, int], gray: bool = False, classes: int = 3) -> Path:
    """Write a folder of images of noise, four of each class to train on and two to test. Args: size: height, width."""
    random = np.random.default_rng(0)
    for part, count in (("train", 4), ("test", 2)):
        for name in "abc"[:classes]:
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, size if gray else (*size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{number}.png")
    return folder


def write(*words: str, file: Path) -> Configuration:
    assert train.main([str(file), "--new", *words]) == 0
    return read_configuration(str(file), (), NAME_CHECKS)


@pytest.mark.parametrize(
    ("size", "pretrained", "image_size", "architecture"),
    [
        ((32, 32), None, [32, 32], "resnet20_basic"),
        ((120, 150), None, [96, 96], "resnet18"),
        ((400, 500), None, [224, 224], "resnet18"),
        ((400, 500), "tf_efficientnet_lite1", [240, 240], "tf_efficientnet_lite1"),
        ((112, 112), "tf_efficientnet_lite0", [112, 112], "tf_efficientnet_lite0"),
    ],
)
def test_size_and_network_fit_the_images(size, pretrained, image_size, architecture, tmp_path, capsys):
    folder = draw(tmp_path / "images", size)
    words = [str(folder), *(["--pretrained", pretrained] if pretrained else [])]
    config = write(*words, file=tmp_path / "my.yml")
    assert (config.dataset, config.data_path) == ("image_folder", str(folder))
    assert (config.image_size, config.architecture) == (image_size, architecture)
    assert (config.pretrained, config.normalize) == (pretrained is not None, "auto")
    assert config.convert_to_grayscale is False
    assert "12 training images in 3 classes; next: python train.py" in capsys.readouterr().out


@pytest.mark.parametrize("epochs", range(1, 8))
def test_any_number_of_epochs_can_be_trained_and_the_learning_rate_stands_once(epochs, tmp_path):
    config = write("digits", file=tmp_path / "my.yml")
    assert "lr" not in config.optimizer_params  # of no effect
    optimizer = build_optimizer(config.optimizer, [nn.Parameter(torch.zeros(1))], **config.optimizer_params)
    built = build_scheduler(config.lr_scheduler, optimizer, 1, epochs, **config.lr_scheduler_params)
    assert built is not None
    assert built["scheduler"].get_last_lr()[0] < config.lr_scheduler_params["max_lr"]


def test_gray_images_get_one_channel_and_their_own_mean(tmp_path):
    config = write(str(draw(tmp_path / "images", (16, 16), gray=True)), file=tmp_path / "my.yml")
    assert config.convert_to_grayscale
    assert config.normalization is not None
    assert config.normalization.mean == pytest.approx([0.5], abs=0.03)
    assert config.normalization.std == pytest.approx([0.29], abs=0.02)


def test_a_data_set_is_taken_by_name_and_what_is_written_can_be_trained(tmp_path):
    config = write("digits", file=tmp_path / "my.yml")
    assert (config.dataset, config.image_size, config.convert_to_grayscale) == ("digits", [8, 8], True)
    assert prepare(config).data.image_size == (8, 8)


def test_texts_get_a_network_and_a_loss_for_texts(tmp_path):
    folder = tmp_path / "plates"
    folder.mkdir()
    lines = ["file,text,split"]
    for number in range(12):
        Image.new("RGB", (94, 24), (number, 0, 0)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,A{number % 3}B{number % 2},{'test' if number > 8 else 'train'}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    config = write("plates", f"data_path={folder}", file=tmp_path / "my.yml")
    assert (config.architecture, config.loss_function) == ("lprnet", "ConnectionistTemporalLoss")
    assert config.image_size == [24, 94]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["digit"], "--new: neither a folder nor a data set: unknown data set 'digit'; did you mean 'digits'?"),
        (["./gone"], "--new: no such folder: ./gone"),
        (["digits", "--pretrained", "resnet19"], "--pretrained: unknown architecture 'resnet19'; did you mean"),
        (
            ["digits", "--pretrained", "resnet20_basic"],
            "--pretrained: there are no published weights of resnet20_basic",
        ),
        (["digits", "seed=1"], "--new takes one FILE and data_path=PATH; edit the file for everything else"),
    ],
)
def test_mistakes_are_answered_and_nothing_is_written(words, message, tmp_path, capsys):
    assert train.main([str(tmp_path / "my.yml"), "--new", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "my.yml").exists()


def test_a_file_that_exists_stays(tmp_path, capsys):
    (tmp_path / "my.yml").write_text("seed: 3\n")
    assert train.main([str(tmp_path / "my.yml"), "--new", "digits"]) == 2
    assert "exists already; name another file: python train.py --new digits my.yml" in capsys.readouterr().err
    assert (tmp_path / "my.yml").read_text() == "seed: 3\n"


def test_pretrained_alone_is_refused_with_the_key(capsys):
    assert train.main(["config_template.yml", "--pretrained", "resnet18"]) == 2
    assert "for a run write pretrained=true architecture=NAME" in capsys.readouterr().err
