"""One definition of the same run: which keys enter, which spellings and settings do not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from configuration.reading import read_configuration
from configuration.schema import KEYS, WITHOUT_INFLUENCE, Configuration
from evaluation.catalogue import NAME_CHECKS
from runs import identity
from runs.code import code_of
from runs.identity import fingerprint, settings_of
from runs.names import signature_of

ROOT = Path(__file__).resolve().parents[2]
BASE = ("dataset=digits", "accelerator=cpu")
CHAIN = "image_augmentations={RandomAffine: {degrees: 5}}"
ENTERING: dict[str, tuple[tuple[str, ...], str]] = {
    "task": ((), "detection"),
    "dataset": ((), "svhn"),
    "data_params": (("dataset=adience",), "{fold: 2}"),
    "classes": ((), "['1', '2']"),
    "flowers_train": (("dataset=flowers102",), "train"),
    "valid_fraction": ((), "0.2"),
    "select_on": ((), "test"),
    "label_noise": ((), "0.2"),
    "image_size": ((), "[32, 16]"),
    "convert_to_grayscale": ((), "true"),
    "normalize": ((), "false"),
    "normalization_params_rgb": ((), "{mean: [0.1, 0.2, 0.3], std: [1, 1, 1]}"),
    "normalization_params_grayscale": (("convert_to_grayscale=true",), "{mean: [0.1], std: [1]}"),
    "crop_to_bboxes": ((), "all"),
    "erase_background": (("crop_to_bboxes=true",), "true"),
    "augment_images": ((CHAIN,), "true"),
    "image_augmentations": (("augment_images=true",), "{RandomAffine: {degrees: 5}}"),
    "augment_tensors": (("tensor_augmentations={RandomErasing: {}}",), "true"),
    "tensor_augmentations": (("augment_tensors=true",), "{RandomErasing: {}}"),
    "augment_backend": (("augment_images=true", CHAIN), "torchvision"),
    "mixing": ((), "MixUp"),
    "mixing_params": (("mixing=MixUp",), "{alpha: 0.2}"),
    "architecture": ((), "resnet18"),
    "architecture_params": ((), "{width: 0.5}"),
    "dropout": ((), "0.1"),
    "output_channels": ((), "64"),
    "pretrained": ((), "true"),
    "weights_path": ((), "A"),
    "loss_function": ((), "FocalLoss"),
    "loss_params": (("loss_function=FocalLoss",), "{gamma: 3}"),
    "class_weights": ((), "balanced"),
    "seed": ((), "1"),
    "batch_size": ((), "32"),
    "num_epochs": ((), "3"),
    "optimizer": ((), "SGD"),
    "optimizer_params": ((), "{lr: 0.5}"),
    "optimizer_groups": ((), "{biases: {params: '*.bias'}}"),
    "freeze": ((), "backbone"),
    "freeze_statistics": (("freeze=backbone",), "false"),
    "layer_decay": ((), "0.8"),
    "decay_norms_and_biases": ((), "false"),
    "lookahead": ((), "{}"),
    "lr_scheduler": ((), "StepLR"),
    "lr_scheduler_params": (("lr_scheduler=StepLR",), "{step_size: 3}"),
    "gradient_clip_norm": ((), "1"),
    "accumulate_batches": ((), "2"),
    "ema_decay": ((), "0.9"),
    "metrics": ((), f"['{__file__}:read']"),
    "monitor": ((), "valid/loss"),
    "early_stopping_patience": ((), "3"),
    "devices": ((), "2"),
    "num_nodes": ((), "2"),
    "precision": ((), "bf16-mixed"),
    "compile": ((), "true"),
    "channels_last": ((), "false"),
    "smoke": ((), "true"),
}
"""Each key that can change a result -> what it needs to have an effect, and another value than its default."""
NOT_ENTERING = {
    *("data_path", "stanford_raw_data_path", "stanford_data_path", "download", "verify_checksums"),
    *("noisy_labels", "noisy_labels_name", "cache", "cache_limit_gb", "accelerator", "strategy", "num_workers"),
    *(
        "checkpoint_every_steps",
        "keep_checkpoints",
        "keep_epochs",
        "output_path",
        "loglevel",
        "logging_dir",
        "trackers",
        "mlflow_uri",
    ),
    *("experiment_name", "run_name", "tags", "notes", "log_to_neptune", "neptune_username", "neptune_project_name"),
    *("neptune_api_token", "neptune_mode", "evaluate", "evaluate_params", "sweep"),
}
"""Keys that cannot change what a run computes; data, and labels with noise, enter by their content."""


def read(*changes: str) -> Configuration:
    return read_configuration(None, [*BASE, *changes], NAME_CHECKS)


def of(*changes: str) -> str:
    return fingerprint(read(*changes), "data")


@pytest.mark.parametrize("key", KEYS)
def test_for_every_key_it_is_stated_whether_it_enters_the_identity(key):
    assert (key in ENTERING) != (key in NOT_ENTERING), f"state in this test whether {key} can change a result"
    assert (key in NOT_ENTERING) == (key in WITHOUT_INFLUENCE)


@pytest.mark.parametrize("key", ENTERING)
def test_another_value_of_an_entering_key_is_another_run(key, tmp_path):
    needs, value = ENTERING[key]
    if key == "weights_path":
        value = str(tmp_path / "a.pt")
        Path(value).write_bytes(b"a")
    if key == "smoke":  # which changes others, too: by itself
        plain = read()
        assert fingerprint(msgspec.structs.replace(plain, smoke=True), "data") != fingerprint(plain, "data")
        return
    assert of(*needs, f"{key}={value}") != of(*needs)


def test_other_data_is_another_run():
    assert fingerprint(read(), "data") != fingerprint(read(), "other")


SEQUENTIAL = "lr_scheduler=SequentialLR lr_scheduler_params={milestones: [1]"
SAME = {
    "short names": ("architecture=ghost", "architecture=ghostnet"),
    "a side and two": ("image_size=32", "image_size=[32, 32]"),
    "1 and 1.0": ("optimizer_params.lr=1", "optimizer_params.lr=1.0"),
    "classes as numbers": ("classes=[1, 2]", "classes=['1', '2']"),
    "a default of a loss": ("loss_function=FocalLoss", "loss_function=FocalLoss loss_params={gamma: 2.0}"),
    "a default of a loss of torch": ("seed=0", "loss_params={label_smoothing: 0.0}"),
    "a default within a loss": (
        "loss_function=CenterLoss loss_params={base: FocalLoss}",
        "loss_function=CenterLoss loss_params={base: FocalLoss,base_params: {gamma: 2}}",
    ),
    "a default of an optimizer": ("seed=0", "optimizer_params={lr: 1e-3,betas: [0.9,0.999],weight_decay: 1e-2}"),
    "look-ahead by its defaults": ("lookahead={}", "lookahead={k: 6, alpha: 0.5}"),
    "one pattern and a list of it": ("optimizer_groups={a: {params: x}}", "optimizer_groups={a: {params: [x]}}"),
    "a default of a schedule": (
        "lr_scheduler=StepLR lr_scheduler_params.step_size=3",
        "lr_scheduler=StepLR lr_scheduler_params={step_size: 3,gamma: 0.1}",
    ),
    "a default of a schedule within another": (
        f"{SEQUENTIAL},schedulers: [{{LinearLR: }},{{StepLR: {{step_size: 1}}}}]}}",
        f"{SEQUENTIAL},schedulers: [{{LinearLR: {{total_iters: 5}}}},{{StepLR: {{step_size: 1,gamma: 0.1}}}}]}}",
    ),
    "a default of a transform": (
        "augment_images=true image_augmentations={RandomHorizontalFlip: {}}",
        "augment_images=true image_augmentations={RandomHorizontalFlip: {p: 0.5}}",
    ),
    "a default of a mixing": ("mixing=CutMix", "mixing=CutMix mixing_params={alpha: 1,probability: 0.5}"),
    "a default of a network": (
        "architecture=densenet_bc_cifar",
        "architecture=densenet_bc_cifar architecture_params={depth: 100}",
    ),
    "a default of a data set": ("dataset=adience", "dataset=adience data_params={fold: 0}"),
    "parameters of no schedule": ("seed=0", "lr_scheduler_params={gamma: 0.1}"),
    "parameters of no mixing": ("seed=0", "mixing_params={alpha: 3}"),
    "augmentation switched off": ("seed=0", "image_augmentations={RandomAffine: {degrees: 5}}"),
    "augmentation by nothing": ("seed=0", "augment_images=true"),
    "a backend of no augmentation": ("seed=0", "augment_backend=torchvision"),
    "a background without a crop": ("seed=0", "erase_background=true"),
    "colours of gray images": (
        "convert_to_grayscale=true",
        "convert_to_grayscale=true normalization_params_rgb={mean: [0,0,0],std: [1,1,1]}",
    ),
    "gray of colour images": ("seed=0", "normalization_params_grayscale={mean: [0],std: [1]}"),
    "normalization switched off": (
        "normalize=false",
        "normalize=false normalization_params_rgb={mean: [0,0,0],std: [1,1,1]}",
    ),
    "flowers of digits": ("seed=0", "flowers_train=train"),
    "a share of validation that is not held out": ("select_on=test", "select_on=test valid_fraction=0.3"),
    "where it runs, at one precision": ("accelerator=cpu precision=32-true", "accelerator=cuda precision=32-true"),
    "precision that the CPU has anyway": ("precision=auto", "precision=32-true"),
    "trackers and paths": ("seed=0", "trackers=[mlflow] notes=x output_path=there num_workers=3 cache=none"),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_what_computes_the_same_is_one_run(pair):
    def words(text: str) -> list[str]:
        import re

        return re.split(r" (?=\w+(?:\.\w+)*=)", text)

    assert of(*words(pair[0])) == of(*words(pair[1]))


DIFFERENT = {
    "the order of groups": (
        "optimizer_groups={a: {params: x}, b: {params: y}}",
        "optimizer_groups={b: {params: y}, a: {params: x}}",
    ),
    "a parameter of a group": (
        "optimizer_groups={a: {params: x, optimizer_params: {lr: 0.1}}}",
        "optimizer_groups={a: {params: x, optimizer_params: {lr: 0.2}}}",
    ),
    "the order of transforms": (
        "image_augmentations={RandomHorizontalFlip: {}, RandomVerticalFlip: {}}",
        "image_augmentations={RandomVerticalFlip: {}, RandomHorizontalFlip: {}}",
    ),
    "a transform without parameters": ("image_augmentations={RandomHorizontalFlip: {}}", "image_augmentations={}"),
    "true and 1": ("loss_params={x: true}", "loss_params={x: 1}"),
    "a mode that does not follow from the monitor": (
        "lr_scheduler_params={monitor: valid/accuracy}",
        "lr_scheduler_params={monitor: valid/accuracy, mode: min}",
    ),
    "torch's default that is not the bench's": ("loss_params={}", "loss_params={reduction: mean}"),
    "no learning rate and the configuration's": ("optimizer_params={}", "optimizer_params={lr: 0.001}"),
}


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT)
def test_what_computes_something_else_is_another_run(pair):
    shared = ("augment_images=true", "lr_scheduler=ReduceLROnPlateau", "loss_function=KLDivLoss", "optimizer=Adagrad")
    assert of(*shared, pair[0]) != of(*shared, pair[1])


def test_the_bench_s_own_defaults_are_those_that_are_used():
    from losses import TORCH_DEFAULTS, build_loss

    for name, defaults in TORCH_DEFAULTS.items():
        module = build_loss(name).module
        assert {key: getattr(module, key) for key in defaults} == defaults
    assert signature_of("lr_scheduler", "ReduceLROnPlateau").defaults["monitor"] == "valid/loss"
    assert "mode" not in signature_of("lr_scheduler", "ReduceLROnPlateau").defaults


def test_bfloat16_on_a_gpu_is_not_float32_on_a_cpu(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert of("accelerator=cuda") == of("accelerator=auto") == of("precision=bf16-mixed")
    assert of("accelerator=cuda") != of("accelerator=cpu")


def test_weights_enter_by_their_content_wherever_they_lie(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    for key in ("weights_path", "loss_params.teacher_path"):
        a, b, c = (of(f"{key}={tmp_path / name}") for name in "abc")
        assert a == b != c
        assert a != of()
    assert of(f"weights_path={tmp_path / 'a'}") != of(f"loss_params.teacher_path={tmp_path / 'a'}")
    (tmp_path / "a").write_bytes(b"22")
    assert of(f"weights_path={tmp_path / 'a'}") not in (b, c)


def test_a_key_that_is_added_with_its_default_leaves_every_run_as_it_is(monkeypatch):
    younger: Any = msgspec.defstruct(
        "Configuration", [("patience", int, 3)], bases=(Configuration,), frozen=True, kw_only=True
    )
    before = of("loss_function=FocalLoss")
    values = read("loss_function=FocalLoss").values()
    monkeypatch.setattr(identity, "ENTERING", (*identity.ENTERING, "patience"))
    monkeypatch.setattr(identity, "Configuration", younger)
    identity._defaults.cache_clear()
    try:
        assert fingerprint(msgspec.convert(values, younger), "data") == before
        assert fingerprint(msgspec.convert(values | {"patience": 4}, younger), "data") != before
    finally:
        identity._defaults.cache_clear()


def test_a_changed_default_takes_a_new_version():
    """Settings with their default are left out: with another default, raise VERSION and write both down here."""
    defaults = {key: value for key, value in Configuration().values().items() if key in ENTERING}
    defaults |= identity.FORMER_DEFAULTS
    known = json.loads((ROOT / "tests/runs/identity_defaults.json").read_text())
    assert known["version"] == identity.VERSION
    assert {key: defaults[key] for key in known["defaults"]} == known["defaults"]


def test_a_run_with_a_former_default_keeps_its_name_and_one_with_today_s_has_another():
    former = [f"{key}={json.dumps(value)}" for key, value in identity.FORMER_DEFAULTS.items()]
    assert of(*former) == "290677f600"  # as it was when that was the default
    assert of() == "ab4e891b0d"  # likewise, set by hand
    values = read(*former).values(without=identity.FORMER_DEFAULTS)
    assert identity.recorded_settings(values, {}) == settings_of(read(*former))


def test_settings_are_read_without_torch():
    code = (
        "import sys; from runs.identity import settings_of, read_settings; "
        "from configuration.reading import read_configuration; "
        "print(len(settings_of(read_configuration('config_template.yml')))); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    number, torch = done.stdout.split()
    assert int(number) > 30
    assert torch == "False"


@pytest.mark.parametrize("file", sorted((ROOT / "experiments").glob("*.yml")), ids=lambda path: path.stem)
def test_settings_of_every_recipe_are_hashable_and_survive_its_own_yaml(file):
    config = msgspec.structs.replace(read_configuration(str(file), (), NAME_CHECKS), sweep=None)
    settings = settings_of(config)
    assert frozenset(settings.items())
    import yaml

    assert identity.recorded_settings(yaml.safe_load(config.to_yaml()), {}) == settings


def test_several_mixings_enter_each_with_its_own_parameters():
    several = ("mixing=[CutMix, MixUp]",)
    assert of(*several) != of("mixing=CutMix") != of("mixing=[MixUp, CutMix]")
    assert of(*several, "mixing_params={CutMix: {alpha: 0.5}}") not in (
        of(*several),
        of(*several, "mixing_params={MixUp: {alpha: 0.5}}"),
    )
    assert "datasets/augmentation/mixing.py" in code_of(read(*several))
