"""Whatever a configuration file or a command line holds, it is read or refused with places: never a traceback."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from fuzzing import cases, damaged, outcome, within
from hypothesis import example, given
from hypothesis import strategies as st

from configuration.reading import read_configuration
from configuration.schema import KEYS, Configuration
from evaluation.catalogue import NAME_CHECKS
from utils.types import ConfigError

TEMPLATE = Path(__file__).resolve().parents[2] / "config_template.yml"
VALUES = Configuration().values()

PLACE = re.compile(r"config\.yml:[0-9]+: |config\.yml: cannot be read: |command line(: .*)?: ")

TRICKY = """
~ | null | None | true | yes | 0 | -1 | 1_000 | 08 | 0b2 | 0x_ | 0o7 | 1. | 1e-3 | 1e400 | -1e400 | .nan | -.inf |
1:2:3 | 1:30.5 | 2001-01-01 | 2001-99-99 | 2001-01-01 00:00:00 +99:99 | = | << | !!binary aGk= | !!binary ~ |
!!bool maybe | !!int '' | !!int x | !!float '' | !!timestamp x | !!set {a, b} | !!omap [a: 1] | !!pairs [a: 1] |
!!python/name:os.system | !!str 1 | !!null x | !x y | ! 1 | &a [*a] | &a {b: *a} | &a {<<: *a} | *nowhere | &a x |
{<<: [1]} | {<<: {a: 1}, a: 2} | {a: 1, a: 2} | {1: 2, "1": 3} | {~: 1} | {1.5: 2} | {[1]: 2} | {? {a: 1} : 2} |
[,] | [[[]]] | {} | "" | '' | "\\ud800" | "\\0" | "\\e[31m\\n" | "\\x85" | @ | ` | %a | "- a" | "None" | "1e5" |
? a | - a | a: b: c
""".replace("\n", " ").split(" | ")
LONG = 5000
HUGE = [
    *("1" * LONG, "-0x" + "f" * LONG, "1" + ":0" * 500 + ".5"),
    *("x" * LONG, "'" + "a" * LONG, "[" * LONG, "{a: " * LONG),
]
BYTES = [b"\t", b"\0", b"\xef\xbb\xbf", b"\r", b"\n", b": ", b"- ", b"&a ", b"*a", b"<<: ", b"---\n", b"!!"]

SCALARS = st.one_of(
    st.sampled_from([*TRICKY, *HUGE]),
    st.text(max_size=20),
    st.text(max_size=20).map(json.dumps),
    st.integers().map(str),
    st.floats().map(repr),
    st.sampled_from(list(VALUES.values())).map(json.dumps),
)
NAMES = st.one_of(st.sampled_from(KEYS), st.sampled_from(["mean", "std", "lr", "<<", "a", "1"]), SCALARS)
NESTED = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(NAMES, inner), max_size=4).map(
            lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items) + "}"
        ),
    ),
    max_leaves=6,
)


def lines_of(depth: int, widths: Sequence[int]) -> str:
    """Return a few lines of aliases that mean very many values."""
    first = f"a0: &a0 {{{', '.join(f'k{k}: x' for k in range(widths[0]))}}}"
    rest = (f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * widths[1])}]" for k in range(1, depth))
    return "\n".join([first, *rest])


def read(file: str | None, overrides: Sequence[str] = ()) -> Configuration | None:
    """Read a configuration; None if it is refused as it should be."""
    with within(seconds=1):
        config, told = outcome(lambda: read_configuration(file, overrides, NAME_CHECKS))
    for line in told.split("\n") if told else []:
        assert PLACE.match(line.replace(f"{file}:", "config.yml:")), line
    return config


def check_again(config: Configuration, folder: Path) -> None:
    """See that the merged configuration reads back from the file that a run keeps of it."""
    (folder / "again.yml").write_text(config.to_yaml(), encoding="utf-8")
    again = read_configuration(str(folder / "again.yml"), (), NAME_CHECKS)
    without = {"neptune_api_token", "mlflow_uri"}
    assert repr(again.values(without)) == repr(config.values(without))  # nan is not nan


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configuration")


@pytest.mark.parametrize("key", KEYS)
@cases(normal=4, torture=40)
@given(value=NESTED)
def test_any_value_of_any_key_is_read_or_refused_with_its_line(folder: Path, key: str, value: str) -> None:
    file = folder / "config.yml"
    file.write_text(f"# a comment\n{key}: {value}\n", encoding="utf-8", errors="surrogatepass")
    if (config := read(str(file))) is not None:
        check_again(config, folder)


@cases(normal=100, torture=2_500)
@given(lines=st.lists(st.tuples(NAMES, NESTED), max_size=6), overrides=st.lists(st.tuples(NAMES, NESTED), max_size=2))
@example(lines=[("optimizer_params", "&a {lr: 1}"), ("lr_scheduler_params", "{<<: *a, lr: 2}")], overrides=[])
@example(lines=[("notes", "'None'"), ("run_name", "'1e5'"), ("experiment_name", "2001-01-01")], overrides=[])
@example(lines=[("1.5", "1"), ("0x10", "1"), ("yes", "1"), ("1", "2"), ("'1'", "2")], overrides=[])
def test_any_lines_and_overrides_are_read_or_refused_with_their_places(
    folder: Path, lines: list[tuple[str, str]], overrides: list[tuple[str, str]]
) -> None:
    file = folder / "config.yml"
    text = "".join(f"{name}: {value}\n" for name, value in lines)
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    config = read(str(file), [f"{name}={value}" for name, value in overrides])
    if config is not None:
        check_again(config, folder)


@cases(normal=100, torture=2_500)
@given(
    content=st.one_of(
        st.binary(max_size=200),
        damaged(
            [TEMPLATE.read_bytes(), TEMPLATE.read_bytes().replace(b"\n", b"\r\n")],
            inserted=[
                b"\t",
                b"\0",
                b"\xef\xbb\xbf",
                b"\r",
                b"\n",
                b": ",
                b"&a ",
                b"*a",
                b"<<: ",
                b"- ",
                b"---\n",
                b"!!",
            ],
        ),
    )
)
@example(content=TEMPLATE.read_text(encoding="utf-8").encode("utf-16"))
@example(content=b"\xef\xbb\xbfseed: 3\r\n")
@example(content=b"a: " + b"[" * 100_000)
@example(content=b"a: " + b"{a: " * 60_000)
@example(content=b"loss_params: " + b"{a: " * 900 + b"}" * 900)
@example(content=b"\n".join(b" " * depth + b"a:" for depth in range(600)))
@example(content=b"\n".join(b"a%d: 1" % k for k in range(30_000)))
@example(content=lines_of(12, (10, 10)).encode())
@example(content=lines_of(12, (10, 10)).replace("[", "{k: [").replace("]", "]}").encode())
@example(content=lines_of(12, (10, 10)).replace("[", "{<<: [").replace("]", "]}").encode())
def test_any_damage_to_a_file_is_read_or_refused_with_its_line(folder: Path, content: bytes) -> None:
    file = folder / "config.yml"
    file.write_bytes(content)
    if (config := read(str(file))) is not None:
        check_again(config, folder)


@cases(normal=150, torture=2_500)
@given(
    overrides=st.lists(
        st.one_of(
            st.text(max_size=30),
            st.tuples(
                st.lists(NAMES, min_size=1, max_size=3).map(".".join), st.sampled_from(["", "=", "=="]), NESTED
            ).map("".join),
        ),
        max_size=4,
    )
)
@example(overrides=["seed.x=1:²"])
@example(overrides=["\x1b[31m.\n=1", "\udc80=1"])
def test_any_words_on_the_command_line_are_read_or_refused_as_such(folder: Path, overrides: list[str]) -> None:
    if (config := read(None, overrides)) is not None:
        check_again(config, folder)


@pytest.mark.parametrize("file", ["a\0b", "/dev/zero", "x" * 5000, "\udc80", "\x1b[31m\n", "."])
def test_any_name_of_a_file_is_refused_by_name(file: str) -> None:
    with within(seconds=1), pytest.raises(ConfigError) as caught:
        read_configuration(file)
    assert str(caught.value).splitlines()[0].isprintable()
    assert re.search(r"cannot be read|no such file|not valid YAML", str(caught.value))
