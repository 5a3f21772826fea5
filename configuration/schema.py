"""The keys of a configuration: types, ranges, defaults, and where each stands."""

# Without `from __future__ import annotations`: the annotations are the types that values are checked against.

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct, field

from configuration.chains import shortest
from configuration.yaml_text import write_yaml
from utils.own_names import as_written, split_key
from utils.secrets import without_password
from utils.types import ConfigError, printable

COMMAND_LINE = "command line"
SECRETS = frozenset({"neptune_api_token"})
WITHOUT_INFLUENCE = frozenset(
    {
        *("loglevel", "logging_dir", "output_path", "experiment_name", "run_name", "tags", "notes"),
        *("trackers", "mlflow_uri", "log_to_neptune", "neptune_mode"),
        *("neptune_username", "neptune_project_name", "neptune_api_token"),
        *("data_path", "stanford_data_path", "stanford_raw_data_path", "download", "verify_checksums"),
        *("noisy_labels", "noisy_labels_name"),
        *("num_workers", "accelerator", "strategy", "cache", "cache_limit_gb", "checkpoint_every_steps"),
        *("keep_checkpoints", "keep_epochs", "evaluate", "evaluate_params"),
        "sweep",
    }
)
"""Keys that cannot change what a run computes; all others enter its fingerprint. The data enters by its content."""

Key = tuple[str, ...]
Params = dict[str, Any]
Positive = Annotated[int, Meta(ge=1)]
Path = Annotated[str, Meta(min_length=1)]
Weight = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, lt=1)]
Chain = dict[str, Params] | list[Annotated[dict[str, Params], Meta(min_length=1, max_length=1)]]
CHAINS = ("image_augmentations", "tensor_augmentations")


class Normalization(Struct, frozen=True, forbid_unknown_fields=True):
    """Per-channel mean and standard deviation, on pixels from 0 to 1."""

    mean: list[float]
    std: list[Annotated[float, Meta(gt=0)]]


class OptimizerGroup(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters that train in their own way: patterns of their names, and what differs for them."""

    params: Annotated[str, Meta(min_length=1)] | Annotated[list[str], Meta(min_length=1)]
    optimizer: str | None = None
    optimizer_params: Params = {}
    start_epoch: Annotated[int, Meta(ge=0)] | None = None
    epochs: Positive | None = None


class Configuration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every key of a configuration file with its type, range and default; config_template.yml says what each means."""

    _places: dict[Key, str] = {}
    """Where each key stands; not a key itself."""

    # Data
    task: Literal["classification", "segmentation", "detection", "instance_segmentation"] = "classification"
    dataset: str = "stanford_cars"
    data_params: Params = {}
    data_path: str | None = None
    stanford_raw_data_path: str | None = None
    stanford_data_path: Path = "input/stanford"
    download: bool = False
    verify_checksums: bool = True
    classes: list[str | int] | None = None
    flowers_train: Literal["trainval", "train"] = "trainval"
    valid_fraction: Share = 0.1
    select_on: Literal["valid", "test"] = "valid"
    label_noise: Share = 0.0
    noisy_labels: str | None = None
    noisy_labels_name: str | None = None

    # Images
    image_size: Positive | Annotated[list[Positive], Meta(min_length=2, max_length=2)] | None = field(
        default_factory=lambda: [227, 227]
    )
    convert_to_grayscale: bool = False
    normalize: bool | Literal["auto"] = "auto"
    normalization_params_rgb: Normalization = field(
        default_factory=lambda: Normalization(mean=[0.4707, 0.4602, 0.4550], std=[0.2594, 0.2585, 0.2635])
    )
    normalization_params_grayscale: Normalization = field(
        default_factory=lambda: Normalization(mean=[0.4627], std=[0.2545])
    )
    crop_to_bboxes: bool | Literal["all"] = False
    erase_background: bool | Literal["white"] = False
    augment_images: bool = False
    image_augmentations: Chain = {}
    augment_tensors: bool = False
    tensor_augmentations: Chain = {}
    augment_backend: Literal["fused", "torchvision"] = "fused"
    cache: Literal["auto", "memory", "disk", "none"] = "auto"
    cache_limit_gb: Annotated[float, Meta(gt=0)] = 50.0
    mixing: str | Annotated[list[str], Meta(min_length=2)] | None = None
    mixing_params: Params = {}

    # Network
    architecture: str = "ghostnet"
    architecture_params: Params = {}
    dropout: Share | None = None
    output_channels: Positive | None = None
    pretrained: bool | Annotated[str, Meta(min_length=1)] = False
    weights_path: str | None = None

    # Loss
    loss_function: str = "CrossEntropyLoss"
    loss_params: Params = {}
    class_weights: Literal["balanced"] | dict[str | int, Weight] | list[Weight] | None = None

    # Training
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    batch_size: Positive = 64
    num_epochs: Positive = 200
    optimizer: str = "AdamW"
    optimizer_params: Params = field(default_factory=lambda: {"lr": 0.001})
    optimizer_groups: dict[str, OptimizerGroup] = {}
    freeze: Annotated[str, Meta(min_length=1)] | Annotated[list[str], Meta(min_length=1)] | None = None
    freeze_statistics: bool = True
    layer_decay: Annotated[float, Meta(gt=0, le=1)] | None = None
    decay_norms_and_biases: bool = True
    lookahead: Params | None = None
    lr_scheduler: str | None = None
    lr_scheduler_params: Params = {}
    gradient_clip_norm: Annotated[float, Meta(gt=0)] | None = None
    accumulate_batches: Positive = 1
    ema_decay: Annotated[float, Meta(gt=0, lt=1)] | None = None
    metrics: list[str] = []
    monitor: str = "valid/accuracy"
    early_stopping_patience: Positive | None = None

    # Machine
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = "auto"
    devices: Positive | Literal["auto"] = 1
    num_nodes: Positive = 1
    strategy: str = "auto"
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed", "bf16-true", "64-true"] = "auto"
    compile: bool = False
    channels_last: bool = True
    num_workers: Annotated[int, Meta(ge=0)] | Literal["auto"] = "auto"
    checkpoint_every_steps: Positive | None = None
    keep_checkpoints: Literal["best", "all", "none"] = "best"
    keep_epochs: list[Annotated[int, Meta(ge=0)]] | Literal["all"] | None = None

    # Results
    output_path: Path = "output"
    loglevel: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    logging_dir: Path = "logs"
    trackers: list[str] = field(default_factory=lambda: ["mlflow"])
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

    # Evaluation
    evaluate: list[str] = []
    evaluate_params: dict[str, Params] = {}

    # Several runs
    smoke: bool = False
    sweep: Params | None = None

    def __post_init__(self) -> None:
        for key in CHAINS:  # a list and the mapping that says the same are one setting
            msgspec.structs.force_setattr(self, key, shortest(getattr(self, key)))

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
        """What is subtracted and divided by, or None; `normalize: auto` is resolved where the weights are known."""
        if not self.normalize:
            return None
        return self.normalization_params_grayscale if self.convert_to_grayscale else self.normalization_params_rgb

    @classmethod
    def default(cls, key: str) -> Any:
        return getattr(cls(), key)

    def values(self, without: Collection[str] = ()) -> dict[str, Any]:
        """Return key -> value in copies of YAML's own types, some keys left out."""
        return msgspec.to_builtins({key: getattr(self, key) for key in KEYS if key not in without})

    def was_set(self, key: str) -> bool:
        """Tell whether the file or the command line gives a key another value than its default."""
        return getattr(self, key) != self.default(key)

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
            key = split_key(line.partition(": ")[0])
            lines.append(f"{self.place(key)}: {line}" if key[0] in KEYS else line)
        return ConfigError(as_written("\n".join(lines)))

    def to_yaml(self) -> str:
        """Return the merged configuration as YAML, secrets left out."""
        values = self.values(without=SECRETS)
        values["mlflow_uri"] = without_password(self.mlflow_uri)
        return write_yaml(values)


KEYS = tuple(name for name in Configuration.__struct_fields__ if name != "_places")


class Mistake(NamedTuple):
    key: Key
    text: str
    place: str | None = None
    """Where it stands, when that is not where the key's last value stands."""


def list_mistakes(places: Mapping[Key, str], mistakes: Sequence[Mistake]) -> str:
    """Return one line a mistake, in the order of the file, the command line last."""

    def place_of(key: Key) -> str:
        while key and key not in places:
            key = key[:-1]
        return places.get(key, "configuration")

    def order(line: tuple[str, str]) -> tuple[bool, int]:
        if line[0].startswith(COMMAND_LINE):
            return True, 0
        number = re.search(r":([0-9]+)$", line[0])
        return False, int(number[1]) if number else 0

    lines = [
        (mistake.place or place_of(mistake.key), f"{'.'.join(mistake.key)}: {mistake.text}") for mistake in mistakes
    ]
    return "\n".join(
        as_written(printable(f"{place}: {text}")) for place, text in sorted(dict.fromkeys(lines), key=order)
    )
