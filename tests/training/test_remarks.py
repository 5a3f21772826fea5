"""What is allowed but hardly meant earns a warning where it is decided."""

from __future__ import annotations

import logging

import pytest
import torch

from configuration.schema import Normalization
from evaluation.subject import open_subject
from models import timm_models
from training import runner
from training.building import prepare
from training.checks import warn_after_test
from training.networks import own_normalization, with_own_normalization

LITE = {"architecture": "tf_efficientnet_lite0", "image_size": "32", "convert_to_grayscale": "false"}


@pytest.fixture
def lite(tmp_path):
    """A file of weights of an EfficientNet-Lite0 of ten classes."""
    network, _ = timm_models.build("tf_efficientnet_lite0", 10)
    torch.save(network.state_dict(), tmp_path / "lite0.pt")
    return tmp_path / "lite0.pt"


def warnings_of(caplog, config) -> str:
    with caplog.at_level(logging.INFO, "lossbench"):
        runner.check(config)
    return caplog.text


def test_few_validation_images_are_counted(quick, caplog):
    said = warnings_of(caplog, quick(classes=["3", "8"]))
    assert "valid_fraction: 28 validation images select the checkpoint, each 3.6 points of accuracy" in said


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({"architecture": "ghostnet", "precision": "bf16-mixed"}, True),
        ({"architecture": "ghostnet", "precision": "32-true"}, False),
        ({"architecture": "resnet20_basic", "precision": "bf16-mixed"}, False),
    ],
)
def test_depthwise_convolutions_in_bfloat16_on_a_cpu_are_warned_of(quick, caplog, changes, warned):
    said = warnings_of(caplog, quick(image_size=32, **changes))
    assert ("precision: ghostnet has depthwise convolutions, which a CPU may train 25 times slower" in said) == warned


def test_enough_of_them_and_the_test_part_earn_no_warning(quick, caplog):
    assert "select the checkpoint" not in warnings_of(caplog, quick(valid_fraction=0.2))
    assert "select the checkpoint" not in warnings_of(caplog, quick(classes=["3", "8"], select_on="test"))


def test_a_crop_of_another_size_than_the_test_images_is_named(quick, caplog):
    crop = {"augment_images": "true", "image_augmentations": "{RandomCrop: {size: 12, padding: 4}}"}
    said = warnings_of(caplog, quick(image_size=16, **crop))
    assert "image_augmentations: training images are 12 x 12, validation and test images 16 x 16 (image_size)" in said


def test_a_learning_rate_of_a_thousand_is_named(quick, caplog):
    assert "optimizer_params: lr is 1000; few optimizers learn with more than 1" in warnings_of(
        caplog, quick(optimizer_params__lr=1000)
    )


def test_a_mean_of_pixels_up_to_255_is_named(quick, caplog):
    said = warnings_of(caplog, quick(normalize="true", normalization_params_grayscale="{mean: [127.0], std: [60.0]}"))
    assert "normalization_params_grayscale: mean is [127.0], pixels go from 0 to 1; divide mean and std by 255" in said


def test_a_result_at_chance_is_remarked_and_one_above_is_not(caplog):
    target = torch.tensor([0, 0, 0, 1]).numpy()
    with caplog.at_level(logging.WARNING, "lossbench"):
        warn_after_test(0.76, target)
        assert caplog.text == ""
        warn_after_test(0.75, target)
    assert "no better than always answering the most frequent class (75.00 %)" in caplog.text


def test_a_run_hands_on_the_accuracy_of_its_test(quick, monkeypatch):
    seen = []
    monkeypatch.setattr("training.finishing.warn_after_test", lambda *each: seen.append(each))
    _, summary = runner.train(quick(num_epochs=1))
    ((accuracy, target),) = seen
    assert accuracy == summary["test/accuracy"]
    assert len(target) == 359


def test_auto_takes_the_numbers_that_the_weights_were_trained_with(quick, lite):
    plain, started = quick(**LITE), quick(**LITE, weights_path=lite)
    assert own_normalization(plain) is None
    assert with_own_normalization(plain).normalization == plain.normalization_params_rgb
    assert with_own_normalization(started).normalization == Normalization([0.5] * 3, [0.5] * 3)
    stream = prepare(started).data.train_stream
    assert (stream.preprocessing.mean, stream.preprocessing.std) == ((0.5,) * 3, (0.5,) * 3)


def test_numbers_that_are_given_and_a_plain_true_stay(quick, lite, caplog):
    own = "{mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6]}"
    given = with_own_normalization(quick(**LITE, weights_path=lite, normalization_params_rgb=own))
    assert given.normalization == Normalization([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    config = quick(**LITE, weights_path=lite, normalize="true")
    assert with_own_normalization(config).normalization == config.normalization_params_rgb
    said = warnings_of(caplog, config)
    assert "normalize: the weights were trained with mean [0.5, 0.5, 0.5] and std [0.5, 0.5, 0.5]" in said


def test_gray_images_for_a_network_of_colour_are_named_and_the_tensors_counted(quick, lite, caplog):
    said = warnings_of(caplog, quick(**LITE | {"convert_to_grayscale": "true"}, weights_path=lite))
    assert "convert_to_grayscale: the weights were trained on colour images" in said
    count = len(torch.load(lite, weights_only=True))
    assert f"loaded {count} of {count} tensors from {lite}" in said


def test_weights_of_a_run_bring_the_run_s_normalisation(quick, trained):
    own = "{mean: [0.2], std: [0.7]}"
    few = {"classes": "[0,1]", "num_epochs": 1}
    folder = trained(**few, normalization_params_grayscale=own)
    config = quick(**few, weights_path=folder.best, seed=1)
    assert with_own_normalization(config).normalization == Normalization([0.2], [0.7])
    second, _ = runner.train(config)
    preprocessing = open_subject(second.path).part.stream.preprocessing
    assert (preprocessing.mean, preprocessing.std) == ((0.2,), (0.7,))
