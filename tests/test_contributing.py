"""A loss, a data set, a network and an evaluation are one file and one line each, as CONTRIBUTING.md says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (
    *("comparison", "configuration", "datasets", "evaluation", "losses", "metrics", "models", "runs", "sweeps"),
    *("tracking", "training", "utils"),
)
ROW = re.compile(
    r"^\| an? (?P<what>.+?) \| \[`(?P<file>.+?)`\]\((?P<example>.+?)\) \| `(?P<line>.+?)` "
    r"\| `(?P<table>\w+)` in `(?P<where>.+?)` \|$",
    re.MULTILINE,
)
SETTINGS = (
    *("num_epochs=1", "image_size=[16, 16]", "convert_to_grayscale=true", "accelerator=cpu", "trackers=[]"),
    *("architecture=tiny_net", "loss_function=BrierLoss", "loss_params.scale=2", "lr_scheduler=null", "num_workers=0"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Callable[..., str]:
    """A function that runs a script in a copy of the project to which the four are added, and returns its output."""
    copy = tmp_path_factory.mktemp("copy")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*ROOT.glob("*.py"), ROOT / "config_template.yml"):
        shutil.copy(path, copy)
    rows = list(ROW.finditer((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    assert [row["what"] for row in rows] == ["loss", "data set", "network", "evaluation"]
    for row in rows:
        shutil.copy(ROOT / row["example"], copy / row["file"])
        table = copy / row["where"]
        text, count = re.subn(
            rf"^({row['table']}\b.* = \{{)$", rf"\1\n    {row['line']}", table.read_text(encoding="utf-8"), flags=re.M
        )
        assert count == 1, f"{row['table']} begins once in {row['where']}"
        table.write_text(text, encoding="utf-8")

    def run(script: str, *words: str) -> str:
        done = subprocess.run([sys.executable, script, *words], cwd=copy, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_all_four_are_listed(run):
    names = run("train.py", "--list")
    for name in ("BrierLoss", "stripes", "tiny_net", "doubt"):
        assert re.search(rf"\b{name}\b", names), name


def test_the_loss_and_the_network_train_on_the_data_set_and_are_evaluated(run, tmp_path):
    words = ("dataset=stripes", "data_params.noise=0.2", "evaluate=[doubt]", "evaluate_params={doubt: {below: 1.1}}")
    said = run("train.py", *words, f"output_path={tmp_path}", f"logging_dir={tmp_path}/logs", *SETTINGS)
    assert "stripes: 180 training, 20 validation" in said
    (folder,) = tmp_path.glob("stripes-tiny_net-BrierLoss-s0-*")
    assert 0 <= json.loads((folder / "summary.json").read_text())["test/accuracy"] <= 1
    assert "doubtful" in (folder / "evaluation" / "evaluation.json").read_text()
