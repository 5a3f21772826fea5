"""Whatever words stand behind the scripts, they end with a status and a message: never a traceback."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzzing import cases, within
from hypothesis import example, given
from hypothesis import strategies as st

import compare
import prepare_stanford_dataset
import train

WORDS = [
    *("", "-", "--", "-d", "-h", "--list", "--list=losses", "--check", "--fresh", "losses", "nothing", "=", "a=", "=a"),
    *("config.yml", "folder", "none.yml", "\udc80", "\x1b[31m", "x" * 5_000, "/dev/null", "/dev/zero", "."),
    *(
        "batch_size=0",
        "seed=x",
        "loss_params.alpha=[",
        "dataset=csv",
        "data_path=none",
        'data_path="a\\0b"',
        "classes=[a]",
    ),
    *("--source", "--dest", "--source=folder", "--dest=new", "--allow-partial", "stanford_raw_data_path=folder"),
    *(
        "stanford_data_path=new",
        'stanford_data_path="a\\0b"',
        "output_path=a",
        "logging_dir=config.yml",
        "notes=\U0001f600",
    ),
]
NO_NUL = st.text(st.characters(exclude_characters="\0"), max_size=8)  # the system passes none
ARGUMENTS = st.lists(st.one_of(st.sampled_from(WORDS), NO_NUL), max_size=5)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run in, with a configuration that is refused before anything is built."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "config.yml").write_text("batch_size: 0\n")
    return tmp_path


def check(main: Callable[[list[str]], int], arguments: list[str]) -> None:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict") for _ in range(2))
    err.reconfigure(errors="backslashreplace")  # as Python's own stderr
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), within(seconds=5):
        try:
            status = main(arguments)
        except SystemExit as leave:  # argparse's
            status = leave.code
    err.seek(0)
    told = err.read()
    assert status in (0, 2)
    assert "Traceback" not in told
    assert bool(told) == (status == 2)


@cases(normal=60, torture=1_000)
@given(arguments=ARGUMENTS)
@example(arguments=["--list", "\udc80"])
def test_any_words_behind_train_end_with_a_message(place: Path, arguments: list[str]) -> None:
    check(train.main, [*arguments, "batch_size=0"] if "--" not in arguments else [*arguments, "--check"])


@cases(normal=60, torture=1_000)
@given(arguments=ARGUMENTS)
@example(arguments=["config.yml", "batch_size=1", 'stanford_raw_data_path="a\\0b"'])
@example(arguments=["--source=folder", "--dest=" + "x" * 5_000])
def test_any_words_behind_the_preparation_end_with_a_message(place: Path, arguments: list[str]) -> None:
    check(prepare_stanford_dataset.main, arguments)


@cases(normal=60, torture=1_000)
@given(arguments=ARGUMENTS)
@example(arguments=["x" * 5_000])
@example(arguments=["config.yml", "sweep={grid: {seed: [1]}}"])
@example(arguments=["folder", "--rows=\udc80", "--reach=nan", "[", "**"])
def test_any_words_behind_the_comparison_end_with_a_message(place: Path, arguments: list[str]) -> None:
    check(compare.main, arguments)
