"""config.yml -> `Configuration`: every mistake in keys, types, ranges and names at once, each with its line."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import msgspec

from configuration.chains import entry, shortest, steps
from configuration.schema import (
    CHAINS,
    COMMAND_LINE,
    KEYS,
    SECRETS,
    Configuration,
    Key,
    Mistake,
    Normalization,
    list_mistakes,
)
from configuration.smoke import shrink
from configuration.yaml_text import MAX_CHARACTERS, YamlError, read_yaml
from utils.files import open_regular
from utils.lookup import did_you_mean, in_words
from utils.secrets import redact, remember_secrets, without_password
from utils.types import ConfigError

NameChecks = Mapping[str, Callable[[str], str | None]]
ELSEWHERE = {
    **dict.fromkeys(("lr", "learning_rate"), "optimizer_params.lr"),
    **{name: f"optimizer_params.{name}" for name in ("weight_decay", "momentum", "betas", "nesterov")},
    **dict.fromkeys(("epochs", "max_epochs", "n_epochs"), "num_epochs"),
    **dict.fromkeys(("loss", "loss_fn", "criterion", "loss_name"), "loss_function"),
    "label_smoothing": "a loss_function of its own, or loss_params of cross entropy",
    **dict.fromkeys(("model", "model_name", "network", "arch", "backbone", "net"), "architecture"),
    **dict.fromkeys(("bs", "batch", "train_batch_size"), "batch_size"),
    **dict.fromkeys(("scheduler", "sched", "lr_schedule"), "lr_scheduler"),
    **dict.fromkeys(("opt", "optim"), "optimizer"),
    **dict.fromkeys(("img_size", "image_shape", "input_size", "resolution"), "image_size"),
    **dict.fromkeys(("data_dir", "data_root", "root", "data", "dataset_path"), "data_path"),
    **dict.fromkeys(("transforms", "augmentation", "augmentations", "train_transforms"), "image_augmentations"),
    **dict.fromkeys(("mixup", "cutmix"), "mixing"),
    **dict.fromkeys(("workers", "n_workers"), "num_workers"),
    **dict.fromkeys(("gpus", "n_gpus", "num_gpus"), "devices"),
    "device": "accelerator",
    **dict.fromkeys(("amp", "fp16", "bf16", "mixed_precision"), "precision"),
    **dict.fromkeys(("patience", "early_stopping"), "early_stopping_patience"),
    **dict.fromkeys(("grad_clip", "clip_grad", "gradient_clip_val", "max_grad_norm"), "gradient_clip_norm"),
    **dict.fromkeys(
        ("accumulate_grad_batches", "grad_accumulation", "gradient_accumulation_steps"), "accumulate_batches"
    ),
    **dict.fromkeys(("ema", "model_ema", "ema_rate"), "ema_decay"),
    **dict.fromkeys(("checkpoint", "checkpoint_path", "weights", "resume"), "weights_path"),
    **dict.fromkeys(("drop_rate", "drop"), "dropout"),
    **dict.fromkeys(("output_dir", "out_dir", "save_dir"), "output_path"),
    **dict.fromkeys(("log_dir", "logdir"), "logging_dir"),
    **dict.fromkeys(("logger", "loggers"), "trackers"),
    **dict.fromkeys(("mean", "std"), "normalization_params_rgb"),
    **dict.fromkeys(("val_split", "valid_split", "val_fraction", "validation_split"), "valid_fraction"),
    "random_seed": "seed",
    "num_classes": "no key: the data set says how many; classes chooses some of them",
}
"""What other programs call a key -> what it is called here."""
OPEN_ALREADY = ("/dev/stdin", "/dev/fd/")
"""What a shell opens: `<` and `<(...)`. Another pipe may have no writer, and a device no end."""
TEMPLATE = "config_template.yml"
"""Where configuration files come from."""


def read_configuration(
    file: str | None,
    overrides: Sequence[str] = (),
    name_checks: NameChecks | None = None,
    check_sweep: Callable[[dict[str, Any], NameChecks], list[Mistake]] | None = None,
    of_a_run: bool = False,
) -> Configuration:
    """Merge command line > file > defaults and check keys, types, ranges and names.

    Values of a file with a `sweep` are checked one by one: what must fit together is the business of its runs.

    Args:
        file: path of a YAML file; None for the defaults alone.
        overrides: `key=value` or `key.sub=value`, values in YAML.
        name_checks: key -> function from the name given to what is wrong with it, or None.
        check_sweep: finds the mistakes of a `sweep`, given all values; None where it is of no interest.
        of_a_run: the file is the one that a run left, rather than a person's.

    Raises: ConfigError with every mistake, one a line, each with its place.
    """
    places: dict[Key, str] = {}
    mistakes: list[Mistake] = []
    values = _read_file(file, of_a_run, places, mistakes) if file is not None else {}
    for key in CHAINS:
        if (mapping := shortest(values.get(key))) is not values.get(key):
            _place_by_name(key, values[key], places)
            values[key] = mapping
    for override in overrides:
        _apply_override(override, values, places, mistakes)
    remember_secrets(values)
    _merge_spellings(values, places, mistakes)
    for key in [key for key, value in values.items() if value is None and is_mapping(key)]:
        del values[key]  # `loss_params:` with nothing behind it is an empty mapping
    misfits = check_types(Configuration, values)
    mistakes += misfits
    for key, check in (name_checks or {}).items():
        mistakes += check_names(key, values.get(key, Configuration.default(key)), check)
    has_sweep = isinstance(values.get("sweep"), dict)
    if has_sweep and check_sweep is not None:
        mistakes += check_sweep(values, name_checks or {})
    wrong = {misfit.key[0] for misfit in misfits}
    configuration = msgspec.convert({key: value for key, value in values.items() if key not in wrong}, Configuration)
    if not has_sweep:
        rules = [rule for rule in TOGETHER if wrong.isdisjoint(rule.keys)]
        mistakes += [mistake for rule in rules for mistake in rule.check(configuration)]
    if mistakes:
        raise ConfigError(list_mistakes(places, mistakes))
    return shrink(msgspec.structs.replace(configuration, _places=places))


def _near(file: str) -> str:
    """Return which file beside it may be meant, or where one comes from."""
    beside = [path.name for path in Path(file).parent.glob("*.y*ml") if path.name != TEMPLATE]
    return did_you_mean(Path(file).name, beside) or f"; copy {TEMPLATE} to config.yml and edit it"


def _read_file(file: str, of_a_run: bool, places: dict[Key, str], mistakes: list[Mistake]) -> dict[str, Any]:
    try:
        is_open = not of_a_run and file.startswith(OPEN_ALREADY)
        with open(file, "rb") if is_open else open_regular(Path(file)) as stream:
            content = stream.read(4 * MAX_CHARACTERS + 1)
        text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig").read()
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file{_near(file)}") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError as error:  # bytes that are no UTF-8, or a NUL in the name
        raise ConfigError(f"{file}: cannot be read: {error}") from None
    try:
        document = read_yaml(text, written=of_a_run)
    except YamlError as error:
        raise ConfigError(f"{file}:{error.line}: not valid YAML: {error.problem}") from None
    if document.value is None:
        return {}
    if not isinstance(document.value, dict):
        kind = type(document.value).__name__  # not the value: it might be a token
        raise ConfigError(f"{file}:1: expected `key: value` lines, got a {kind}")
    places |= {(): file} | {key: f"{file}:{line}" for key, line in document.lines.items()}
    for key, line, first in document.doubled:
        mistakes.append(Mistake(key, f"stands twice, first in {file}:{first}", f"{file}:{line}"))
    return {str(key): value for key, value in document.value.items()}


def _parts(name: str) -> Key:
    """Return the parts of a dotted key; below these of a sweep stand dotted keys themselves."""
    key = tuple(name.split("."))
    for above in (("sweep", "grid"), ("sweep", "search", "ranges")):
        if key[: len(above)] == above and len(key) > len(above):
            return (*above, ".".join(key[len(above) :]))
    return key


def _apply_override(override: str, values: dict[str, Any], places: dict[Key, str], mistakes: list[Mistake]) -> None:
    name, _, text = override.partition("=")
    key = _parts(name.strip())
    place = f"{COMMAND_LINE}: {override}"
    if not all(key):
        mistakes.append(Mistake((override,), "expected key=value or key.sub=value", COMMAND_LINE))
        return
    if remedy := _secret_typed(key[0], text):
        places[key[:1]] = COMMAND_LINE
        mistakes.append(Mistake(key[:1], f"is shown to all users of the machine on the command line; {remedy}"))
        return
    try:
        value = read_yaml(text).value
    except YamlError as error:
        mistakes.append(Mistake(key, f"not valid YAML: {error.problem}", COMMAND_LINE))
        return
    target: Any = values
    part: Any = key[0]
    rest = key[1:]
    while rest:
        depth = len(key) - len(rest)
        if isinstance(target, dict) and target.get(part) is None:
            default = Configuration.default(part) if depth == 1 and part in KEYS else None
            target[part] = default if isinstance(default, dict) else {}
            places.setdefault(key[:depth], place)
        target = target[part]
        if not isinstance(target, (dict, list)):
            places[key] = COMMAND_LINE
            mistakes.append(Mistake(key, f"{'.'.join(key[:depth])} holds no parameters"))
            return
        try:
            part, rest = entry(target, rest)
        except KeyError:
            places[key] = COMMAND_LINE
            above = ".".join(key[:depth])
            mistakes.append(Mistake(key, f"{above} is a list: name one of its {len(target)} items by position, from 0"))
            return
    target[part] = value
    for below in [below for below in places if below[: len(key)] == key]:
        del places[below]  # what the file has there holds no more
    places[key] = COMMAND_LINE


def _secret_typed(key: str, text: str) -> str | None:
    """Return where else a secret can be set if one is given on the command line, which the process list shows."""
    if key in SECRETS and text.strip() not in ("", "~", "null", "None"):
        return "set it in the file, or as NEPTUNE_API_TOKEN in the environment"
    if key == "mlflow_uri" and without_password(text) != text:
        return (
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment, or the address in the file"
        )
    return None


def _merge_spellings(values: dict[str, Any], places: dict[Key, str], mistakes: list[Mistake]) -> None:
    """Take the thesis's code's `out_channels` for its template's `output_channels`."""
    if "out_channels" not in values:
        return
    if "output_channels" in values:
        mistakes.append(Mistake(("out_channels",), "is another spelling of 'output_channels'; give only one"))
        del values["out_channels"]
        return
    values["output_channels"] = values.pop("out_channels")
    places[("output_channels",)] = places[("out_channels",)]


def _place_by_name(key: str, chain: Any, places: dict[Key, str]) -> None:
    """Have the entries of a list that is read as a mapping found by their names, too."""
    for path, name, _ in steps(chain):
        above = (key, *path)
        below = {place: where for place, where in places.items() if place[: len(above)] == above}
        places |= {(key, name, *place[len(above) :]): where for place, where in below.items()}


def is_mapping(key: str) -> bool:
    return key in KEYS and isinstance(Configuration.default(key), (dict, Normalization))


def check_names(key: str, given: Any, check: Callable[[str], str | None]) -> list[Mistake]:
    """Check the one name, the list of names or the names that head a mapping or a list of mappings under `key`."""
    if isinstance(given, list):
        inner = ((str(place), each) for place, each in enumerate(given) if isinstance(each, dict))
        headed = [
            Mistake((key, place, *each.key[1:]), each.text)
            for place, one in inner
            for each in check_names(key, one, check)
        ]
        if headed:
            return headed
    if isinstance(given, str):
        named = {(key,): given}
    elif isinstance(given, dict):
        named = {(key, str(name)): name for name in given}
    else:
        named = {(key, str(place)): name for place, name in enumerate(given if isinstance(given, list) else [])}
    checked = {place: check(name) for place, name in named.items() if isinstance(name, str)}
    return [Mistake(place, problem) for place, problem in checked.items() if problem]


class Rule(NamedTuple):
    """What values that are right alone must be together.

    Args:
        keys: those that it looks at, no others.
        check: finds the mistakes of a configuration.
    """

    keys: tuple[str, ...]
    check: Callable[[Configuration], list[Mistake]]


def _channels(key: str, channels: int) -> Rule:
    def check(config: Configuration) -> list[Mistake]:
        params: Normalization = getattr(config, key)
        return [
            Mistake((key, name), f"must hold {channels} number{'s'[: channels > 1]}, got {numbers}")
            for name, numbers in (("mean", params.mean), ("std", params.std))
            if len(numbers) != channels
        ]

    return Rule((key,), check)


def _needs_validation(config: Configuration) -> list[Mistake]:
    wrong = config.select_on == "valid" and config.valid_fraction == 0
    return [Mistake(("valid_fraction",), "must be > 0 with select_on: valid, got 0")] if wrong else []


def _one_noise(config: Configuration) -> list[Mistake]:
    found = []
    if config.noisy_labels and config.label_noise:
        found.append(Mistake(("noisy_labels",), f"excludes label_noise: {config.label_noise}; give one of the two"))
    if config.noisy_labels and config.classes:
        found.append(Mistake(("noisy_labels",), "excludes classes: the file has a label for every training image"))
    return found


def _epochs_to_keep(config: Configuration) -> list[Mistake]:
    kept = config.keep_epochs if isinstance(config.keep_epochs, list) else []
    beyond = [epoch for epoch in kept if epoch >= config.num_epochs]
    text = f"epochs are counted from 0, the last is {config.num_epochs - 1} (num_epochs), got {beyond}"
    return [Mistake(("keep_epochs",), text)] if beyond else []


def _weights_to_keep(config: Configuration) -> list[Mistake]:
    wrong = config.keep_checkpoints == "none" and config.keep_epochs
    return [Mistake(("keep_epochs",), "keeps weights, keep_checkpoints: none removes them")] if wrong else []


def _one_start(config: Configuration) -> list[Mistake]:
    found = []
    if config.pretrained and config.weights_path:
        found.append(Mistake(("weights_path",), "excludes pretrained; give one of the two"))
    if "://" in (config.weights_path or ""):
        found.append(Mistake(("weights_path",), "must be a local file, not an address: download it first"))
    return found


TOGETHER = (
    _channels("normalization_params_rgb", 3),
    _channels("normalization_params_grayscale", 1),
    Rule(("select_on", "valid_fraction"), _needs_validation),
    Rule(("noisy_labels", "label_noise", "classes"), _one_noise),
    Rule(("pretrained", "weights_path"), _one_start),
    Rule(("keep_epochs", "num_epochs"), _epochs_to_keep),
    Rule(("keep_epochs", "keep_checkpoints"), _weights_to_keep),
)
"""All such rules; a sweep checks each on the values of its keys alone, not on every run."""


def check_types(kind: Any, value: Any, key: Key = ()) -> list[Mistake]:
    """Find all that does not fit a type; a mapping's entries are taken one by one, as msgspec stops at the first."""
    found: list[Mistake] = []
    if isinstance(value, list) and (inner := _item_type(kind)) is not None:
        for position, item in enumerate(value):
            found += check_types(inner, item, (*key, str(position)))
    if isinstance(value, dict):
        entries = _entry_types(kind, value)
        for name, inner in value.items():
            below = (*key, str(name))
            if name in entries:
                found += check_types(entries[name], inner, below)
            else:
                found.append(Mistake(below, f"unknown key{_meant(below, entries)}"))
    if not found:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            got = type(value).__name__ if key[:1] and key[0] in SECRETS else show(value)
            found.append(Mistake(key, f"must be {in_words(kind)}, got {got}{_example(kind, value)}"))
    return found


def _meant(key: Key, entries: Collection[str]) -> str:
    """Return which key an unknown one stands for: another program's word for it, or the nearest name."""
    if len(key) == 1 and key[0] in ELSEWHERE:
        return f"; here it is {ELSEWHERE[key[0]]}"
    return did_you_mean(key[-1], entries)


def _example(kind: Any, value: Any) -> str:
    """Return how a value of the wrong shape may be meant."""
    if get_origin(kind) is list and isinstance(value, (int, float)):
        return f"; write [{value}], or [{value}, {value}, {value}] for three"
    return "; write {} for none" if value is None and get_origin(kind) is dict else ""


def _entry_types(kind: Any, value: dict[Any, Any]) -> dict[Any, Any]:
    """Return the types of the entries that a mapping may have: a struct's own, or one for all that are there."""
    arms = get_args(kind) if get_origin(kind) is not dict else ()
    kind = next((arm for arm in arms if hasattr(arm, "__struct_fields__") or get_origin(arm) is dict), kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {name: hint for name, hint in kind.__annotations__.items() if name[0] != "_"}
    return dict.fromkeys(value, get_args(kind)[1] if get_origin(kind) is dict else Any)


def _item_type(kind: Any) -> Any:
    """Return the type of the items of a list that holds mappings, None of any other type."""
    kind = next((arm for arm in get_args(kind) if get_origin(arm) is list), None)
    inner = get_args(kind)[0] if kind is not None else None
    return inner if get_origin(inner) is Annotated and get_origin(get_args(inner)[0]) is dict else None


def show(value: Any) -> str:
    if value is None:
        return "nothing"
    text = redact(repr(value))
    return text if len(text) <= 80 else text[:77] + "..."
