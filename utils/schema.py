"""The keys of a configuration: types, ranges, defaults, and where each stands."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit, urlunsplit

os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for plugins takes half of the start-up

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from utils.types import ConfigError

COMMAND_LINE = "command line"
SECRETS = frozenset({"neptune_api_token"})
WITHOUT_INFLUENCE = frozenset(
    {
        *("loglevel", "logging_dir", "output_path", "experiment_name", "run_name", "tags", "notes"),
        *("trackers", "mlflow_uri", "log_to_neptune", "neptune_mode"),
        *("neptune_username", "neptune_project_name", "neptune_api_token"),
        *("data_path", "stanford_data_path", "stanford_raw_data_path", "download", "verify_checksums"),
        *("num_workers", "accelerator", "strategy"),
    }
)
"""Keys that cannot change what a run computes; all others enter its fingerprint. The data enters by its content."""

Key = tuple[str, ...]
Params = dict[str, Any]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Normalization(BaseModel):
    """Per-channel mean and standard deviation, on pixels from 0 to 1."""

    model_config = ConfigDict(extra="forbid", strict=True)
    mean: list[float]
    std: list[Annotated[float, Field(gt=0)]]


class Configuration(BaseModel):
    """Every key of a configuration file with its type, range and default; config_template.yml says what each means."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    _places: dict[Key, str] = PrivateAttr(default_factory=dict)

    # Data
    dataset: str = "stanford_cars"
    data_path: str | None = None
    stanford_raw_data_path: str | None = None
    stanford_data_path: str = "input/stanford"
    download: bool = False
    verify_checksums: bool = True
    flowers_train: Literal["trainval", "train"] = "trainval"
    valid_fraction: Share = 0.1
    select_on: Literal["valid", "test"] = "valid"
    label_noise: Share = 0.0

    # Images
    image_size: Positive | Annotated[list[Positive], Field(min_length=2, max_length=2)] | None = [227, 227]
    convert_to_grayscale: bool = False
    normalize: bool = True
    normalization_params_rgb: Normalization = Normalization(mean=[0.4707, 0.4602, 0.4550], std=[0.2594, 0.2585, 0.2635])
    normalization_params_grayscale: Normalization = Normalization(mean=[0.4627], std=[0.2545])
    crop_to_bboxes: bool | Literal["all"] = False
    erase_background: bool = False
    augment_images: bool = False
    image_augmentations: dict[str, Params] = {}
    augment_tensors: bool = False
    tensor_augmentations: dict[str, Params] = {}
    mixing: str | None = None
    mixing_params: Params = {}

    # Network
    architecture: str = "ghostnet"
    architecture_params: Params = {}
    dropout: Share | None = None
    output_channels: Positive | None = None
    pretrained: bool = False
    weights_path: str | None = None

    # Loss
    loss_function: str = "CrossEntropyLoss"
    loss_params: Params = {}

    # Training
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    batch_size: Positive = 64
    num_epochs: Positive = 200
    optimizer: str = "AdamW"
    optimizer_params: Params = {"lr": 0.001}
    lr_scheduler: str | None = None
    lr_scheduler_params: Params = {}
    gradient_clip_norm: Annotated[float, Field(gt=0)] | None = None
    accumulate_batches: Positive = 1
    monitor: str = "valid/accuracy"
    early_stopping_patience: Positive | None = None

    # Machine
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = "auto"
    devices: Positive | Literal["auto"] = 1
    num_nodes: Positive = 1
    strategy: str = "auto"
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed", "bf16-true", "64-true"] = "auto"
    compile: bool = False
    channels_last: bool = False
    num_workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"

    # Results
    output_path: str = "output"
    loglevel: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    logging_dir: str = "logs"
    trackers: list[str] = ["mlflow"]
    mlflow_uri: str | None = None
    experiment_name: str = "lossbench"
    run_name: str | None = None
    tags: list[str] = []
    notes: str = ""
    log_to_neptune: bool = False
    neptune_username: str | None = None
    neptune_project_name: str | None = None
    neptune_api_token: str | None = None
    neptune_mode: Literal["offline", "async", "sync", "debug"] = "offline"

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the images in pixels, or None to take them as they are stored."""
        if isinstance(self.image_size, int):
            return self.image_size, self.image_size
        return (self.image_size[0], self.image_size[1]) if self.image_size else None

    @property
    def in_channels(self) -> int:
        return 1 if self.convert_to_grayscale else 3

    @property
    def normalization(self) -> Normalization | None:
        """What is subtracted and divided by, or None."""
        if not self.normalize:
            return None
        return self.normalization_params_grayscale if self.convert_to_grayscale else self.normalization_params_rgb

    def was_set(self, key: str) -> bool:
        """Tell whether the file or the command line gives a key another value than its default."""
        return key in self.model_fields_set and getattr(self, key) != type(self).model_fields[key].default

    def place(self, key: Key) -> str:
        """Return where a key stands, such as "config.yml:57", or the nearest key above it."""
        while key and key not in self._places:
            key = key[:-1]
        below = [place for other, place in self._places.items() if key and other[: len(key)] == key]
        return COMMAND_LINE if COMMAND_LINE in below else self._places.get(key, "configuration")

    def error(self, mistakes: Mapping[Key, str]) -> ConfigError:
        """Build the error that names all mistakes with their places."""
        return ConfigError(list_mistakes(self._places, [Mistake(key, text) for key, text in mistakes.items()]))

    def located(self, error: ConfigError) -> ConfigError:
        """Return the error with file and line before each of its lines that starts with a key."""
        lines = []
        for line in dict.fromkeys(str(error).splitlines()):
            key = tuple(line.partition(": ")[0].split("."))
            lines.append(f"{self.place(key)}: {line}" if key[0] in type(self).model_fields else line)
        return ConfigError("\n".join(lines))

    def to_yaml(self) -> str:
        """Return the merged configuration as YAML, secrets left out."""
        values = self.model_dump(exclude=set(SECRETS))
        values["mlflow_uri"] = without_password(self.mlflow_uri)
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)


class Mistake(NamedTuple):
    key: Key
    text: str
    place: str | None = None
    """Where it stands, when that is not where the key's last value stands."""


def without_password(uri: str | None) -> str | None:
    """Return an address without the user and password that it may carry."""
    if uri is None or "@" not in uri:
        return uri
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def list_mistakes(places: Mapping[Key, str], mistakes: Sequence[Mistake]) -> str:
    """Return one line a mistake, in the order of the file, the command line last."""

    def place_of(key: Key) -> str:
        while key and key not in places:
            key = key[:-1]
        return places.get(key, "configuration")

    def order(line: tuple[str, str]) -> tuple[bool, int]:
        number = line[0].rpartition(":")[2]
        return line[0].startswith(COMMAND_LINE), int(number) if number.isdigit() else 0

    lines = [
        (mistake.place or place_of(mistake.key), f"{'.'.join(mistake.key)}: {mistake.text}") for mistake in mistakes
    ]
    return "\n".join(f"{place}: {text}" for place, text in sorted(dict.fromkeys(lines), key=order))
