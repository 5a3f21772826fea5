"""YAML by the core schema of YAML 1.2, and what is written of it, read by that and by other versions' rules."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from configuration.reading import read_configuration
from configuration.schema import Configuration
from configuration.settings import read_values
from configuration.yaml_text import FLOAT, NULL, YamlError, read_yaml, write_yaml
from sweeps.reference import REFERENCES, read_reference
from training import building
from utils.types import ConfigError

TABLE: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL", "None")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **{"0": 0, "-0": 0, "+7": 7, "007": 7, "010": 10, "0224": 224, "089": 89, "-012": -12},
    **{"0o10": 8, "0o777": 511, "0x1F": 31, "0xff": 255, "9223372036854775807": 2**63 - 1},
    **{"1e-3": 1e-3, "1E5": 1e5, "-2e+2": -200.0, "1.5e-3": 1.5e-3, "1.": 1.0, ".5": 0.5, "-.5": -0.5, "+.5e3": 500.0},
    **{".inf": math.inf, "-.Inf": -math.inf, "+.INF": math.inf, "1e400": math.inf},
    **{
        text: text
        for text in (
            *("y", "Y", "n", "N", "yes", "Yes", "no", "NO", "on", "On", "off", "OFF", "tRue", "nULL", "none"),
            *("12:30", "1:2:3", "190:20:30.15", "1_000", "1_000.5", "0b101", "0o8", "0xG", "-0x1F", "0_7", "0x_f"),
            *("2001-01-01", "2001-12-14 21:59:43.10", "=", "<", "e5", "1e", "1e1.0", ".", "-", "+", "1.2.3", "inf"),
            *("nan", "NaN", "+.nan", "-.NaN", ".e5", "\u0661"),
        )
    },
}
"""Plain scalars and what they are: the examples of YAML 1.2.2, 10.3.2, and what YAML 1.1 takes for something else."""


@pytest.mark.parametrize("text", [text for text in TABLE if text != "-"])
def test_plain_scalars_are_what_yaml_1_2_says(text: str) -> None:
    for document in (f"key: {text}", f"- {text}", f"{{key: {text}}}", f"[[{text}]]" if text else "-"):
        value = read_yaml(document).value
        while isinstance(value, (dict, list)):
            value = next(iter(value.values() if isinstance(value, dict) else value))
        assert (type(value), value) == (type(TABLE[text]), TABLE[text]), document


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_not_a_number_is_a_number(text: str) -> None:
    assert math.isnan(read_yaml(text).value)


@pytest.mark.parametrize("text", list(filter(None, TABLE)))
def test_quotes_make_a_text(text: str) -> None:
    assert read_yaml(f"['{text}', \"{text}\"]").value == [text, text]


def test_keys_follow_the_same_rules() -> None:
    assert read_yaml("{010: a, 0x10: b, no: c, on: d, '7': e, 12:30: f}").value == {
        **{10: "a", 16: "b", "no": "c", "on": "d", "7": "e", "12:30": "f"}
    }
    for key in ("1.5", "~", "true", ".inf"):
        with pytest.raises(YamlError, match="a key must be a text or a whole number"):
            read_yaml(f"{{{key}: 1}}")


def test_merge_keys_take_over_and_an_equals_sign_is_a_key_like_any_other() -> None:
    text = "a: &a {lr: 1, beta: 2}\nb: {<<: *a, lr: 3}\nc: {<<: [*a, {gamma: 4, lr: 5}]}\n=: 6\n"
    assert read_yaml(text).value == {
        "a": {"lr": 1, "beta": 2},
        "b": {"lr": 3, "beta": 2},
        "c": {"lr": 1, "beta": 2, "gamma": 4},
        "=": 6,
    }
    assert read_yaml("'<<': 1").value == {"<<": 1}


@pytest.mark.parametrize("text", ["9223372036854775808", "-9223372036854775809", "0x8000000000000000", "1" * 5000])
def test_numbers_beyond_64_bits_are_refused_with_their_line(text: str) -> None:
    with pytest.raises(YamlError, match="does not fit in 64 bits") as refused:
        read_yaml(f"a: 1\nb: {text}\n")
    assert refused.value.line == 2


def test_a_configuration_means_what_it_says() -> None:
    config = read_configuration(None, ["seed=010", "classes=[no, yes, 0224, 12:30]", "valid_fraction=1e-1"])
    assert (config.seed, config.classes, config.valid_fraction) == (10, ["no", "yes", 224, "12:30"], 0.1)
    with pytest.raises(ConfigError, match="normalize: must be true, false or 'auto', got 'no'"):
        read_configuration(None, ["normalize=no"])


# ------------------------------------------------------------------------------------------------- what is written

WORDS = sorted(
    {*filter(None, TABLE), "None", "1e5", "a: b", "- a", "# a", "'", '"', "\\", "a\nb", "\u00e9", "<<", "!x"}
)
NUMBERS = [0, -5, 10, 2**63 - 1, 0.1, 1.0, -2.5, 1e-5, 1e20, 5e-324, 1.7976931348623157e308, math.inf, -math.inf]
VALUES: list[Any] = [*WORDS, *NUMBERS, True, False, None, [], {}, {"a": [1, "1", "010"]}]


class EarlierDumper(yaml.SafeDumper):
    """Writes as `write_yaml` did when configurations followed YAML 1.1."""


EarlierDumper.add_implicit_resolver(
    FLOAT, re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)
EarlierDumper.add_implicit_resolver(NULL, re.compile(r"^None$"), ["N"])


def same(first: Any, second: Any) -> bool:
    return repr(first) == repr(second)  # 1 is not 1.0 or True


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_is_written_reads_back_by_the_rules_of_1_2_and_of_1_1(value: Any) -> None:
    text = write_yaml({"key": [value, {"in": value}]})
    expected = {"key": [value, {"in": value}]}
    assert same(read_yaml(text).value, expected)
    assert same(read_yaml(text, written=True).value, expected)
    assert same(yaml.safe_load(text), expected)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_a_run_of_before_wrote_is_read_as_it_was_meant(value: Any, tmp_path: Path) -> None:
    text = yaml.dump({"loss_params": [value]}, Dumper=EarlierDumper, sort_keys=False, allow_unicode=True, width=120)
    assert same(read_yaml(text, written=True).value, {"loss_params": [value]})
    (tmp_path / "config.yml").write_text(text, encoding="utf-8")
    assert same(read_values(tmp_path / "config.yml"), {"loss_params": [value]})


def test_classes_of_an_earlier_run_keep_their_zeros(tmp_path: Path) -> None:
    """Written without quotes: YAML 1.1 takes no number for octal that has an 8."""
    file = tmp_path / "config.yml"
    file.write_text("classes:\n- '007'\n- 008\nrun_name: 0o10\n")
    config = read_configuration(str(file), of_a_run=True)
    assert (config.classes, config.run_name) == (["007", "008"], "0o10")
    assert read_configuration(str(file), ["classes=[008]"], of_a_run=True).classes == [8]
    assert read_values(file) == {"classes": ["007", "008"], "run_name": "0o10"}


def test_the_papers_numbers_are_read_by_the_same_rules(tmp_path: Path) -> None:
    text = (REFERENCES / "osm_table7.yml").read_text(encoding="utf-8")
    file = tmp_path / "table.yml"
    file.write_text(re.sub(r"^source: .*$", "source: no", text, flags=re.MULTILINE), encoding="utf-8")
    assert read_reference(file).source == "no"


@pytest.mark.parametrize("content", ["[1, 2]", "loss_function: !!python/name:os.system x", "a: b: c", "loss_params: 3"])
def test_the_run_of_a_teacher_is_read_with_all_checks(content: str, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.yml").write_text(content)
    with pytest.raises(ConfigError, match=r"weights_path: the run that left it cannot be read: .*config\.yml:1"):
        building._load_network(Configuration(), 10, str(tmp_path / "checkpoints" / "best.ckpt"))
