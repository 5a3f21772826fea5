"""Settings in which two runs differ or are the same: one definition for folders, comparisons, sweeps and searches.

Names are canonical (short names resolved), `auto` is resolved where it is known, and what has no effect in a run is
left out, as are parameters that say their own default. Device, versions and code are no settings: environment.json
records them. Nothing here imports torch, but for `precision: auto` on a machine that may have a GPU.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from configuration.checks import check_types
from configuration.schema import KEYS, WITHOUT_INFLUENCE, Configuration
from configuration.settings import read_values
from runs.names import canonical_name, signature_of
from utils.files import open_regular

VERSION = 1
"""Raised with every changed default of the schema: a default is left out, so the old one and the new would be one."""
ENTERING = tuple(key for key in KEYS if key not in WITHOUT_INFLUENCE)
"""The keys that can change a result, in the order of the schema."""
OF_EVERY_RUN = ("dataset", "architecture", "loss_function", "seed", "num_epochs")
"""Keys that no version of this project left out; younger ones have their defaults in older runs."""
FULL_PRECISION = ("cpu", "mps", "tpu")
"""Accelerators on which `precision: auto` is float32."""
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
CHAINS = {"image_augmentations": "augment_images", "tensor_augmentations": "augment_tensors"}
"""Transforms, one after the other -> the key that switches them on."""
STRUCTURES = ("normalization_params_rgb", "normalization_params_grayscale")
NO_PARAMETERS = frozenset({"self", "task", "params", "optimizer", "num_classes", "in_channels", "steps_per_epoch"})
"""Parameters of constructors that the run gives and no configuration."""

Contents = Callable[[str, str], str]
"""Dotted key and path of a file of weights -> what stands for its content."""


def settings_of(
    config: Configuration, precision: str | None = None, contents: Contents | None = None
) -> dict[str, Any]:
    """Return what can change a run's result, flat and hashable, in the order of the schema.

    Args:
        precision: what `auto` is on the device of the run; None to leave it as it is.
        contents: names files by what they hold; None to keep their paths.
    """
    name_file = contents or (lambda key, path: path)
    found: dict[str, Any] = {}
    for key in ENTERING:
        if not _has_effect(config, key):
            continue
        value = getattr(config, key)
        if key == "image_size":
            found[key] = None if config.size is None else _one_side(config.size)
        elif key == "classes":  # names, which may be written as numbers
            found[key] = value and tuple(map(str, value))
        elif key == "precision":
            found[key] = value if value != "auto" else _automatic(config.accelerator, precision)
        elif key == "normalize":  # `auto` takes the numbers of pretrained weights, where a run begins with such
            found[key] = value if value != "auto" or config.pretrained or config.weights_path else True
        elif key == "weights_path":
            found[key] = value if value is None else name_file(key, value)
        elif key in CHAINS:
            found |= _chain(key, key, value)
        elif key in CHAINS.values():
            chain = next(chain for chain, switch in CHAINS.items() if switch == key)
            found[key] = value and bool(getattr(config, chain))
        elif key in OWNERS:
            owner = getattr(config, OWNERS[key])
            parts = [(f"{key}.{name}.", name, value.get(name, {})) for name in owner] if isinstance(owner, list) else []
            for above, name, given in parts or [("", owner, value)]:  # of several mixings each has its own
                found |= _parameters(key, OWNERS[key], name, given, name_file, above)
        elif key in STRUCTURES:
            found |= _flatten(f"{key}.", msgspec.to_builtins(value))
        else:
            found[key] = canonical_name(key, value) if key in NAMES and isinstance(value, str) else plain(value)
    return found


def identity(settings: Mapping[str, Any], data_fingerprint: str) -> str:
    """Return ten hexadecimal digits that change with what can change the result; keys with their default do not count.

    So a key that is added to the schema leaves the runs that are there as they are.
    """
    told = sorted((key, _spelled(value)) for key, value in settings.items() if not is_default(key, value))
    text = json.dumps([VERSION, told, data_fingerprint], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def fingerprint(config: Configuration, data_fingerprint: str) -> str:
    """Return the identity of a configuration's run on this machine. Data and weights enter by their content.

    Raises: OSError for a file of weights that cannot be read.
    """
    return identity(settings_here(config), data_fingerprint)


def settings_here(config: Configuration) -> dict[str, Any]:
    """Return the settings of a run on this machine, whose device decides what `precision: auto` is."""
    return settings_of(config, precision_here(config), lambda key, path: content_of(path))


def precision_here(config: Configuration) -> str:
    """Return the precision of a run on this machine."""
    return automatic_precision(config.accelerator) if config.precision == "auto" else config.precision


def _automatic(accelerator: str, precision: str | None) -> str:
    """Return what `precision: auto` is as far as is known without asking the machine."""
    return precision or ("32-true" if accelerator in FULL_PRECISION else "auto")


def automatic_precision(accelerator: str) -> str:
    """Return bfloat16 where the GPU computes it, float16 on older ones, float32 elsewhere."""
    if accelerator in FULL_PRECISION:
        return "32-true"
    import torch

    if not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"


def read_settings(path: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a run that is there, by its config.yml. Args: facts: what its environment.json says.

    Raises: OSError, ValueError or yaml.YAMLError if the file cannot be read or is no run's.
    """
    values = read_values(path)
    if missing := [key for key in OF_EVERY_RUN if key not in values]:
        raise ValueError(f"it lacks {', '.join(missing)}")
    return recorded_settings(values, facts)


def recorded_settings(values: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a run that is there.

    Args:
        values: what its config.yml says; a younger key has its default.
        facts: what its environment.json says. One of an earlier version has no digests of weights: then the files
            count, where they still lie, or else their paths.

    Raises: ValueError if they are no configuration's.
    """
    known = {key: value for key, value in values.items() if key in KEYS}
    try:
        config = msgspec.convert(known, Configuration)
    except msgspec.ValidationError:
        raise ValueError(
            "; ".join(f"{'.'.join(each.key)}: {each.text}" for each in check_types(Configuration, known))
        ) from None
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
    found: dict[str, str] = {}

    def content(key: str, path: str) -> str:
        found[key] = content_of(path)
        return path

    settings_of(config, contents=content)
    return found


def content_of(path: str) -> str:
    """Return twelve hexadecimal digits of what a file holds; it is read again only where it has changed."""
    file = Path(path).expanduser()
    facts = file.stat()
    return _digest(os.path.realpath(file), facts.st_mtime_ns, facts.st_size)


@functools.lru_cache(maxsize=1000)
def _digest(path: str, changed: int, size: int) -> str:
    with open_regular(Path(path)) as file:  # a run's folder from elsewhere may name a device
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def fill_in(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return settings in which a parameter that some runs set has its default in others with the same constructor.

    Two runs are the same before if and only if they are after it: it is for the reader.
    """
    keys = dict.fromkeys(key for run in runs for key in run if key.partition(".")[0] in OWNERS)
    return [
        run | {key: value for key in keys if key not in run and (value := _default_of(run, key)) is not None}
        for run in map(dict, runs)
    ]


def _default_of(settings: Mapping[str, Any], key: str) -> Any:
    """Return the default of a parameter, None if it has none in a run with these settings."""
    params, _, name = key.partition(".")
    owner = settings.get(OWNERS[params])
    if not isinstance(owner, str):
        return None
    return plain(signature_of(OWNERS[params], owner).defaults.get(name))


def resolved_parameters(config: Configuration) -> dict[str, Any]:
    """Return all parameters of what a run is built from, defaults filled in where they are plain values."""
    found: dict[str, Any] = {}
    for params, owner in OWNERS.items():
        name = getattr(config, owner)
        if name is not None and _has_effect(config, params):
            given = getattr(config, params)
            several = isinstance(name, list)
            found[params] = (
                {each: _filled(owner, each, given.get(each)) for each in name}
                if several
                else _filled(owner, name, given)
            )
    for chain in CHAINS:
        if _has_effect(config, chain):
            found[chain] = [{name: _filled(chain, name, given)} for name, given in _items(getattr(config, chain))]
    return found


def _filled(owner: str, name: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    defaults = signature_of(owner, name).defaults
    return {key: value for key, value in defaults.items() if key not in NO_PARAMETERS} | dict(given or {})


def _has_effect(config: Configuration, key: str) -> bool:
    """Tell whether a key can change this run's result, whatever its value, as far as is known without the data."""
    if key == "normalization_params_rgb":
        return config.normalize and not config.convert_to_grayscale
    if key == "normalization_params_grayscale":
        return config.normalize and config.convert_to_grayscale
    if key == "erase_background":
        return bool(config.crop_to_bboxes)
    if key in CHAINS:
        return bool(getattr(config, CHAINS[key]) and getattr(config, key))
    if key == "augment_backend":
        return any(_has_effect(config, chain) for chain in CHAINS)
    if key in ("mixing_params", "lr_scheduler_params"):
        return getattr(config, OWNERS[key]) is not None
    if key == "valid_fraction":
        return config.select_on == "valid"
    if key == "flowers_train":  # one of the keys that a data set takes or not, as its signature says
        return key in signature_of("dataset", config.dataset).names
    return True


def is_default(key: str, value: Any) -> bool:
    """Tell whether a key of the schema has its default; parameters never do, as those are left out already."""
    return key.partition(".")[0] not in OWNERS and key in _defaults() and _same(_defaults()[key], value)


@functools.cache
def _defaults() -> dict[str, Any]:
    return settings_of(Configuration()) | {
        key: value
        for grayscale in (False, True)
        for key, value in settings_of(Configuration(convert_to_grayscale=grayscale)).items()
        if key.partition(".")[0] in STRUCTURES
    }


def _parameters(
    key: str, owner: str, name: str, params: Mapping[str, Any], name_file: Contents, above: str = ""
) -> dict[str, Any]:
    """Return parameters that are no defaults of what takes them, flat; those of a loss within a loss likewise."""
    defaults = signature_of(owner, name).defaults
    above = above or f"{key}."
    found: dict[str, Any] = {}
    for param, value in params.items():
        inner = param.removesuffix("_params")
        if inner != param and isinstance(value, dict) and isinstance(params.get(inner, defaults.get(inner)), str):
            taker = params.get(inner, defaults.get(inner))
            found |= _parameters(key, owner, taker, value, name_file, f"{above}{param}.")
        elif isinstance(value, str) and param.endswith("_path"):
            found[f"{above}{param}"] = name_file(f"{above}{param}", value)
        elif param == "schedulers" and owner == "lr_scheduler" and isinstance(value, list):
            found[f"{above}{param}"] = tuple(_named(owner, part, name_file) for part in value)
        elif param not in defaults or not _same(plain(defaults[param]), plain(value)):
            found |= (
                _flatten(f"{above}{param}.", value) if isinstance(value, dict) else {f"{above}{param}": plain(value)}
            )
    return found


def _named(owner: str, part: Any, name_file: Contents) -> Any:
    """Return a scheduler within another: its name and its parameters that are no defaults."""
    if not isinstance(part, dict):
        return plain(part)
    return tuple(
        (name, tuple(sorted(_parameters("", owner, str(name), dict(params or {}), name_file, ".").items())))
        for name, params in part.items()
    )


def _chain(key: str, place: str, chain: Any) -> dict[str, Any]:
    """Return the names of transforms in their order, and their parameters that are no defaults, flat."""
    items, counts = _items(chain), {}
    found: dict[str, Any] = {place: tuple(name for name, _ in items)}
    for name, params in items:
        counts[name] = number = counts.get(name, 0) + 1
        here = f"{place}.{name}" if number == 1 else f"{place}.{name} {number}"
        defaults = signature_of(key, name).defaults
        for param, value in params.items():
            if param == "transforms" and isinstance(value, (dict, list)):
                found |= _chain(key, f"{here}.{param}", value)
            elif param not in defaults or not _same(plain(defaults[param]), plain(value)):
                found[f"{here}.{param}"] = plain(value)
    return found


def _items(chain: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the transforms of a chain with their parameters: a mapping, or a list of mappings of one key."""
    parts: Iterable[Any] = [chain] if isinstance(chain, dict) else chain
    return [(str(name), dict(params or {})) for part in parts for name, params in part.items()]


def _flatten(above: str, value: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= _flatten(f"{above}{key}.", inner) if isinstance(inner, dict) else {f"{above}{key}": plain(inner)}
    return found or {above[:-1]: ()}


def _one_side(size: tuple[int, int]) -> int | tuple[int, int]:
    return size[0] if size[0] == size[1] else size


def _spelled(value: Any) -> Any:
    """Return a value as `plain` leaves it in the one spelling of its numbers: 1.0 is 1, as they are equal."""
    if isinstance(value, tuple):
        return [_spelled(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def plain(value: Any) -> Any:
    """Return a value hashable: lists are tuples, mappings sorted pairs."""
    if isinstance(value, (list, tuple)):
        return tuple(plain(each) for each in value)
    if isinstance(value, dict):
        return tuple(sorted((str(key), plain(inner)) for key, inner in value.items()))
    return value


def _same(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)
