"""A signal ends a run in order, and the next one goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import QUICK
from utils import runner
from utils.callbacks import RunRecord, StopOnSignal
from utils.signals import STATUS, Interrupted, raise_if_received, raise_on_signals
from utils.trackers.base import Tracker

pytestmark = pytest.mark.usefixtures("plain_log")

ROOT = Path(__file__).resolve().parents[2]
SIGNALS = [getattr(signal, name) for name in STATUS if hasattr(signal, name)]


def handlers() -> list:
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_raised_once_and_the_handlers_are_put_back(number):
    before, inside = handlers(), []

    @raise_on_signals()
    def work():
        inside.extend(handlers())
        os.kill(os.getpid(), number)

    with pytest.raises(Interrupted, match=f"interrupted by {number.name} before training; ") as error:
        work()
    assert set(inside).isdisjoint(before)
    assert error.value.status == STATUS[number.name]
    assert handlers() == before


def test_a_second_sigterm_is_not_raised_again():
    closed = []

    @raise_on_signals()
    def work():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            closed.append(True)

    with pytest.raises(Interrupted):
        work()
    assert closed == [True]


def test_a_second_ctrl_c_ends_the_process_hard():
    program = (
        "import os, signal, time\nfrom utils.signals import raise_on_signals\n"
        "with raise_on_signals():\n  try:\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "  finally:\n    os.kill(os.getpid(), signal.SIGINT)\n    print('still here')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_a_signal_that_the_process_ignores_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with raise_on_signals():
            os.kill(os.getpid(), signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_thread_and_a_forked_worker_leave_signals_alone():
    before, seen = handlers(), []

    def work():
        with raise_on_signals():
            seen.append(handlers())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
    program = (
        "import os, signal\nfrom utils.signals import raise_on_signals\n"
        "with raise_on_signals():\n  child = os.fork()\n  if child == 0:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n    print('worker goes on', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n    print('never')\n"
        "  print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["worker goes on", str(-signal.SIGTERM)]


def test_a_signal_whose_exception_was_lost_stops_the_run_at_the_next_step():
    with raise_on_signals():
        with contextlib.suppress(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted, match="SIGTERM"):
            StopOnSignal().on_train_batch_start(None, None, None, 0)  # type: ignore[arg-type]


class Watched(Tracker):
    """Notes how it was closed."""

    def __init__(self) -> None:
        self.closed: list[str] = []

    def log_hyperparams(self, params):
        pass

    def log_metrics(self, metrics, step):
        pass

    def log_files(self, folder):
        pass

    def finalize(self, status):
        self.closed.append(status)


def test_an_interrupted_run_closes_its_trackers_frees_the_lock_and_goes_on(quick, monkeypatch):
    watched = Watched()

    def stop(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    before = handlers()
    with monkeypatch.context() as patch:
        patch.setattr(RunRecord, "on_validation_start", stop)
        patch.setattr(runner, "build_trackers", lambda *args: [watched])
        with pytest.raises(Interrupted) as error:
            runner.train(quick())
    assert str(error.value) == "interrupted by SIGTERM in epoch 1; the same command goes on after epoch 0"
    assert watched.closed == ["interrupted"]
    assert handlers() == before
    folder, summary = runner.train(quick())
    assert [row["epoch"] for row in folder.read_metrics()] == [0, 1]
    assert summary["epochs_run"] == 2


def test_a_run_without_a_finished_epoch_says_that_it_starts_again(quick, monkeypatch):
    monkeypatch.setattr(RunRecord, "on_validation_start", lambda *args: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted, match="by SIGINT in epoch 0; the same command starts it again: no epoch was"):
        runner.train(quick())


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_leaves_its_status_and_one_line_that_says_how_to_go_on(number, tmp_path):
    values = QUICK | {"num_epochs": "500", "output_path": str(tmp_path), "logging_dir": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "train.py", "config_template.yml", *(f"{key}={value}" for key, value in values.items())],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch   1/"):
            process.send_signal(number)
            break
    _, complaints = process.communicate(timeout=120)
    assert process.returncode == STATUS[number.name]
    (line,) = complaints.splitlines()
    assert line.startswith(f"interrupted by {number.name} in epoch ")
    assert line.split("; ")[1].startswith("the same command goes on after epoch ")
    assert list(tmp_path.glob("*/checkpoints/last.ckpt")) or list(tmp_path.glob("*/checkpoints/previous.ckpt"))


def test_a_signal_of_one_run_does_not_stop_the_next():
    with pytest.raises(Interrupted), raise_on_signals():
        signal.raise_signal(signal.SIGTERM)
    raise_if_received()
    with raise_on_signals():
        raise_if_received()  # nothing is left over
