"""Sweeps on Ray Tune, in processes of their own: interrupted, gone on with, and amid accidents on a cluster."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest

import train
from runs.folder import RunFolder
from utils.signals import STATUS, raise_on_signals

CLOCKS = ("seconds", "images_per_second", "waiting_share")
NUMBERS = [signal.Signals[name] for name in STATUS]
ROOT = Path(train.__file__).parent
TEXT = """\
dataset: digits
convert_to_grayscale: true
image_size: null
architecture: test_resnet
num_epochs: {epochs}
batch_size: 128
optimizer_params: {{lr: 0.01}}
trackers: []
accelerator: cpu
output_path: {folder}/output
logging_dir: {folder}/logs
sweep:
  grid:
    loss_function: [CrossEntropyLoss, FocalLoss]
  seeds: {seeds}
"""


def write(folder: Path, epochs: int, seeds: int, more: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "sweep.yml"
    file.write_text(TEXT.format(folder=folder, epochs=epochs, seeds=seeds) + more)
    return file


def start(*words: str) -> subprocess.Popen[str]:
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        text, _ = process.communicate(timeout=500)
    finally:
        process.kill()
    return process.returncode, text


def results(folder: Path) -> dict[str, tuple[bytes, list[dict[str, float]]]]:
    """Return, for each run, its predictions and its metrics, clocks apart."""
    found = {}
    for path in sorted(folder.glob("output/*/")):
        rows = [{k: v for k, v in row.items() if k not in CLOCKS} for row in RunFolder(path).read_metrics()]
        found[path.name] = ((path / "predictions.parquet").read_bytes(), rows)
    return found


def trained(path: Path) -> tuple[float, float]:
    """Return from when to when a run was trained."""
    run = RunFolder(path)
    return run.config.stat().st_mtime, run.summary.stat().st_mtime


def wait_for(process: subprocess.Popen[str], folder: Path, pattern: str) -> None:
    end = time.monotonic() + 300
    while not any(folder.glob(pattern)):
        assert process.poll() is None, finish(process)
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """The same sweep, one run after the other in one process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    status, text = finish(start("train.py", str(write(folder, epochs=4, seeds=2)), "--shard", "1/1"))
    assert status == 0, text
    assert "train_dataloader" not in text  # Lightning talks to itself
    return folder


def test_signals_are_ours_while_tune_works():
    from ray.tune.tune import _setup_signal_catching

    from sweeps.tuning import Watcher

    sweep = jobs = board = mock.Mock()
    with raise_on_signals():
        ours = [signal.getsignal(number) for number in NUMBERS]
        _setup_signal_catching()
        assert [signal.getsignal(number) for number in NUMBERS] != ours  # Tune would end a sweep with status 0
        Watcher(sweep, jobs, board).setup()
        assert [signal.getsignal(number) for number in NUMBERS] == ours


@pytest.mark.torture
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_sweep_that_a_signal_stopped_goes_on_to_the_results_of_an_undisturbed_one(tmp_path, undisturbed, name):
    file = write(tmp_path, epochs=4, seeds=2)
    first = start("train.py", str(file))
    wait_for(first, tmp_path, "output/*/metrics.csv")
    first.send_signal(signal.Signals[name])
    status, text = finish(first)
    assert status == STATUS[name], text
    assert re.search(rf"interrupted by {name} with \d runs of the sweep to be done; the same command goes on", text)
    assert not list(tmp_path.glob("output/.ray-*"))
    log = (tmp_path / "logs" / "lossbench.log").read_text()
    saved = list(tmp_path.glob("output/*/checkpoints/last.ckpt"))
    assert saved

    status, text = finish(start("train.py", str(file), "loss_params.gamma=2", "sweep.grid=null"))
    assert status == 2, text  # nothing of the sweep is lost by a mistake
    status, text = finish(start("train.py", str(file)))
    assert status == 0, text
    assert len(re.findall(r"^run \d of 4: (?:finished|skipped) ", text, re.MULTILINE)) == 4
    assert "resuming" in (tmp_path / "logs" / "lossbench.log").read_text().removeprefix(log)
    assert results(tmp_path) == results(undisturbed)


def test_runs_whose_process_or_node_dies_are_done_again_once_each(tmp_path, undisturbed):
    file = write(tmp_path, epochs=4, seeds=2)
    status, text = finish(start("-m", "tests.sweeps.on_ray", str(file), "kill"))
    assert status == 0, text
    assert "killed the process of a run" in text
    assert "all accidents happened" in text
    told = re.findall(r"^run (\d) of 4: finished  (.*?)  test", text, re.MULTILINE)
    assert [number for number, _ in told] == ["1", "2", "3", "4"]
    assert len({name for _, name in told}) == 4
    assert results(tmp_path) == results(undisturbed)


@pytest.mark.torture
@pytest.mark.parametrize(("share", "together"), [(0.5, True), (1, False)])
def test_runs_share_a_card_as_gpus_per_run_says(tmp_path, undisturbed, share, together):
    file = write(tmp_path, epochs=4, seeds=2, more=f"  gpus_per_run: {share}\n  cpus_per_run: 1\n")
    status, text = finish(start("-m", "tests.sweeps.on_ray", str(file), "card"))
    assert status == 0, text
    spans = sorted(map(trained, tmp_path.glob("output/*/")))
    assert len(spans) == 4
    assert any(end > start for (_, end), (start, _) in itertools.pairwise(spans)) == together, spans
    assert results(tmp_path) == results(undisturbed)
