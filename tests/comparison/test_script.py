"""compare.py as it is called: its options, its outputs, what it refuses."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from leaving import leave

import compare
from evaluation.findings import Findings
from runs.records import without_formula

ROOT = Path(__file__).resolve().parents[2]


def evaluated(ece: float) -> list[Findings]:
    calibration, cost, judged = Findings("calibration"), Findings("cost"), Findings("classification")
    calibration.add("ece", ece)
    calibration.add("nll", 1.5)
    cost.add("parameters", 64)
    cost.add("latency_ms", 12.345)
    judged.add_share("accuracy", 1 - ece, 200)
    return [calibration, cost, judged]


def said(capsys, *words: object, status: int = 0) -> str:
    assert compare.main([str(word) for word in words]) == status
    captured = capsys.readouterr()
    assert (captured.err == "") == (status == 0)
    return captured.out + captured.err


def test_files_that_could_not_be_written_are_told_before_anything_is_compared(tmp_path, capsys):
    leave(tmp_path / "some")
    told = said(capsys, tmp_path / "some", "--html", tmp_path / "no" / "x.html", "--runs-csv", tmp_path, status=2)
    assert told.splitlines() == [
        f"--runs-csv {tmp_path}: is a folder, not a file",
        f"--html {tmp_path}/no/x.html: no such folder: {tmp_path}/no",
    ]
    table, page = tmp_path / "table.md", tmp_path / "page.html"
    told = said(capsys, tmp_path / "some", "--html", page, "--markdown", table)
    assert told.endswith(f"\nwritten: {table}, {page}\n")


def test_a_share_to_reach_is_no_percentage(tmp_path, capsys):
    leave(tmp_path, epochs=[0.5])
    told = said(capsys, tmp_path, "--reach", "90", status=2)
    assert told == "--reach: valid/accuracy is a share of 1, so 0.9 means 90 %, got 90\n"
    leave(tmp_path / "loss", "monitor=valid/loss", epochs=[0.5])
    assert "epoch at 90" in said(capsys, tmp_path / "loss", "--reach", "90")


def test_what_was_chosen_and_what_was_asked_for_are_told_apart(tmp_path, capsys):
    for loss in ("CrossEntropyLoss", "FocalLoss"):
        leave(tmp_path, f"loss_function={loss}")
    assert "rows and columns chosen automatically; --rows KEY --columns KEY to choose others" in said(capsys, tmp_path)
    told = said(capsys, tmp_path, "--rows", "loss_function")
    assert "\ncolumns chosen automatically; --columns KEY to choose others\n" in told
    told = said(capsys, tmp_path, "--rows", "loss_function", "--columns", "architecture")
    assert "chosen automatically" not in told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metric", "test/acuracy"], "--metric: no run has 'test/acuracy'; did you mean 'test/accuracy'?"),
        (["--metric", "calibration/ece"], "test/cross_entropy, ...; python evaluate.py RUN adds others"),
        (["--rows", "los_function"], "--rows: no run has the key 'los_function'; did you mean 'loss_function'?"),
        (["--columns", "seed"], "--columns: groups are means over seeds"),
        (["--rows", "notes"], "--rows: 'notes' cannot change a result"),
        (["--rows", "dropout", "--columns", "dropout"], "--columns: dropout is in --rows already"),
        (["--baseline", "FocalLoss"], "--baseline: no row is called 'FocalLoss'"),
        (["--rows", "lr"], "--rows: no run has the key 'lr'; did you mean 'optimizer_params.lr'?"),
        (["--columns", "learning_rate"], "has the key 'learning_rate'; did you mean 'optimizer_params.lr'?"),
        (
            ["--rows", "momentum"],
            "has the key 'momentum'; here it is optimizer_params.momentum\nthe runs differ in their",
        ),
        (["--rows", "optimizer_params"], "has the key 'optimizer_params'; did you mean 'optimizer_params.lr'?"),
        (["--rows", "architecture_params"], "has the key 'architecture_params'; did you mean 'architecture'?"),
        (["--rows", "dropout", "--rows", "foo"], "--rows: no run has the key 'foo'"),
        (["--pool", "torch", "--pool", "devise"], "--pool: 'devise' is not one of device,"),
        (["--rows", "epochs"], "--rows: no run has the key 'epochs'; did you mean 'num_epochs'?"),
        (["--metric", "test acc"], "--metric: no run has 'test acc'; did you mean 'test/accuracy'?"),
        (["--metric", "val_acc"], "--metric: no run has 'val_acc'; did you mean 'valid/accuracy'?"),
        (
            ["--metric", "test/accuracy,test/acuracy"],
            "--metric: no run has 'test/acuracy'; did you mean 'test/accuracy'?",
        ),
        (["--metric", "test/accuracy,seconds", "--rope", "1"], "--rope: each metric has a unit of its own; give one"),
        (["--rope", "-0.3"], "--rope: must be a positive number in the metric's unit, got -0.3"),
        (["--rope", "nan"], "--rope: must be a positive number in the metric's unit, got nan"),
        (["--reach", "nan"], "--reach: must be a finite number, got nan"),
        (["--reach", "inf"], "--reach: must be a finite number, got inf"),
        (["--html", "same.x", "--csv", "./same.x"], "--html and --csv: name one file, same.x"),
    ],
)
def test_what_there_is_not_is_refused(tmp_path, capsys, options, message):
    leave(tmp_path, "optimizer_params.lr=0.5", summary={"valid/accuracy": 0.8}, epochs=[0.5])
    assert message in said(capsys, tmp_path, *options, status=2)


def test_a_key_that_no_run_has_is_refused_with_those_that_differ(tmp_path, capsys):
    for loss in ("CrossEntropyLoss", "FocalLoss"):
        leave(tmp_path, f"loss_function={loss}", "dropout=0.1", environment={"code": {f"losses/{loss}.py": loss}})
    told = said(capsys, tmp_path, "--rows", "warmth", "--columns", "erase_background", status=2).splitlines()
    assert told == [
        "--rows: no run has the key 'warmth'",
        "--columns: no run has the key 'erase_background'",
        "the runs differ in loss_function",
    ]


def test_an_option_of_keys_that_is_repeated_adds_to_the_first(tmp_path, capsys):
    for seed, device in enumerate(("A CPU", "A GPU")):
        packages = {"torch": f"2.{seed}", "torchvision": "0.26", "timm": "1"}
        leave(tmp_path, f"seed={seed}", environment={"device": device, "packages": packages})
    assert "2 runs in 2 groups" in said(capsys, tmp_path, "--pool", "device")
    for options in (["--pool", "device", "--pool", "torch"], ["--pool", "device,torch"]):
        assert "2 runs in 1 group;" in said(capsys, tmp_path, *options)
    told = said(capsys, tmp_path, "--rows", "dropout", "--rows", "device", "--rows", "dropout", "--columns", "torch")
    assert "dropout, device (rows); torch (columns)" in told


def test_a_metric_that_there_is_not_is_told_with_those_of_evaluations(tmp_path, capsys):
    leave(tmp_path, evaluated=evaluated(0.0235))
    told = said(capsys, tmp_path, "--metric", "calibration/ecce", status=2)
    assert "no run has 'calibration/ecce'; did you mean 'calibration/ece'?; there are test/accuracy" in told
    assert told.endswith(
        "of evaluations calibration/ece, calibration/nll, classification/accuracy, cost/latency_ms, cost/parameters\n"
    )


def test_numbers_of_evaluations_are_written_as_evaluate_writes_them(tmp_path, capsys):
    output, page, table = tmp_path / "output", tmp_path / "page.html", tmp_path / "table.md"
    found = [evaluated(0.0235), evaluated(0.03)]
    for seed, each in enumerate(found):
        leave(output, f"seed={seed}", evaluated=each)
    shown = {
        "calibration/ece": "2.67 ± 0.46 (2)",
        "calibration/nll": "1.5000 ± 0.0000 (2)",
        "cost/latency_ms": "12.35 ± 0.00 (2)",
        "cost/parameters": "64 ± 0 (2)",
        "classification/accuracy": "97.32 ± 0.46 (2)",
    }
    headings = {
        "calibration/ece": "calibration/ece, %\n",
        "cost/latency_ms": "cost/latency_ms, ms\n",
        "classification/accuracy": "classification/accuracy, %\n",
    }
    words = {f"{each.evaluation}/{name}": text for each in found[0] for name, text in each.words.items()}
    assert "95 % interval" in words["classification/accuracy"]
    for name, text in shown.items():
        told = said(capsys, output, "--metric", name, "--html", page, "--markdown", table)
        assert headings.get(name, f"{name}\n") in told
        assert text in told
        assert text in page.read_text()
        assert text in table.read_text()
        assert f'"{words[name].split()[0]}"' in page.read_text()  # among the numbers of the first run


@pytest.mark.parametrize(("classes", "columns"), [(5, 0), (6, 1), (None, 1)])
def test_files_are_written_without_a_top_5_that_cannot_be_wrong(tmp_path, capsys, classes, columns):
    folder = leave(tmp_path / "output", "seed=0", summary={"test/top5_accuracy": 1.0})
    if classes is not None:
        folder.write_classes("image", list("abcdef")[:classes])
    files = [tmp_path / name for name in ("a.md", "a.tex", "groups.csv", "runs.csv", "page.html")]
    options = zip(("--markdown", "--latex", "--csv", "--runs-csv", "--html"), files, strict=True)
    said(capsys, tmp_path / "output", *(word for pair in options for word in pair))
    assert "| CrossEntropyLoss | 90.00 (1) |" in files[0].read_text()
    assert "\\toprule" in files[1].read_text()
    rows = [list(csv.DictReader(file.read_text().splitlines())) for file in files[2:4]]
    assert [len(each) for each in rows] == [1, 1]
    assert float(rows[0][0]["test/accuracy mean"]) == float(rows[1][0]["test/accuracy"]) == 0.9
    assert [sum(name.startswith("test/top5_accuracy") for name in row) for (row,) in rows] == [3 * columns, columns]
    assert ('"test/top5_accuracy":' in files[4].read_text()) == columns


@pytest.mark.parametrize(("redirected", "status"), [(">&-", 0), ("> /dev/full", 1), ("| head -0", 0)])
def test_an_output_that_takes_nothing_ends_in_a_line(tmp_path, redirected, status):
    leave(tmp_path)
    command = f"{sys.executable} compare.py {tmp_path} {redirected}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    full = "standard output: cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (status, full if status else "")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        *[(text, f"'{text}") for text in ("=HYPERLINK(1)", "-2+3", "+1-1", "@SUM(A1)", "\t=1", " =1", "-")],
        *[(value, value) for value in ("-0.5", "+1e-3", -0.5, 7, None, "", "a=b", "FocalLoss")],
    ],
)
def test_a_text_is_no_formula_and_a_number_stays_one(value, written):
    assert without_formula(value) == written


def test_no_text_in_a_table_is_a_formula(tmp_path, capsys):
    for name in ("=HYPERLINK(1)", "-2+3"):
        leave(tmp_path / "runs", f"optimizer={name}")
    leave(tmp_path / "runs", "optimizer=SGD", "dropout=0.5")
    files = [tmp_path / "groups.csv", tmp_path / "runs.csv"]
    said(capsys, tmp_path / "runs", "--rows", "optimizer", "--csv", files[0], "--runs-csv", files[1])
    for file in files:
        rows = list(csv.DictReader(file.read_text().splitlines()))
        assert {"'=HYPERLINK(1)", "'-2+3", "SGD"} == {row["optimizer"] for row in rows}
        assert not any(text.startswith(("=", "@", "+", "-")) for row in rows for text in row.values())


def copy(first: Path, output: Path, number: int, seeds: int) -> None:
    """Write `number` runs like a first one, each with a seed and a learning rate of its own."""
    text, rest = (first / "config.yml").read_text(), ("summary.json", "environment.json")
    contents = {name: (first / name).read_bytes() for name in rest}
    for run in range(number):
        folder = output / f"run-{run}"
        folder.mkdir(parents=True)
        changed = text.replace("seed: 0", f"seed: {run % seeds}").replace("lr: 0.001", f"lr: 0.{run // seeds + 1:04}")
        (folder / "config.yml").write_text(changed)
        for name, content in contents.items():
            (folder / name).write_bytes(content)


@pytest.mark.torture
def test_ten_thousand_runs_take_less_than_a_gigabyte(tmp_path, capsys):
    import resource

    copy(leave(tmp_path / "first").path, tmp_path / "output", 10_000, seeds=10)
    assert compare.main([str(tmp_path / "output")]) == 0
    assert "10,000 runs in 1,000 groups" in capsys.readouterr().out
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1_000_000
