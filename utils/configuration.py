"""config.yml -> `Configuration`: every mistake in keys, types, ranges and names at once, each with its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import msgspec
import yaml

from utils.lookup import did_you_mean, in_words
from utils.schema import COMMAND_LINE, KEYS, Configuration, Key, Mistake, Normalization, list_mistakes
from utils.smoke import shrink
from utils.types import ConfigError

NameChecks = Mapping[str, Callable[[str], str | None]]


def read_configuration(
    file: str | None,
    overrides: Sequence[str] = (),
    name_checks: NameChecks | None = None,
    check_sweep: Callable[[dict[str, Any], NameChecks], list[Mistake]] | None = None,
) -> Configuration:
    """Merge command line > file > defaults and check keys, types, ranges and names.

    Values of a file with a `sweep` are checked one by one: what must fit together is the business of its runs.

    Args:
        file: path of a YAML file; None for the defaults alone.
        overrides: `key=value` or `key.sub=value`, values in YAML.
        name_checks: key -> function from the name given to what is wrong with it, or None.
        check_sweep: finds the mistakes of a `sweep`, given all values; None where it is of no interest.

    Raises: ConfigError with every mistake, one a line, each with its place.
    """
    places: dict[Key, str] = {}
    mistakes: list[Mistake] = []
    values = _read_file(file, places, mistakes) if file is not None else {}
    for override in overrides:
        _apply_override(override, values, places, mistakes)
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
    configuration = None if misfits else msgspec.convert(values, Configuration)
    if configuration is not None and not has_sweep:
        mistakes += [mistake for rule in TOGETHER for mistake in rule.check(configuration)]
    if mistakes or configuration is None:
        raise ConfigError(list_mistakes(places, mistakes))
    return shrink(msgspec.structs.replace(configuration, _places=places))


_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):
    """YAML as a Python user means it: `1e-3` is a number, `None` is null."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^None$"), ["N"])


def _read_file(file: str, places: dict[Key, str], mistakes: list[Mistake]) -> dict[str, Any]:
    path = Path(file)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file; copy config_template.yml to config.yml and edit it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        values = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{file}:{line}: not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: not valid YAML: {error}") from None
    if values is None:
        return {}
    places[()] = file
    if not isinstance(values, dict):
        raise ConfigError(f"{file}:1: expected `key: value` lines, got {show(values)}")
    _note_places(node, (), file, places, mistakes, set())
    return {str(key): value for key, value in values.items()}


def _note_places(
    node: yaml.Node | None, key: Key, file: str, places: dict[Key, str], mistakes: list[Mistake], done: set[int]
) -> None:
    """Remember the line of every key and every item of a list, and refuse a key that stands twice.

    What stands once and is meant several times, by an alias, has its lines where it stands.
    """
    if not isinstance(node, (yaml.MappingNode, yaml.SequenceNode)) or id(node) in done:
        return
    done.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            places[(*key, str(number))] = f"{file}:{item.start_mark.line + 1}"
            _note_places(item, (*key, str(number)), file, places, mistakes, done)
        return
    seen: set[str] = set()
    for name_node, value_node in node.value:
        name = str(name_node.value)
        place = f"{file}:{name_node.start_mark.line + 1}"
        if name in seen and name != "<<":
            mistakes.append(Mistake((*key, name), f"stands twice, first in {places[(*key, name)]}", place))
        seen.add(name)
        places[(*key, name)] = place
        _note_places(value_node, (*key, name), file, places, mistakes, done)


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
    try:
        value = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        places[key] = COMMAND_LINE
        mistakes.append(Mistake(key, f"not valid YAML: {text!r}"))
        return
    target = values
    for depth, part in enumerate(key[:-1], start=1):
        if target.get(part) is None:
            default = Configuration.default(part) if depth == 1 and part in KEYS else None
            target[part] = default if isinstance(default, dict) else {}
            places.setdefault(key[:depth], place)
        target = target[part]
        if not isinstance(target, dict):
            places[key] = COMMAND_LINE
            mistakes.append(Mistake(key, f"{'.'.join(key[:depth])} holds no parameters"))
            return
    target[key[-1]] = value
    places[key] = COMMAND_LINE


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


def is_mapping(key: str) -> bool:
    return key in KEYS and isinstance(Configuration.default(key), (dict, Normalization))


def check_names(key: str, given: Any, check: Callable[[str], str | None]) -> list[Mistake]:
    """Check the one name, the list of names or the names that head a mapping under `key`."""
    names = [given] if isinstance(given, str) else given if isinstance(given, (list, dict)) else []
    found = []
    for name in names:
        problem = check(name) if isinstance(name, str) else None
        if problem:
            found.append(Mistake((key, name) if isinstance(given, dict) else (key,), problem))
    return found


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


def _one_start(config: Configuration) -> list[Mistake]:
    found = []
    if config.pretrained and config.weights_path:
        found.append(Mistake(("weights_path",), "excludes pretrained: true; give one of the two"))
    if "://" in (config.weights_path or ""):
        found.append(Mistake(("weights_path",), "must be a local file, not an address: download it first"))
    return found


TOGETHER = (
    _channels("normalization_params_rgb", 3),
    _channels("normalization_params_grayscale", 1),
    Rule(("select_on", "valid_fraction"), _needs_validation),
    Rule(("noisy_labels", "label_noise", "classes"), _one_noise),
    Rule(("pretrained", "weights_path"), _one_start),
)
"""All such rules; a sweep checks each on the values of its keys alone, not on every run."""


def check_types(kind: Any, value: Any, key: Key = ()) -> list[Mistake]:
    """Find all that does not fit a type; a mapping's entries are taken one by one, as msgspec stops at the first."""
    found: list[Mistake] = []
    if isinstance(value, dict):
        entries = _entry_types(kind, value)
        for name, inner in value.items():
            below = (*key, str(name))
            if name in entries:
                found += check_types(entries[name], inner, below)
            else:
                found.append(Mistake(below, f"unknown key{did_you_mean(str(name), entries)}"))
    if not found:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            found.append(Mistake(key, f"must be {in_words(kind)}, got {show(value)}"))
    return found


def _entry_types(kind: Any, value: dict[Any, Any]) -> dict[Any, Any]:
    """Return the types of the entries that a mapping may have: a struct's own, or one for all that are there."""
    kind = next((part for part in get_args(kind) if hasattr(part, "__struct_fields__")), kind)  # of "struct or null"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {name: hint for name, hint in kind.__annotations__.items() if name[0] != "_"}
    return dict.fromkeys(value, get_args(kind)[1] if get_origin(kind) is dict else Any)


def show(value: Any) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
