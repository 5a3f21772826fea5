"""YAML as a configuration means it: texts, numbers, true, false, null, lists and mappings, each with its line."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import yaml
from yaml.reader import Reader

from utils.types import ConfigError

MAX_CHARACTERS = 1 << 18
MAX_DEPTH = 50
MAX_VALUES = 10_000
"""Aliases count as what they stand for: a few lines of them can mean billions of values."""

NULL, BOOLEAN, INTEGER, FLOAT, MERGE, TEXT = (
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "merge", "str")
)
TEXTS = (None, "!", TEXT)
"""Tags that a value may carry; what others make of it is no type of a configuration's, or an error."""
CORE = {
    NULL: (r"~|null|Null|NULL|None|", ["~", "n", "N", ""]),  # None: files of the thesis have it
    BOOLEAN: (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    INTEGER: (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    FLOAT: (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    MERGE: (r"<<", ["<"]),
}
"""What a value without quotes is, by the core schema of YAML 1.2.2 (10.3.2), None and << added: form, first letters."""
WRITTEN = CORE | {
    INTEGER: (r"-?(?:0|[1-9][0-9]*)", list("-0123456789")),
    FLOAT: (r"-?[0-9]+\.[0-9]*(?:e[-+]?[0-9]+)?|-?\.inf|\.nan", list("-.0123456789")),
}
"""The same for what `write_yaml` writes. It followed YAML 1.1 once, where a text such as 008 needs no quotes."""

_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Loader(_SafeLoader):
    """Reads what a person writes."""

    yaml_implicit_resolvers = {}


class _WrittenLoader(_SafeLoader):
    """Reads what `write_yaml` wrote, at any time."""

    yaml_implicit_resolvers = {}


class _Dumper(yaml.SafeDumper):
    """Puts between quotes what is something else than a text by the rules of YAML 1.1 or 1.2."""


def _number(loader: Any, node: yaml.ScalarNode) -> int | float:
    text = node.value
    try:
        if node.tag == FLOAT:
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        value = int(text, 0 if text[:2] in ("0o", "0x") else 10)
    except ValueError:  # thousands of digits
        value = 1 << 63
    if not -(1 << 63) <= value < 1 << 63:
        raise yaml.constructor.ConstructorError(None, None, "a number that does not fit in 64 bits", node.start_mark)
    return value


for _each, _forms in ((Loader, CORE), (_WrittenLoader, WRITTEN), (_Dumper, CORE)):
    for _tag, (_form, _letters) in _forms.items():
        _each.add_implicit_resolver(_tag, re.compile(f"(?:{_form})$"), _letters)
for _each in (Loader, _WrittenLoader):
    for _tag in (INTEGER, FLOAT):
        _each.add_constructor(_tag, _number)


class YamlError(ConfigError):
    """What cannot be read.

    Args:
        problem: what is wrong.
        line: where, counted from 1.
    """

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(problem)
        self.problem, self.line = problem, line


class Document(NamedTuple):
    """What a text holds.

    Args:
        value: of YAML's own types; None if it holds nothing.
        lines: where each key and item of a list stands, by the keys and positions that lead there.
        doubled: (key, its line, the line where it stood first) for each key that stands twice.
    """

    value: Any
    lines: dict[tuple[str, ...], int]
    doubled: list[tuple[tuple[str, ...], int, int]]


def read_yaml(text: str, written: bool = False) -> Document:
    """Read a text of at most 10,000 values; nothing in it can run, nor keep the reader busy.

    Tags are refused, as are numbers beyond 64 bits and keys that are neither texts nor whole numbers.

    Args: written: the text is what `write_yaml` wrote, such as a run's configuration, perhaps years ago.

    Raises: YamlError.
    """
    kind = _WrittenLoader if written else Loader
    if unfit := Reader.NON_PRINTABLE.search(text):
        raise YamlError(f"holds the character {unfit[0]!r}", text.count("\n", 0, unfit.start()) + 1)
    if len(text) > MAX_CHARACTERS:
        raise YamlError(f"has {len(text):,} characters, more than the {MAX_CHARACTERS:,} allowed", 1)
    document = Document(None, {}, [])
    try:
        _check_size(text)
        loader = kind(text)
        node = loader.get_single_node()
        return document if node is None else document._replace(value=_build(loader, node, (), document))
    except yaml.MarkedYAMLError as error:
        raise _mistake(str(error.problem), error.problem_mark or error.context_mark) from None


def write_yaml(value: Any) -> str:
    """Return a text that `read_yaml` reads as the same value, mappings in their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _mistake(problem: str, mark: Any) -> YamlError:
    return YamlError(problem, mark.line + 1 if mark else 1)


def _check_size(text: str) -> None:
    """Refuse tags, depth and numbers of values before anything is built: libyaml's own recursion ends the process."""
    total = 0
    sizes: dict[str, int] = {}  # anchor -> values behind it
    parents: list[tuple[str | None, int]] = []
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.NodeEvent):
            total += 1 if not isinstance(event, yaml.AliasEvent) else sizes.get(str(event.anchor), 1)
        if isinstance(event, yaml.AliasEvent) and any(event.anchor == anchor for anchor, _ in parents):
            raise _mistake(f"*{event.anchor} stands inside what it names", event.start_mark)
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag not in TEXTS:
            raise _mistake(f"the tag {event.tag!r} is not taken", event.start_mark)
        if isinstance(event, yaml.ScalarEvent) and (unfit := re.search("[\0\ud800-\udfff]", event.value)):
            raise _mistake(f"holds the character {unfit[0]!r}", event.start_mark)
        if isinstance(event, yaml.CollectionStartEvent):
            parents.append((event.anchor, total))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = parents.pop()
            if anchor is not None:
                sizes[anchor] = total - before + 1
        if total > MAX_VALUES or len(parents) > MAX_DEPTH:
            limit = f"{MAX_VALUES:,} values" if total > MAX_VALUES else f"{MAX_DEPTH} levels"
            raise _mistake(f"holds more than {limit}", event.start_mark)


def _build(loader: Any, node: yaml.Node, key: tuple[str, ...], document: Document) -> Any:
    """Return what a node holds, noting the lines of its keys."""
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_object(node)
    if isinstance(node, yaml.SequenceNode):
        for place, each in enumerate(node.value):
            document.lines[(*key, str(place))] = each.start_mark.line + 1
        return [_build(loader, each, (*key, str(place)), document) for place, each in enumerate(node.value)]
    inherited: dict[Any, Any] = {}
    for name_node, merged in node.value:
        if name_node.tag == MERGE:
            for each in merged.value if isinstance(merged, yaml.SequenceNode) else [merged]:
                if not isinstance(each, yaml.MappingNode):
                    raise _mistake("<< takes a mapping or a list of mappings", name_node.start_mark)
                inherited = _build(loader, each, key, document) | inherited
    own: dict[Any, Any] = {}
    own_lines: dict[str, int] = {}
    for name_node, value_node in node.value:
        if name_node.tag == MERGE:
            continue
        name = _build(loader, name_node, key, document) if isinstance(name_node, yaml.ScalarNode) else None
        if not isinstance(name, (str, int)) or isinstance(name, bool):
            raise _mistake("a key must be a text or a whole number; quotes make it a text", name_node.start_mark)
        below, line = (*key, str(name)), name_node.start_mark.line + 1
        if str(name) in own_lines:
            document.doubled.append((below, line, own_lines[str(name)]))
        own_lines.setdefault(str(name), line)
        document.lines[below] = line
        own[name] = _build(loader, value_node, below, document)
    return inherited | own
