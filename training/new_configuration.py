"""A short configuration file for a data set: sizes, channels and normalisation that fit its images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from configuration.reading import read_configuration
from configuration.yaml_text import write_yaml
from datasets import DATASETS, check_dataset_name, load_data_set
from datasets.base import DataSet, ImageTable
from datasets.statistics import channel_statistics
from losses import BASELINES
from models import build_model, check_architecture_name, weights_normalization
from training.names import NAME_CHECKS
from utils.files import write_atomically
from utils.types import ConfigError

SAMPLE = 200
"""Images that are looked at."""
SMALL = 48
"""Side in pixels up to which networks for 32 px fit."""


def write_new(source: str, pretrained: str | None, data_path: str | None, words: Sequence[str]) -> str:
    """Write a configuration file for a data set and return what to do next.

    Args:
        source: a folder of images or tables, or a data set's name.
        pretrained: an architecture that starts from its published weights; None for one that starts fresh.
        data_path: where a named data set lies, if not in its default folder.
        words: as typed: FILE to write, which must not exist, and data_path=PATH.

    Raises: ConfigError or DataError for names that do not exist, data that cannot be read and a file that is there.
    """
    files, changes = [word for word in words if "=" not in word], dict(w.split("=", 1) for w in words if "=" in w)
    data_path = changes.pop("data_path", data_path)
    if changes or len(files) > 1:
        raise ConfigError("--new takes one FILE and data_path=PATH; edit the file for everything else")
    file = Path(files[0] if files else "config.yml")
    if file.exists():
        raise ConfigError(f"{file}: exists already; name another file: python train.py --new {source} my.yml")
    if pretrained is not None and (problem := check_architecture_name(pretrained)):
        raise ConfigError(f"--pretrained: {problem}")
    if pretrained is not None and weights_normalization(pretrained) is None:
        raise ConfigError(f"--pretrained: there are no published weights of {pretrained}; leave --pretrained out")
    settings = _data_settings(source, data_path)
    data = load_data_set(read_configuration(None, [f"{key}={value}" for key, value in settings.items()], NAME_CHECKS))
    command = f"python train.py {file}" if files else "python train.py"
    write_atomically(file, _text(settings, data, pretrained, command))
    size = f"{len(data.train):,} training images in {len(data.classes)} classes"
    return f"{file}: {size}; next: {command} --check, then {command}"


def _data_settings(source: str, data_path: str | None) -> dict[str, str]:
    """Return the keys that say which data is read."""
    folder = Path(source).expanduser()
    if not folder.is_dir():
        if check_dataset_name(source) and ("/" in source or "\\" in source):
            raise ConfigError(f"--new: no such folder: {source}")
        if problem := check_dataset_name(source):
            raise ConfigError(f"--new: neither a folder nor a data set: {problem}")
        where = {"stanford_cars": "stanford_data_path"}.get(source, "data_path")
        return {"dataset": source, **({where: data_path} if data_path else {})}
    if source in DATASETS and not (folder / "train").is_dir():
        raise ConfigError(f"--new: {source} is a folder here and a data set's name; write ./{source} for the folder")
    if data_path is not None:
        raise ConfigError("--new: a folder is its own data_path; leave data_path out")
    if any(folder.glob("*.parquet")):
        return {"dataset": "parquet", "data_path": source}
    table = "csv" if any(folder.glob("*.csv")) and not (folder / "train").is_dir() else "image_folder"
    return {"dataset": table, "data_path": source}


def _text(settings: dict[str, str], data: DataSet, pretrained: str | None, command: str) -> str:
    table, rows = data.train, np.linspace(0, len(data.train) - 1, min(SAMPLE, len(data.train))).astype(int)
    images = [table.pixels(int(row)) for row in rows]
    gray = all(image.shape[-1] == 1 or (image[..., :3] == image[..., :1]).all() for image in images)
    height, width = (int(np.median([image.shape[side] for image in images])) for side in (0, 1))
    texts = data.kind == "sequence"
    made_for = None if pretrained is None else build_model(pretrained, len(data.classes)).image_size
    size = (24, 94) if texts else _size(min(height, width), made_for)
    grayscale = gray and pretrained is None and not texts
    small = max(size) <= SMALL
    architecture = pretrained or ("lprnet" if texts else "resnet20_basic" if small else "resnet18")
    epochs, rate = (10, 0.0005) if pretrained else (30, 0.002)
    flip = "RandomHorizontalFlip: {}   # leave it out where left and right mean something"
    if texts:
        augmentation = "RandomAffine: {degrees: 3, translate: [0.02, 0.05]}"
    elif small:
        augmentation = f"RandomCrop: {{size: {list(size)}, padding: {max(size) // 8}}}"
    else:
        augmentation = f"RandomResizedCrop: {{size: {list(size)}, scale: [0.5, 1.0]}}"
    lines = [
        f"# {len(data.train):,} training and {len(data.test):,} test images in {len(data.classes)} "
        f"{'characters' if texts else 'classes'}, about {height} x {width} px, {'gray' if gray else 'colour'}.",
        f"#   {command} --check       then     {command}",
        "# config_template.yml explains every key; what is left out here has the default that it gives.",
        "",
        write_yaml(dict(settings)).rstrip(),
        f"image_size: {list(size)}",
    ]
    if grayscale:
        lines.append("convert_to_grayscale: true")
    if pretrained is None:
        lines += _normalization(table, rows, size, grayscale)
    lines += [
        f"valid_fraction: {0.1 if len(table) >= 1000 else 0.2}   # held out of training to select the checkpoint",
        "augment_images: true",
        "image_augmentations:",
        *([] if texts or gray else [f"  {flip}"]),
        f"  {augmentation}",
        "",
        f"architecture: {architecture}",
        *(["pretrained: true   # normalised as these weights were trained (normalize: auto)"] if pretrained else []),
        f"loss_function: {BASELINES[data.kind]}   # or any of --list losses",
        "",
        "seed: 0",
        f"batch_size: {32 if len(table) < 5000 else 128}",
        f"num_epochs: {epochs}",
        "optimizer: AdamW",
        "optimizer_params: {weight_decay: 0.05}",
        "lr_scheduler: OneCycleLR",
        f"lr_scheduler_params: {{max_lr: {rate}}}   # the learning rate at its peak",
    ]
    return "\n".join(lines) + "\n"


def _size(side: int, made_for: tuple[int, int] | None) -> tuple[int, int]:
    """Return height and width to train at: the network's, or the images' own where they are smaller."""
    if side <= SMALL and made_for is None:
        return side, side
    fitting = max(32, side // 32 * 32 if side % 16 else side)
    largest = 224 if made_for is None else min(made_for)
    return min(fitting, largest), min(fitting, largest)


def _normalization(table: ImageTable, rows: np.ndarray, size: tuple[int, int], grayscale: bool) -> list[str]:
    """Return the key with the mean and std of a sample of the training images."""
    sample = ImageTable([table.pixels(int(row)) for row in rows], table.labels[rows])  # type: ignore[arg-type]
    mean, std = channel_statistics(sample, size, grayscale)
    key = "normalization_params_grayscale" if grayscale else "normalization_params_rgb"
    numbers = ({"mean": mean, "std": [max(value, 0.001) for value in std]}).items()
    return [f"{key}:   # of {len(rows)} training images", *(f"  {k}: {[round(v, 4) for v in vs]}" for k, vs in numbers)]
