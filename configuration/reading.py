"""config.yml -> `Configuration`: every mistake in keys, types, ranges and names at once, each with its line."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from configuration.chains import NoEntry, put, shortest, steps
from configuration.checks import TOGETHER, NameChecks, check_names, check_types
from configuration.own_code import WITHIN, with_digests
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
from utils.lookup import did_you_mean
from utils.own_names import short_name, split_key
from utils.secrets import remember_secrets, without_password
from utils.types import ConfigError

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
    not_there: list[Mistake] = []
    with_digests(values, Path(file or "").parent, places, not_there, copies_only=of_a_run)
    for key in CHAINS:
        if (mapping := shortest(values.get(key))) is not values.get(key):
            _place_by_name(key, values[key], places)
            values[key] = mapping
    for override in overrides:
        _apply_override(override, values, places, mistakes)
    changed = {override.partition("=")[0].partition(".")[0] for override in overrides}
    with_digests(values, Path(), places, not_there, changed.intersection(WITHIN))
    remember_secrets(values)
    _merge_spellings(values, places, mistakes)
    for key in [key for key, value in values.items() if value is None and is_mapping(key)]:
        del values[key]  # `loss_params:` with nothing behind it is an empty mapping
    misfits = check_types(Configuration, values)
    mistakes += misfits
    own_monitors = [f"valid/{short_name(str(name))}" for name in values.get("metrics") or ()]
    for key, check in (name_checks or {}).items():
        if key == "monitor" and values.get(key) in own_monitors:
            continue
        mistakes += check_names(key, values.get(key, Configuration.default(key)), check)
    has_sweep = isinstance(values.get("sweep"), dict)
    if has_sweep and check_sweep is not None:
        mistakes += check_sweep(values, name_checks or {})
    wrong = {misfit.key[0] for misfit in misfits}
    configuration = msgspec.convert({key: value for key, value in values.items() if key not in wrong}, Configuration)
    if not has_sweep:
        rules = [rule for rule in TOGETHER if wrong.isdisjoint(rule.keys)]
        mistakes += [mistake for rule in rules for mistake in rule.check(configuration)]
    named = {mistake.key for mistake in not_there}  # these are no unknown names
    mistakes = [*not_there, *(mistake for mistake in mistakes if mistake.key not in named)]
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
    key = split_key(name)
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
    top, *inner = key
    common = values.get(top)
    if common is None and inner:
        default = Configuration.default(top) if top in KEYS else None
        common = default if isinstance(default, dict) else {}
    try:
        values[top] = put(common, tuple(inner), value)
    except NoEntry as error:
        above = ".".join(key[: len(key) - len(error.path)])
        text = f"{above} holds no parameters"
        if isinstance(error.value, list):
            text = f"{above} is a list: name one of its {len(error.value)} items by position, from 0"
        mistakes.append(Mistake(key, text, COMMAND_LINE))
        return
    for depth in range(1, len(key)):
        places.setdefault(key[:depth], place)
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
