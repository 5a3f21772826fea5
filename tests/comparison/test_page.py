"""The page that compare.py --html writes: its numbers, its limits, and that nothing in it asks for anything."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
from leaving import CE, FOCAL, leave, study
from plotly.offline import get_plotlyjs
from test_page_data import leave_losses
from test_script import ROOT, copy

import compare as script
from comparison.page import predictions, runs, writing
from comparison.page.writing import describe, write_page
from comparison.records import run_records
from configuration.settings import shown

HOSTILE = "</script><img src=x onerror=hit=1><!--"


def embedded(page: str) -> Any:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def test_runs_have_the_tables_texts_and_values_to_sort_by(tmp_path):
    leave(tmp_path, "seed=3", accuracy=0.98765, summary={"epochs_run": 8, "test/loss": 1.25, "selected_epoch": 7})
    leave(tmp_path, "seed=4", FOCAL, accuracy=0.5)
    told, rows = describe(study(tmp_path)), run_records(study(tmp_path))
    (key,) = told["runs"]["keys"]
    assert {name: key[name] for name in ("name", "levels", "exact", "codes", "follows")} == {
        "name": "loss_function",
        "levels": ["CrossEntropyLoss", "FocalLoss"],
        "exact": {},
        "codes": [0, 1],
        "follows": None,
    }
    numbers = told["runs"]["numbers"]
    assert numbers["test/accuracy"] == {"values": [0.98765, 0.5], "texts": ["98.77", "50.00"]}
    assert numbers["epochs_run"] == {"values": [8, None], "texts": ["8", ""]}
    assert numbers["selected_epoch"] == {"values": [8, None], "texts": ["8", ""]}
    assert told["groups"][0]["mean"]["selected_epoch"] == 8
    assert numbers["test/loss"]["texts"] == ["1.2500", ""]
    assert numbers["seconds"]["texts"] == ["2.0", "2.0"]
    assert told["names"]["test/accuracy"] == {"title": "test/accuracy, %", "share": True}
    assert told["names"]["multiply_adds"] == {"title": "multiply-adds", "share": False}
    for page_column, column in ((told["runs"]["seed"], "seed"), (told["runs"]["folder"], "folder")):
        assert page_column == [row[column] for row in rows]
    assert numbers["test/accuracy"]["values"] == [row["test/accuracy"] for row in rows]


def test_labels_of_few_digits_have_all_of_them_in_their_title(tmp_path):
    for rate in (0.013292918943162165, 0.5):
        for loss in (CE, FOCAL):
            leave(tmp_path, loss, f"optimizer_params.lr={rate}")
    page = write_page(study(tmp_path, columns=("optimizer_params.lr",)))
    assert '<th scope=col title="lr 0.013292918943162165">lr 0.01329</th>' in page
    assert "<th scope=col>lr 0.5</th>" in page
    (key,) = (key for key in embedded(page)["runs"]["keys"] if key["name"] == "optimizer_params.lr")
    assert (key["levels"], key["exact"]) == (["0.01329", "0.5"], {"0": "0.013292918943162165"})
    page = write_page(study(tmp_path, columns=("batch_size",)))
    label = "optimizer_params.lr: 0.01329"
    assert f'<h3 title="{label}2918943162165">test/accuracy, %; {label}</h3>' in page


def test_groups_have_means_and_a_colour_of_their_own_or_of_their_row(tmp_path, monkeypatch):
    for network in ("resnet10t", "test_resnet"):
        for loss in (CE, FOCAL):
            for seed, accuracy in enumerate((0.5, 0.6)):
                changes = (loss, f"architecture={network}", f"seed={seed}")
                leave(tmp_path, *changes, accuracy=accuracy, summary={"multiply_adds": 2000})
    groups = describe(study(tmp_path))["groups"]
    assert [(group["label"], group["colour"], group["style"]) for group in groups] == [
        ("CrossEntropyLoss · resnet10t", 0, 0),
        ("CrossEntropyLoss · test_resnet", 1, 1),
        ("FocalLoss · resnet10t", 2, 0),
        ("FocalLoss · test_resnet", 3, 1),
    ]
    assert groups[0]["mean"]["test/accuracy"] == 0.55
    assert groups[0]["std"]["test/accuracy"] == pytest.approx(0.0707107)
    assert groups[0]["texts"]["test/accuracy"] == "55.00 ± 7.07 (2)"
    assert groups[0]["texts"]["multiply_adds"] == "2,000 (2)"
    monkeypatch.setattr(runs, "COLOURS", 3)
    assert [group["colour"] for group in describe(study(tmp_path))["groups"]] == [0, 0, 1, 1]


def test_the_command_to_see_a_run_again_is_quoted(tmp_path):
    folder = leave(tmp_path / "a b; true").path
    told = describe(study(tmp_path))
    assert told["runs"]["quoted"] == [f"'{folder}'"]
    done = subprocess.run(
        ["bash", "-c", f'printf "%s" {told["runs"]["quoted"][0]}'], capture_output=True, text=True, check=True
    )
    assert done.stdout == str(folder)


def test_limits_hold_and_are_said(tmp_path, monkeypatch):
    leave_losses(tmp_path, seeds=2)
    monkeypatch.setattr(runs, "MOST_RUNS", 3)
    monkeypatch.setattr(runs, "MOST_NUMBERS", 2)
    monkeypatch.setattr(predictions, "MOST_RUNS", 2)
    monkeypatch.setattr(writing, "MOST_ROWS", 1)
    page = write_page(study(tmp_path))
    told = embedded(page)
    assert len(told["runs"]["seed"]) == 3
    assert list(told["runs"]["numbers"]) == ["test/accuracy", "seconds"]
    assert told["notes"]["runs"] == [
        "shown: the first 3 of 4 runs; --runs-csv FILE has all",
        "shown: the first 2 of 6 numbers; summary.json has all",
    ]
    assert told["notes"]["predictions"] == ["predictions of the first 2 of 4 runs; name fewer to see others"]
    assert page.count("<th scope=row>") == 3  # of results, of verdicts and of tests
    assert "and 2 more rows: --markdown FILE or --csv FILE has all" in page


@pytest.mark.torture
def test_a_page_of_ten_thousand_runs_takes_less_than_a_gigabyte_and_sixteen_megabytes(tmp_path):
    import resource

    first = leave(tmp_path / "first", right=[True] * 1000, epochs=[0.5] * 100).path
    copy(first, tmp_path / "output", 10_000, seeds=10)
    for folder in (tmp_path / "output").iterdir():
        for name in ("metrics.csv", "predictions.parquet"):
            (folder / name).hardlink_to(first / name)
    assert script.main([str(tmp_path / "output"), "--html", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").stat().st_size < 16_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1_000_000


def test_checkpoints_that_were_selected_on_the_test_part_are_marked(tmp_path):
    leave(tmp_path, CE, accuracy=0.9)
    leave(tmp_path, FOCAL, "select_on=test", accuracy=0.8)
    page = write_page(study(tmp_path, rows=("loss_function",)))
    assert "80.00 (1) §</strong></td>" in page
    assert "<strong>90.00 (1)</strong>" in page
    assert "<li>§ 1 of 2 groups selected their checkpoints on the TEST images" in page


def test_hostile_names_are_texts_and_nothing_else(tmp_path):
    output = tmp_path / "<img src=x onerror=hit=1>"
    leave(output, CE, f"data_params={{a: '{HOSTILE}'}}", summary={HOSTILE: 1.0, "\x1b]0;title\x07": 2.0})
    leave(output, CE, "data_params={a: '$data'}")
    page = write_page(study(output))
    page = without_plotly(page)
    assert page.count("</script>") == 2
    assert "<img" not in page
    assert "<!--" not in page
    assert "\x1b" not in page
    told = embedded(page)
    assert HOSTILE in told["runs"]["numbers"]
    assert r"\x1b]0;title\x07" in told["runs"]["numbers"]
    assert told["runs"]["folder"][0].startswith(str(output))
    (key,) = told["runs"]["keys"]
    assert set(key["levels"]) == {shown(HOSTILE), "$data"}


def test_a_token_in_a_name_is_covered(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "marked-secret")
    leave(tmp_path, CE, "data_params={a: marked-secret}")
    leave(tmp_path, CE, "data_params={a: other}")
    page = write_page(study(tmp_path))
    assert "marked-secret" not in page
    assert "***" in json.dumps(embedded(page)["runs"]["keys"])


def without_plotly(page: str) -> str:
    """Return a page without plotly's own script, which is as its package has it."""
    (plotly,) = re.findall(r"<script>(/\*\*\n\* plotly\.js.*?)</script>", page, re.DOTALL)
    assert plotly == get_plotlyjs()
    return page.replace(f"<script>{plotly}</script>", "")


def test_the_page_asks_for_nothing_and_its_policy_forbids_it(tmp_path):
    leave_losses(tmp_path, seeds=1)
    page = write_page(study(tmp_path))
    ours = without_plotly(page)
    assert not re.findall(r"https?:|//[a-z]+\.|url\(|@import|innerHTML|insertAdjacentHTML|document\.write|eval\(", ours)
    assert {
        value for value in re.findall(r"(?:href|src)=[\"']?([^\"' >]*)", ours) if not value.startswith("#")
    } == set()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    (code,) = re.findall(r"<script>(.*?)</script>", ours, re.DOTALL)
    own, empty, plotly, script = (
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in (style, "", get_plotlyjs(), code)
    )
    assert len(page) < len(get_plotlyjs()) + 300_000 < 6_000_000
    assert policy == (
        f"default-src 'none'; img-src data:; style-src {own} {empty}; script-src {plotly} {script}; "
        "base-uri 'none'; form-action 'none'"
    )


def test_neither_torch_nor_a_plot_is_imported(tmp_path):
    leave_losses(tmp_path / "out", seeds=1)
    code = (
        f"import sys, compare; compare.main(['{tmp_path}/out', '--cost']); print('PIL' in sys.modules)\n"
        f"status = compare.main(['{tmp_path}/out', '--html', '{tmp_path}/page.html'])\n"
        "print(status, sorted({'torch', 'pytorch_lightning', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
    assert "\nFalse\n" in done.stdout
    assert "undecided: one seed" in done.stdout
    assert embedded((tmp_path / "page.html").read_text())["images"][0]["images"]


def test_a_page_that_cannot_be_written_is_told_in_a_line(tmp_path, capsys, monkeypatch):
    leave(tmp_path / "out")

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    assert script.main([str(tmp_path / "out"), "--html", str(tmp_path / "page.html")]) == 1
    assert "page.html: cannot be written" in capsys.readouterr().err
