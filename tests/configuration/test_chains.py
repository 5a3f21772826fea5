"""Chains of transforms as lists: the same transform twice, one identity with the equal mapping, mistakes with lines."""

import numpy as np
import pytest
import torch

from configuration.reading import read_configuration
from configuration.schema import Configuration
from datasets.augmentation.transforms import build_transforms
from datasets.base import ImageTable
from datasets.preprocessing import Preprocessing
from datasets.stream.image_stream import ImageStream
from evaluation.catalogue import NAME_CHECKS
from runs.folder import fingerprint
from sweeps.cells import expand, load_sweep
from sweeps.reading import find_mistakes
from training.parameter_checks import check_parameters
from utils.types import ConfigError

LIST = """image_augmentations:
  - RandomCrop: {size: 32, padding: 4}
  - RandomHorizontalFlip: {p: 0.5}
"""
TWICE = LIST + "  - RandomCrop: {size: 16}\n"
MAPPING = {"RandomCrop": {"size": 32, "padding": 4}, "RandomHorizontalFlip": {"p": 0.5}}


def read(tmp_path, text, *overrides):
    (tmp_path / "config.yml").write_text(text, encoding="utf-8")
    return read_configuration(str(tmp_path / "config.yml"), overrides, NAME_CHECKS, find_mistakes)


def test_a_list_without_repeats_is_the_mapping(tmp_path):
    config = read(tmp_path, LIST)
    assert config.image_augmentations == MAPPING
    assert fingerprint(config, "data") == fingerprint(Configuration(image_augmentations=MAPPING), "data")


@pytest.mark.parametrize("text", [LIST, TWICE])
def test_a_written_configuration_is_read_as_the_same(tmp_path, text):
    config = read(tmp_path, text)
    assert read(tmp_path, config.to_yaml()).values() == config.values()


@pytest.mark.parametrize(
    ("text", "override", "padding"),
    [
        (LIST, "image_augmentations.0.RandomCrop.padding=8", [8, None]),
        (LIST, "image_augmentations.RandomCrop.padding=8", [8, None]),
        (LIST, "image_augmentations.Pad.padding=8", [4, None, 8]),
        (TWICE, "image_augmentations.0.RandomCrop.padding=8", [8, None, None]),
        (TWICE, "image_augmentations.2.RandomCrop.padding=8", [4, None, 8]),
        (Configuration(image_augmentations=MAPPING).to_yaml(), "image_augmentations.0.RandomCrop.padding=8", [8, None]),
    ],
)
def test_overrides_reach_into_a_list(tmp_path, text, override, padding):
    chain = read(tmp_path, text, override).image_augmentations
    each = [params for one in chain for params in one.values()] if isinstance(chain, list) else chain.values()
    assert [params.get("padding") for params in each] == padding


def test_items_of_a_schedule_are_overridden_by_position(tmp_path):
    text = "lr_scheduler: SequentialLR\nlr_scheduler_params: {schedulers: [LinearLR: {}, StepLR: {step_size: 2}]}\n"
    params = read(tmp_path, text, "lr_scheduler_params.schedulers.1.StepLR.step_size=3").lr_scheduler_params
    assert params["schedulers"] == [{"LinearLR": {}}, {"StepLR": {"step_size": 3}}]


def test_mistakes_in_a_list_are_placed(tmp_path):
    text = TWICE + "  - RandomCrap: {size: 16}\n  - Pad\n  - {Pad: {}, RandomCrop: {}}\n  - Pad: 3\n"
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, "image_augmentations.RandomCrop.padding=8")
    path = tmp_path / "config.yml"
    assert str(caught.value).splitlines() == [
        f"{path}:5: image_augmentations.3.RandomCrap: unknown transform 'RandomCrap'; did you mean 'RandomCrop'? "
        "(python train.py --list transforms)",
        f"{path}:6: image_augmentations.4: must be a mapping of one name to its parameters, got 'Pad'",
        f"{path}:7: image_augmentations.5: must be a mapping of one name to its parameters, got "
        "{'Pad': {}, 'RandomCrop': {}}",
        f"{path}:8: image_augmentations.6.Pad: must be a mapping of parameters, got 3",
        "command line: image_augmentations.RandomCrop.padding: image_augmentations is a list: name one of its 7 items "
        "by position, from 0",
    ]


@pytest.mark.parametrize(("text", "key"), [(LIST, "RandomCrop"), (TWICE, "0.RandomCrop")])
def test_parameters_in_a_list_are_placed(tmp_path, text, key):
    config = read(tmp_path, text.replace("padding: 4", "paddin: 4"))
    with pytest.raises(ConfigError) as caught:
        build_transforms(config.image_augmentations, "image_augmentations")
    located = str(config.located(caught.value))
    assert located.startswith(f"{tmp_path / 'config.yml'}:2: image_augmentations.{key}.paddin: unknown parameter")


NESTED = """lr_scheduler: SequentialLR
lr_scheduler_params:
  schedulers:
    - LinearLR:
        start_factor: 0.1
        total_itrs: 3
    - LinearLR: {}
    - LinearLR:
        start_factor: 0
    - CosineAnnealingLR:
        T_max: abc
  milestones: [1, 2, 3]
image_augmentations:
  - RandomApply:
      transforms:
        - Pad: {padding: 1}
        - Pad:
            padding: 2
            fil: 0
      p: 7
  - RandomApply:
      transforms:
        - Pad: {padding: 1}
        - CutOut: {length: 2}
mixing:
  - MixUp
  - CutMix
mixing_params:
  MixUp:
    alpha: 1
  CutMix:
    alpa: 1
"""


def test_mistakes_inside_schedules_transforms_and_mixings_are_placed(tmp_path):
    config = read(tmp_path, NESTED)
    with pytest.raises(ConfigError) as caught:
        check_parameters(config)
    assert [line.partition(" (allowed")[0] for line in str(caught.value).splitlines()] == [
        f"{tmp_path / 'config.yml'}:{line}"
        for line in (
            "20: image_augmentations.0.RandomApply.p: must be a number from 0 to 1, got 7",
            "19: image_augmentations.0.RandomApply.transforms.1.Pad.fil: unknown parameter; did you mean 'fill'?",
            "24: image_augmentations.1.RandomApply.transforms.1.CutOut: comes after normalisation, so not inside "
            "RandomApply",
            "32: mixing_params.CutMix.alpa: unknown parameter; did you mean 'alpha'?",
            "6: lr_scheduler_params.schedulers.0.LinearLR.total_itrs: unknown parameter; did you mean 'total_iters'?",
            "11: lr_scheduler_params.schedulers.3.CosineAnnealingLR.T_max: must be a whole number, got 'abc'",
        )
    ]


def test_what_a_schedule_inside_another_refuses_is_placed(tmp_path):
    config = read(tmp_path, NESTED.replace("itrs", "iters").replace("abc", "3"))
    with pytest.raises(ConfigError, match=r"yml:8: lr_scheduler_params.schedulers.2.LinearLR: .*Starting mult"):
        check_parameters(config)


@pytest.mark.parametrize(("key", "names"), [("mixing", "MixUp, CutMx"), ("trackers", "mlflow, tensorbord")])
def test_a_wrong_name_in_a_list_is_placed(tmp_path, key, names):
    text = f"{key}:\n" + "".join(f"  - {name}\n" for name in names.split(", "))
    with pytest.raises(ConfigError, match=rf"^{tmp_path / 'config.yml'}:3: {key}\.1: unknown "):
        read(tmp_path, text)


@pytest.mark.parametrize("text", [LIST, TWICE])
def test_sweeps_reach_into_a_list(tmp_path, text):
    sweep = "augment_images: true\nsweep: {grid: {image_augmentations.0.RandomCrop.padding: [2, 6]}}\n"
    found = []
    for cell in expand(load_sweep(read(tmp_path, text + sweep))):
        chain = cell.config.image_augmentations
        found.append((chain[0] if isinstance(chain, list) else chain)["RandomCrop"])
    assert found == [{"size": 32, "padding": 2}, {"size": 32, "padding": 6}]


def test_sweeps_vary_whole_lists(tmp_path):
    twice = "[RandomGrayscale: {}, RandomGrayscale: {p: 1.0}]"
    sweep = f"augment_images: true\nsweep: {{grid: {{image_augmentations: [{twice}, {{Pad: {{padding: 1}}}}]}}}}\n"
    chains = [cell.config.image_augmentations for cell in expand(load_sweep(read(tmp_path, sweep)))]
    assert chains == [[{"RandomGrayscale": {}}, {"RandomGrayscale": {"p": 1.0}}], {"Pad": {"padding": 1}}]


@pytest.mark.parametrize("backend", ["fused", "torchvision"])
def test_a_transform_acts_twice(backend):
    pixels = np.random.default_rng(0).integers(0, 256, (1, 6, 6, 3), dtype=np.uint8)
    table = ImageTable(pixels, np.zeros(1, dtype=np.int64))
    flip = {"RandomHorizontalFlip": {"p": 1.0}}
    images = [
        ImageStream(table, [0], Preprocessing(None), image_augmentations=chain, backend=backend)[0].image[0]
        for chain in ([flip, flip], [flip], flip)
    ]
    plain = torch.from_numpy(pixels[0]).permute(2, 0, 1) / 255
    torch.testing.assert_close(images[0], plain)
    torch.testing.assert_close(images[1], plain.flip(-1))
    assert torch.equal(images[1], images[2])


def test_transforms_of_transforms_take_lists():
    chain = {"RandomApply": {"transforms": [{"Pad": {"padding": 1}}, {"Pad": {"padding": 2}}], "p": 1.0}}
    (transform,) = build_transforms(chain, "image_augmentations")
    assert [each.padding for each in transform.transforms] == [1, 2]  # type: ignore[attr-defined]
