"""Run folders from elsewhere: whatever their files hold, the others are compared, and no file of the user gets out."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from leaving import leave

import compare
from comparison.sources import find_runs
from evaluation.findings import Findings
from evaluation.record import read_record
from evaluation.report import _figure
from runs.folder import DamagedFile, RunFolder, TrialRecord

RECORDS = ("summary.json", "environment.json", "trial.json", "classes.json", "evaluation/evaluation.json")
VALUES = [None, 5, "=1+1", [["x"]], {"a": {"b": [None]}}, float("nan"), 10**25]


def sound(output: Path, *changes: str, **options: Any) -> RunFolder:
    found = Findings("calibration")
    found.add_share("ece", 0.1, 100)
    found.add("nll", 1.0)
    found.add_table("Bins", ("bin", "images"), [("1", "2")])
    options = {"evaluated": found, "epochs": [0.5, 0.6], "right": [True] * 10} | options
    folder = leave(output, "classes=null", *changes, **options)
    folder.write_classes("image", list("abcdefghij"))
    return folder


def compare_all(tmp_path: Path, capsys, *options: str) -> str:
    """Compare all runs into every kind of file, and return what was said."""
    files = {name: str(tmp_path / f"all.{name}") for name in ("markdown", "latex", "html", "csv", "runs-csv")}
    outputs = [word for name, file in files.items() for word in (f"--{name}", file)]
    status = compare.main([str(tmp_path / "output"), "--cost", "--trials", *outputs, *options])
    captured = capsys.readouterr()
    assert (status, captured.err) == (0, "")
    return captured.out


def places(value: Any) -> Iterator[Callable[[Any, Any], None]]:
    """Yield, for each value within a mapping, at any depth, what puts another into a copy in its place."""
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        yield lambda target, other, key=key: target.__setitem__(key, other)
        if isinstance(each, (dict, list)):
            for inner in places(each):
                yield lambda target, other, key=key, inner=inner: inner(target[key], other)


@pytest.mark.parametrize("value", VALUES, ids=map(str, VALUES))
@pytest.mark.parametrize("name", RECORDS)
def test_a_value_of_another_kind_anywhere_in_a_record_keeps_no_other_run_from_being_compared(
    tmp_path, capsys, name, value
):
    output = tmp_path / "output"
    sound(output)
    folder = sound(tmp_path / "model", "seed=1", trial=TrialRecord("search", 0, {"optimizer_params.lr": 0.1}))
    content = json.loads((folder.path / name).read_text())
    for number, put in enumerate(places(content)):
        changed = copy.deepcopy(content)
        put(changed, value)
        path = output / f"changed-{number}"
        shutil.copytree(folder.path, path)
        (path / name).write_text(json.dumps(changed))
    compare_all(tmp_path, capsys)
    found = find_runs([str(output)], trials=True)
    assert sum(run.folder.path.name.startswith("digits") for run in found.runs) == 1
    assert len(found.runs) + len(found.damaged) == number + 2


@pytest.mark.parametrize("value", VALUES, ids=map(str, VALUES))
def test_a_value_of_another_kind_anywhere_in_a_configuration_keeps_no_other_run_from_being_compared(
    tmp_path, capsys, value
):
    output = tmp_path / "output"
    sound(output)
    folder = sound(tmp_path / "model", "seed=1")
    content = yaml.safe_load(folder.config.read_text())
    for number, key in enumerate(content):
        path = output / f"changed-{number}"
        shutil.copytree(folder.path, path)
        (path / "config.yml").write_text(yaml.safe_dump(content | {key: value}))
    compare_all(tmp_path, capsys, "--tests", "none")
    assert sum(run.folder.path.name.startswith("digits") for run in find_runs([str(output)]).runs) == 1


NESTED = "[" * 100_000 + "]" * 100_000
BOMB = "loss_params:\n  a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"  {name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        *[
            (name, f'{{"a": {NESTED}}}', "holds values within too many others")
            for name in RECORDS
            if "classes" not in name
        ],
        *[(name, f'{{"a": {"9" * 5_000}}}', "holds a number of more than 30 digits") for name in RECORDS[:3]],
        ("config.yml", BOMB, "is not YAML that is taken: line 5: holds more than 10,000 values"),
        (
            "config.yml",
            f"loss_params: {NESTED[:99_000]}",
            "is not YAML that is taken: line 1: holds more than 50 levels",
        ),
        ("config.yml", "loss_params: !!set {a, b}", "is not YAML that is taken: line 1: the tag "),
        ("config.yml", "loss_params: &a [*a]", "is not YAML that is taken: line 1: *a stands inside what it names"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_would_keep_a_reader_busy_is_named_and_left_out(tmp_path, capsys, name, content, reason):
    sound(tmp_path / "output")
    folder = sound(tmp_path / "output", "seed=1", trial=TrialRecord("search", 0, {}))
    if name == "config.yml":
        content = folder.config.read_text().replace("loss_params: {}\n", f"{content}\n")
        assert content.count("loss_params:") == 1
        content = "\n".join([line for line in content.splitlines() if line]) + "\n"
        reason = reason.partition("line ")[0] if "line" in reason else reason
    (folder.path / name).write_text(content)
    told = compare_all(tmp_path, capsys)
    assert f"left out, damaged: {folder.path}: {Path(name).name} {reason}" in told
    assert "1 run in" in told


@pytest.mark.parametrize("name", ["config.yml", "environment.json", "evaluation/evaluation.json", "summary.json"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_pipes_and_devices_are_not_waited_for(tmp_path, capsys, name, kind):
    sound(tmp_path / "output")
    path = sound(tmp_path / "output", "seed=1").path / name
    path.unlink()
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    told = compare_all(tmp_path, capsys)
    if name == "config.yml":
        assert "left out, damaged" in told
        assert "config.yml cannot be read: no regular file" in told


def test_a_file_of_too_many_bytes_is_not_read(tmp_path, capsys):
    sound(tmp_path / "output")
    folder = sound(tmp_path / "output", "seed=1")
    with folder.summary.open("wb") as file:
        file.truncate(1 << 32)
    told = "summary.json cannot be read: 4,294,967,296 bytes, more than the 268,435,456 allowed"
    assert f"left out, damaged: {folder.path}: {told}" in compare_all(tmp_path, capsys)


@pytest.mark.parametrize("file", ["/etc/hostname", "../../secret.png", "..", ".", "", "a/b.png"])
def test_a_picture_outside_an_evaluations_folder_is_refused(tmp_path, file):
    folder = sound(tmp_path)
    path = folder.evaluation / "evaluation.json"
    values = json.loads(path.read_text())
    values["evaluations"]["calibration"]["pictures"] = [{"file": file, "caption": "x"}]
    path.write_text(json.dumps(values))
    with pytest.raises(DamagedFile, match="names a figure outside its folder"):
        read_record(folder.evaluation)


def a_link_to_it(path: Path, secret: Path) -> None:
    path.symlink_to(secret)


def it_itself(path: Path, secret: Path) -> None:
    path.write_bytes(secret.read_bytes())


def a_pipe(path: Path, secret: Path) -> None:
    os.mkfifo(path)


def too_large(path: Path, secret: Path) -> None:
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(1 << 30)


@pytest.mark.parametrize("put", [a_link_to_it, it_itself, a_pipe, too_large])
@pytest.mark.parametrize("begin", [b"a key", b"\x89PNG\r\n\x1a\n"], ids=["text", "png"])
def test_no_file_but_a_picture_of_the_folder_stands_in_a_report(tmp_path, put, begin):
    if put is it_itself and begin != b"a key":
        pytest.skip("that is a picture of the folder")
    folder = sound(tmp_path / "run")
    secret = tmp_path / "secret"
    secret.write_bytes(begin + b"of the user's")
    path = folder.evaluation / "x.png"
    put(path, secret)
    values = json.loads((folder.evaluation / "evaluation.json").read_text())
    values["evaluations"]["calibration"]["pictures"] = [{"file": "x.png", "caption": "x"}]
    (folder.evaluation / "evaluation.json").write_text(json.dumps(values))
    record = read_record(folder.evaluation)
    assert record is not None
    (figure,) = record.evaluated["calibration"].findings.figures
    assert _figure(figure, "calibration") == "<p class=warning>x.png is no figure of this evaluation</p>"
