"""Transforms of which no image comes are refused with what they may be."""

from __future__ import annotations

import pytest
from torchvision import transforms

from datasets.augmentation.transforms import build_transforms
from training import building
from utils.types import ConfigError

SENSELESS = {
    "RandomRotation": ({"degrees": float("nan")}, "degrees: must be finite, got nan"),
    "RandomAffine": ({"degrees": 5, "scale": [2, 1]}, r"scale: must be two ascending numbers above 0, got \[2, 1\]"),
    "RandomHorizontalFlip": ({"p": 2}, "p: must be a number from 0 to 1, got 2"),
    "RandomVerticalFlip": ({"p": [0.1]}, r"p: must be a number from 0 to 1, got \[0.1\]"),
    "RandomGrayscale": ({"p": "half"}, "p: must be a number from 0 to 1, got 'half'"),
    "Pad": ({"padding": 2, "fill": 300}, "fill: must be 0 to 255, a number or one a channel, got 300"),
    "RandomResizedCrop": ({"size": 8, "scale": [0, 0]}, "scale: must be two ascending numbers above 0, up"),
    "RandomErasing": ({"value": 255}, r"value: must be 0 to 1 \(pixels are no bytes then\)"),
    "GaussianBlur": ({"kernel_size": [3, 4]}, r"kernel_size: must be an odd number of pixels, .* got \[3, 4\]"),
    "RandomPosterize": ({"bits": 20}, "bits: must be 0 to 8, got 20"),
    "RandomApply": ({"transforms": ["ColorJitter"]}, "transforms: must be a mapping of transforms to their"),
    "RandomChoice": ({"transforms": {}}, "transforms: must be a mapping of transforms to their"),
    "RandomPerspective": (
        {"interpolation": "bilinera"},
        "interpolation: must be one of nearest, .*'bilinear'",
    ),
}


@pytest.mark.parametrize(
    ("param", "value"),
    [("kernel_size", value) for value in (2, -3, 3.0, True, "3", [], [3, 3, 3])]
    + [("sigma", value) for value in (0, -1, 1e-9, "1", [2, 1], [0, 1], [1], [1, float("inf")])],
)
def test_a_blur_without_a_sense_is_refused(param, value):
    with pytest.raises(ConfigError, match=rf"^image_augmentations\.GaussianBlur\.{param}: must be "):
        build_transforms({"GaussianBlur": {"kernel_size": 3, param: value}}, "image_augmentations")


@pytest.mark.parametrize("name", SENSELESS)
def test_parameters_without_a_sense_are_refused_by_name(name):
    params, message = SENSELESS[name]
    with pytest.raises(ConfigError, match=f"^image_augmentations.{name}.{message}"):
        build_transforms({name: params}, "image_augmentations")


def test_members_of_enumerations_are_texts_in_any_case():
    affine, automatic = build_transforms(
        {"RandomAffine": {"degrees": 5, "interpolation": "BILINEAR"}, "AutoAugment": {"policy": "cifar10"}}, "chain"
    )
    assert affine.interpolation == transforms.InterpolationMode.BILINEAR  # type: ignore
    assert automatic.policy == transforms.AutoAugmentPolicy.CIFAR10  # type: ignore


@pytest.mark.parametrize(
    ("key", "chain", "message"),
    [
        (
            "image",
            "{RandomHorizontalFlip: {}, RandAugment: {magnitude: 99}}",
            "image_augmentations.RandAugment: a ",
        ),
        (
            "tensor",
            "{RandomErasing: {p: 1, value: [1, 0]}}",
            "tensor_augmentations.RandomErasing: a ",
        ),
        (
            "image",
            "{RandomCrop: {size: 20}}",
            "image_augmentations.RandomCrop: a training image",
        ),
        (
            "image",
            "{RandomHorizontalFlip: {}, GaussianBlur: {kernel_size: 17}}",
            "image_augmentations.GaussianBlur: a training image",
        ),
        (
            "image",
            "{Grayscale: {num_output_channels: 3}}",
            "image_augmentations: give images of 3 ",
        ),
    ],
)
def test_the_transform_that_fails_on_an_image_is_named_with_its_place(quick, key, chain, message):
    config = quick(**{f"augment_{key}s": "true", f"{key}_augmentations": chain})
    with pytest.raises(ConfigError) as raised:
        building.prepare(config)
    assert str(raised.value).startswith(f"command line: {message}")
    assert "\n" not in str(raised.value)
