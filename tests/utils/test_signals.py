"""A signal ends a run in order, and the next run resumes it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import train
from runs.folder import RunFolder
from tests.conftest import QUICK
from tracking.base import Tracker
from training import finishing, runner, tracking
from training.callbacks import RunRecord
from training.save_points import SavePoints
from utils import signals
from utils.files import CannotWrite
from utils.signals import STATUS, Interrupted, raise_if_due, raise_on_signals
from utils.types import TrainingError

pytestmark = pytest.mark.usefixtures("plain_log")

ROOT = Path(__file__).resolve().parents[2]
SIGNALS = [getattr(signal, name) for name in STATUS if hasattr(signal, name)]
OFTEN = ((signal.SIGINT, "0"), (signal.SIGTERM, "2"))
"""The signals to whole processes that are sent every day, and the number of workers."""


def handlers() -> list:
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.fixture
def spared() -> Iterator[list[int]]:
    """Record signals that nobody handles, which would otherwise end the tests."""
    unhandled: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: unhandled.append(number)) for number in SIGNALS}
    yield unhandled
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_raised_once_and_the_handlers_are_put_back(number):
    before, inside = handlers(), []

    @raise_on_signals()
    def work():
        inside.extend(handlers())
        signal.signal(number, signal.SIG_IGN)  # as a library does
        signals.take_signals_back()
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
            SavePoints(RunFolder(Path())).on_train_batch_start(None, None, None, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_during_an_import_is_raised_once_afterwards(number, tmp_path, monkeypatch):
    text = f"import os, time\nos.kill(os.getpid(), {int(number)})\ntime.sleep(0.2)\n"
    (tmp_path / "imported_by_half.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "imported_by_half", raising=False)
    reached = []

    def work():
        __import__("imported_by_half")
        reached.append("behind the import")
        time.sleep(120)

    with raise_on_signals():
        with pytest.raises(Interrupted, match=number.name):
            work()
        time.sleep(3 * signals.MOMENT)
    assert reached == ["behind the import"]


def test_a_signal_whose_exception_was_lost_in_a_destructor_is_raised_again(capsys):
    class Ending:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            raise_if_due()

    def work():
        Ending()
        time.sleep(120)

    hook = sys.unraisablehook
    with raise_on_signals():
        with pytest.raises(Interrupted, match="SIGTERM"):
            work()
        time.sleep(3 * signals.MOMENT)
    assert sys.unraisablehook is hook
    assert capsys.readouterr().err == ""


def test_other_errors_in_a_destructor_are_reported_as_ever(monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)

    class Ending:
        def __del__(self):
            raise ValueError

    with raise_on_signals():
        Ending()
    assert [lost.exc_type for lost in reported] == [ValueError]


class Watched(Tracker):
    """Notes the metrics that it receives and how it is closed."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self.received: list[dict[str, float]] = []

    def log_hyperparams(self, params):
        pass

    def log_metrics(self, metrics, step):
        self.received.append(dict(metrics))

    def log_files(self, folder):
        pass

    def finalize(self, status):
        self.closed.append(status)


def stop_in(patch, hook: str, at_step: int, number: int = signal.SIGTERM) -> None:
    """Send a signal in a hook, once the run has done this many steps."""

    original = getattr(RunRecord, hook)

    def stop(self, trainer, *args, **kwargs):
        if trainer.global_step == at_step:
            os.kill(os.getpid(), number)
        original(self, trainer, *args, **kwargs)

    patch.setattr(RunRecord, hook, stop)


STEPS = 11
"""Of an epoch of `quick`."""


@pytest.mark.parametrize(
    ("hook", "at_step", "message"),
    [
        ("on_before_zero_grad", STEPS + 4, f"in epoch 2; the same command resumes after step {5} of epoch 2"),
        ("on_before_zero_grad", 2 * STEPS - 1, "in epoch 2; the same command resumes after epoch 2"),  # the last step
        ("on_validation_start", STEPS, "in epoch 1; the same command resumes after epoch 1"),
    ],
)
def test_an_interrupted_run_is_saved_closes_its_trackers_frees_the_lock_and_resumes(
    quick, monkeypatch, hook, at_step, message
):
    watched, before = Watched(), handlers()
    with monkeypatch.context() as patch:
        stop_in(patch, hook, at_step)
        patch.setattr(tracking, "build_trackers", lambda *args: [watched])
        with pytest.raises(Interrupted) as error:
            runner.train(quick())
    assert str(error.value) == f"interrupted by SIGTERM {message}"
    assert watched.closed == ["interrupted"]
    assert handlers() == before
    folder, summary = runner.train(quick())
    assert [row["epoch"] for row in folder.read_metrics()] == [0, 1]
    assert summary["epochs_run"] == 2


def test_a_run_that_is_stopped_after_its_test_reports_to_its_trackers_at_the_next_start(quick, monkeypatch):
    watched = Watched()
    monkeypatch.setattr(tracking, "build_trackers", lambda *args: [watched])
    config = quick(num_epochs=1, trackers="[tensorboard]")
    with monkeypatch.context() as patch:
        patch.setattr(finishing, "report_end", lambda *args: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted) as error:
            runner.train(config)
    said = "interrupted by SIGTERM after its test; the same command does the rest, such as updating the trackers"
    assert str(error.value) == said
    (before,) = watched.received
    watched.received.clear()
    _, summary = runner.train(config)
    assert watched.closed == ["interrupted", "success"]
    assert watched.received[0] == before
    assert watched.received[1]["test/accuracy"] == summary["test/accuracy"]
    runner.train(config)
    assert len(watched.closed) == 2


def test_a_run_that_ends_before_it_is_saved_again_says_where_it_goes_on(quick, monkeypatch):
    def full(*args):
        raise CannotWrite(28, "No space left on device", "metrics.csv")

    with monkeypatch.context() as patch:
        stop_in(patch, "on_before_zero_grad", 4)
        with pytest.raises(Interrupted, match="resumes after step 5 of epoch 1"):
            runner.train(quick())
    monkeypatch.setattr(RunRecord, "on_train_start", full)
    with pytest.raises(TrainingError, match="then the same command resumes after step 5 of epoch 1"):
        runner.train(quick())


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_before_training_leaves_its_status(number, monkeypatch, capsys, spared):
    monkeypatch.setattr(train, "read", lambda options: os.kill(os.getpid(), number))
    before = handlers()
    assert train.main([]) == STATUS[number.name]
    assert capsys.readouterr().err == f"interrupted by {number.name} before training; the same command goes on\n"
    assert (handlers(), spared) == (before, [])


def test_a_block_within_another_leaves_its_signals_to_that_one():
    with raise_on_signals():
        with raise_on_signals():
            signals.wait_for_save_point()
            os.kill(os.getpid(), signal.SIGTERM)  # noted, and never raised: what ran here failed at once
        assert not signals.is_waiting()
        with pytest.raises(Interrupted, match="SIGTERM"):
            raise_if_due()


def test_a_run_that_reaches_no_save_point_in_time_stops_where_it_is(quick, monkeypatch):
    def wait(*args):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)

    monkeypatch.setattr(signals, "GRACE", 0.2)
    monkeypatch.setattr(RunRecord, "on_validation_start", wait)
    with pytest.raises(Interrupted, match="by SIGINT in epoch 1; the same command starts it again, as nothing"):
        runner.train(quick())


def test_gradients_that_are_still_accumulated_are_no_place_to_save(quick, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(RunRecord, "on_train_batch_start", lambda self, *args: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted, match="resumes after step 4 of epoch 1"):
            runner.train(quick(accumulate_batches=4))


@pytest.mark.parametrize(
    ("number", "workers"),
    [
        pytest.param(number, workers, marks=[] if (number, workers) in OFTEN else pytest.mark.torture)
        for number in SIGNALS
        for workers in ("0", "2")
    ],
)
def test_a_signal_leaves_its_status_and_one_line_that_says_how_to_go_on(number, workers, tmp_path):
    values = QUICK | {"num_epochs": "500", "output_path": str(tmp_path), "logging_dir": str(tmp_path)}
    values |= {"num_workers": workers, "classes": "[0,1]", "lr_scheduler": "null", "lr_scheduler_params": "{}"}
    process = subprocess.Popen(
        [sys.executable, "train.py", "config_template.yml", *(f"{key}={value}" for key, value in values.items())],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch   1/"):
            os.killpg(process.pid, number)  # as a terminal and Slurm do: to all processes of the run
            break
    _, complaints = process.communicate(timeout=120)
    assert process.returncode == STATUS[number.name]
    (line,) = complaints.splitlines()
    assert line.startswith(f"interrupted by {number.name} in epoch ")
    assert re.fullmatch(r"the same command resumes after (step \d+ of )?epoch \d+", line.split("; ")[1])
    assert list(tmp_path.glob("*/checkpoints/last.ckpt")) or list(tmp_path.glob("*/checkpoints/previous.ckpt"))


def test_a_signal_of_one_run_does_not_stop_the_next():
    with pytest.raises(Interrupted), raise_on_signals():
        signal.raise_signal(signal.SIGTERM)
    raise_if_due()
    with raise_on_signals():
        raise_if_due()  # nothing is left over


def test_output_that_nobody_reads_is_no_error_and_every_exit_status_is_documented():
    read_end, write_end = os.pipe()
    os.close(read_end)
    root = Path(train.__file__).parent
    done = subprocess.run([sys.executable, "train.py", "--list"], stdout=write_end, stderr=subprocess.PIPE, cwd=root)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (141, b"")
    text = (root / "docs" / "runs.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"## Exit statuses\n.*?\n((?:\|.*\n)+)", text, re.DOTALL)
    documented = {int(status) for status in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert documented == {0, 1, 2, 130, 141, *STATUS.values()}
