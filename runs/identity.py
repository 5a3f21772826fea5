"""The identity of a run: one definition of equal settings for folders, comparisons, sweeps and searches.

Names are canonical (short names resolved), `auto` is resolved where possible, and settings without effect in a run are
left out, as are parameters that repeat their default. Device, versions and code are no settings: environment.json
records them. Nothing here imports torch, but for `precision: auto` on a machine that may have a GPU.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from configuration.chains import steps
from configuration.checks import check_types
from configuration.schema import CHAINS, KEYS, WITHOUT_INFLUENCE, Configuration
from configuration.settings import read_values
from runs.environment import FULL_PRECISION, precision_here
from runs.names import canonical_name, signature_of
from utils.files import content_of
from utils.signatures import read_signature

VERSION = 1
"""Raised with every changed default of the schema: a default is left out, so the old one and the new would be one."""
FORMER_DEFAULTS = {"channels_last": False}
"""Defaults that have changed without a new version: the old value is still the one that is left out."""
ENTERING = tuple(key for key in KEYS if key not in WITHOUT_INFLUENCE)
"""The keys that can change a result, in the order of the schema."""
OF_EVERY_RUN = ("dataset", "architecture", "loss_function", "seed", "num_epochs")
"""Keys that no version of this project left out; younger ones have their defaults in older runs."""
NAMES = ("dataset", "architecture", "loss_function", "optimizer", "lr_scheduler", "mixing")
OWNERS = {
    "data_params": "dataset",
    "architecture_params": "architecture",
    "loss_params": "loss_function",
    "optimizer_params": "optimizer",
    "lr_scheduler_params": "lr_scheduler",
    "mixing_params": "mixing",
}
"""Parameters -> the key whose name says what takes them."""
SWITCHES = {"image_augmentations": "augment_images", "tensor_augmentations": "augment_tensors"}
"""Transforms, one after the other -> the key that switches them on."""
STRUCTURES = ("normalization_params_rgb", "normalization_params_grayscale")
Contents = Callable[[str, str], str]
"""Dotted key and path of a file of weights -> digest of its content."""


def settings_of(
    config: Configuration, precision: str | None = None, contents: Contents | None = None
) -> dict[str, Any]:
    """Return the settings that can change a run's result, flat and hashable, in the order of the schema.

    Args:
        precision: of the run where the configuration says `auto`; None if unknown.
        contents: names files by their content; None to keep their paths.
    """
    name_file = contents or (lambda key, path: path)
    settings: dict[str, Any] = {}
    for key in ENTERING:
        if not has_effect(config, key):
            continue
        value = getattr(config, key)
        if key == "image_size":
            settings[key] = config.size[0] if config.size and config.size[0] == config.size[1] else config.size
        elif key == "freeze":
            settings[key] = plain([value] if isinstance(value, str) else value)
        elif key == "classes":  # names, which may be written as numbers
            settings[key] = value and tuple(map(str, value))
        elif key == "precision":
            full = "32-true" if config.accelerator in FULL_PRECISION else None
            settings[key] = value if value != "auto" else precision or full or "auto"
        elif key == "normalize":  # `auto` takes the numbers of pretrained weights, where a run begins with such
            settings[key] = value if value != "auto" or config.pretrained or config.weights_path else True
        elif key == "weights_path":
            settings[key] = value if value is None else name_file(key, value)
        elif key in CHAINS:
            settings |= _chain(key, key, value)
        elif key in SWITCHES.values():
            chain = next(chain for chain, switch in SWITCHES.items() if switch == key)
            settings[key] = value and bool(getattr(config, chain))
        elif key in OWNERS:
            owner = getattr(config, OWNERS[key])
            parts = [(f"{key}.{name}.", name, value.get(name, {})) for name in owner] if isinstance(owner, list) else []
            for above, name, params in parts or [(f"{key}.", owner, value)]:  # of several mixings each has its own
                settings |= _parameters(OWNERS[key], name, params, name_file, above)
        elif key == "optimizer_groups":
            settings |= _groups(config)
        elif key == "lookahead" and value is not None:
            settings |= _flatten(f"{key}.", read_signature("timm.optim", "Lookahead").defaults | value)
        elif key in STRUCTURES:
            settings |= _flatten(f"{key}.", msgspec.to_builtins(value))
        else:
            settings[key] = canonical_name(key, value) if key in NAMES and isinstance(value, str) else plain(value)
    return settings


def identity(settings: Mapping[str, Any], data_fingerprint: str) -> str:
    """Return ten hexadecimal digits of the settings that can change the result; keys with their default do not count.

    So a key that is added to the schema leaves existing runs as they are.
    """
    entering = sorted((key, _spelled(value)) for key, value in settings.items() if not is_default(key, value))
    text = json.dumps([VERSION, entering, data_fingerprint], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def fingerprint(config: Configuration, data_fingerprint: str) -> str:
    """Return the identity of a configuration's run on this machine. Data and weights enter by their content.

    Raises: OSError for a file of weights that cannot be read.
    """
    return identity(settings_here(config), data_fingerprint)


def settings_here(config: Configuration) -> dict[str, Any]:
    """Return the settings of a run on this machine, whose device decides what `precision: auto` is."""
    return settings_of(config, precision_here(config), lambda key, path: content_of(path))


def read_settings(path: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an existing run by its config.yml. Args: facts: of its environment.json.

    Raises: OSError, ValueError or yaml.YAMLError if the file cannot be read or is no run's.
    """
    values = read_values(path)
    if missing := [key for key in OF_EVERY_RUN if key not in values]:
        raise ValueError(f"it lacks {', '.join(missing)}")
    return recorded_settings(values, facts)


def recorded_settings(values: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an existing run.

    Args:
        values: of its config.yml; a younger key has its default, or the one of then.
        facts: of its environment.json. One of an earlier version has no digests of weights: then the files count if
            they still exist, or else their paths.

    Raises: ValueError if they are no configuration's.
    """
    values = FORMER_DEFAULTS | {key: value for key, value in values.items() if key in KEYS}
    try:
        config = msgspec.convert(values, Configuration)
    except msgspec.ValidationError:
        mistakes = (f"{'.'.join(mistake.key)}: {mistake.text}" for mistake in check_types(Configuration, values))
        raise ValueError("; ".join(mistakes)) from None
    recorded = facts.get("weights")
    digests: Mapping[str, Any] = recorded if isinstance(recorded, dict) else {}

    def content(key: str, path: str) -> str:
        if isinstance(digests.get(key), str):
            return digests[key]
        try:
            return content_of(path)
        except OSError:
            return path

    precision = facts.get("precision")
    return settings_of(config, precision if isinstance(precision, str) else None, content)


def weights_here(config: Configuration) -> dict[str, str]:
    """Return dotted key -> digest of the content, for each file of weights that a run starts from or learns from."""
    digests: dict[str, str] = {}

    def content(key: str, path: str) -> str:
        digests[key] = content_of(path)
        return path

    settings_of(config, contents=content)
    return digests


def has_effect(config: Configuration, key: str) -> bool:
    """Return whether a key can change this run's result, whatever its value, as far as can be said without the data."""
    if key == "normalization_params_rgb":
        return config.normalize and not config.convert_to_grayscale
    if key == "normalization_params_grayscale":
        return config.normalize and config.convert_to_grayscale
    if key == "erase_background":
        return bool(config.crop_to_bboxes)
    if key in CHAINS:
        return bool(getattr(config, SWITCHES[key]) and getattr(config, key))
    if key == "augment_backend":
        return any(has_effect(config, chain) for chain in CHAINS)
    if key in ("mixing_params", "lr_scheduler_params"):
        return getattr(config, OWNERS[key]) is not None
    if key == "freeze_statistics":
        return bool(config.freeze or any(group.start_epoch for group in config.optimizer_groups.values()))
    if key == "valid_fraction":
        return config.select_on == "valid"
    if key == "flowers_train":  # one of the keys that a data set takes or not, as its signature says
        return key in signature_of("dataset", config.dataset).names
    return True


def is_default(key: str, value: Any) -> bool:
    """Return whether a key of the schema has its default; parameters never do, as those are left out already."""
    return key.partition(".")[0] not in OWNERS and key in _defaults() and _same(_defaults()[key], value)


@functools.cache
def _defaults() -> dict[str, Any]:
    structures = {
        key: value
        for grayscale in (False, True)
        for key, value in settings_of(Configuration(convert_to_grayscale=grayscale)).items()
        if key.partition(".")[0] in STRUCTURES
    }
    return settings_of(Configuration()) | structures | FORMER_DEFAULTS


def _groups(config: Configuration) -> dict[str, Any]:
    """Return the names of the optimizer groups in their order, and what each sets, flat."""
    flat: dict[str, Any] = {"optimizer_groups": tuple(config.optimizer_groups)}
    for name, group in config.optimizer_groups.items():
        above = f"optimizer_groups.{name}."
        flat |= {f"{above}params": plain([group.params] if isinstance(group.params, str) else group.params)}
        flat |= {
            f"{above}{key}": value
            for key in ("optimizer", "start_epoch", "epochs")
            if (value := getattr(group, key)) is not None
        }
        flat |= _flatten(f"{above}optimizer_params.", group.optimizer_params) if group.optimizer_params else {}
    return flat


def _parameters(owner: str, name: str, params: Mapping[str, Any], name_file: Contents, above: str) -> dict[str, Any]:
    """Return parameters that are no defaults of what takes them, flat; those of a loss within a loss likewise."""
    defaults = signature_of(owner, name).defaults
    flat: dict[str, Any] = {}
    for param, value in params.items():
        inner = param.removesuffix("_params")
        if inner != param and isinstance(value, dict) and isinstance(params.get(inner, defaults.get(inner)), str):
            taker = params.get(inner, defaults.get(inner))
            flat |= _parameters(owner, taker, value, name_file, f"{above}{param}.")
        elif isinstance(value, str) and param.endswith("_path"):
            flat[f"{above}{param}"] = name_file(f"{above}{param}", value)
        elif param == "schedulers" and owner == "lr_scheduler" and isinstance(value, list):
            flat[f"{above}{param}"] = tuple(_named(owner, part, name_file) for part in value)
        elif param not in defaults or not _same(plain(defaults[param]), plain(value)):
            flat |= _flatten(above, {param: value})
    return flat


def _named(owner: str, part: Any, name_file: Contents) -> Any:
    """Return a scheduler within another: its name and its parameters that are no defaults."""
    if not isinstance(part, dict):
        return plain(part)
    return tuple(
        (name, tuple(sorted(_parameters(owner, str(name), dict(params or {}), name_file, ".").items())))
        for name, params in part.items()
    )


def _chain(key: str, place: str, chain: Any) -> dict[str, Any]:
    """Return the names of transforms in their order, and their parameters that are no defaults, flat."""
    items, counts = chain_items(chain), {}
    flat: dict[str, Any] = {place: tuple(name for name, _ in items)}
    for name, params in items:
        counts[name] = number = counts.get(name, 0) + 1
        here = f"{place}.{name}" if number == 1 else f"{place}.{name} {number}"
        defaults = signature_of(key, name).defaults
        for param, value in params.items():
            if param == "transforms" and isinstance(value, (dict, list)):
                flat |= _chain(key, f"{here}.{param}", value)
            elif param not in defaults or not _same(plain(defaults[param]), plain(value)):
                flat[f"{here}.{param}"] = plain(value)
    return flat


def chain_items(chain: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the transforms of a chain with their parameters."""
    return [(str(name), dict(params or {})) for _, name, params in steps(chain)]


def _flatten(above: str, value: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flatten(f"{above}{key}.", inner) if isinstance(inner, dict) else {f"{above}{key}": plain(inner)}
    return flat or {above[:-1]: ()}


def _spelled(value: Any) -> Any:
    """Return a value as `plain` leaves it in the one spelling of its numbers: 1.0 is 1, as they are equal."""
    if isinstance(value, tuple):
        return [_spelled(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def plain(value: Any) -> Any:
    """Return a value hashable: lists are tuples, mappings sorted pairs."""
    if isinstance(value, (list, tuple)):
        return tuple(plain(item) for item in value)
    if isinstance(value, dict):
        return tuple(sorted((str(key), plain(inner)) for key, inner in value.items()))
    return value


def _same(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)
