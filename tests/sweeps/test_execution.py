"""Sweeps side by side: by the processes of this machine and on a Ray cluster, stopped, killed and resumed."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import train
from runs.folder import RunFolder
from sweeps import execution, ray_cluster, worker
from sweeps.execution import run_side_by_side
from sweeps.jobs import Job, Jobs, Outcome
from sweeps.resources import Machine, Share, environments, places, share_of_a_run
from sweeps.worker import Crash, Progress, Setup, work
from tests.small_sweep import BASE, read_sweep
from utils import signals
from utils.signals import STATUS, Interrupted, raise_on_signals
from utils.types import ConfigError, TrainingError

CLOCKS = ("seconds", "images_per_second", "waiting_share")
ROOT = Path(train.__file__).parent
EXECUTORS = ["processes", pytest.param("ray", marks=pytest.mark.torture)]
SIGNALS = ["SIGTERM", *(pytest.param(name, marks=pytest.mark.torture) for name in ("SIGINT", "SIGUSR1"))]
RUNS = 3
TEXT = BASE.replace("epochs: 1", "epochs: 3") + "num_workers: 0\n"
LOSSES = "sweep:\n  grid: {loss_function: [CrossEntropyLoss, FocalLoss, HingeLoss]}\n"


def write(folder: Path, more: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "sweep.yml"
    file.write_text(f"output_path: {folder}/output\nlogging_dir: {folder}/logs\n{TEXT}{LOSSES}{more}")
    return file


def start(*words: str) -> subprocess.Popen[str]:
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def start_sweep(executor: str, file: Path, *words: str) -> subprocess.Popen[str]:
    if executor == "ray":
        pytest.importorskip("ray")
        return start("-m", "tests.sweeps.cluster", str(file), *words)
    return start("train.py", str(file), *words)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        text, _ = process.communicate(timeout=500)
    finally:
        process.kill()
    return process.returncode, text


def results(folder: Path) -> dict[str, tuple[bytes, list[dict[str, float]]]]:
    """Return, for each run, its predictions and its metrics without clocks."""
    runs = {}
    for path in sorted(folder.glob("output/*/")):
        rows = [{k: v for k, v in row.items() if k not in CLOCKS} for row in RunFolder(path).read_metrics()]
        runs[path.name] = ((path / "predictions.parquet").read_bytes(), rows)
    return runs


def wait_for(process: subprocess.Popen[str], happened) -> None:
    end = time.monotonic() + 400
    while not happened():
        assert process.poll() is None, finish(process)
        assert time.monotonic() < end
        time.sleep(0.02)


def processes_of_runs(sweep: subprocess.Popen[str], folder: Path) -> list[psutil.Process]:
    """Return the processes that hold the lock of a run's folder."""
    found = []
    for process in psutil.Process(sweep.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(file.path.startswith(f"{folder}/output/") for file in process.open_files()):
                found.append(process)
    return found


def is_gone(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """The same sweep, one run after the other in one process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    status, text = finish(start("train.py", str(write(folder)), "--shard", "1/1"))
    assert status == 0, text
    assert "train_dataloader" not in text  # Lightning talks to itself
    return folder


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", SIGNALS)
def test_a_sweep_ends_as_an_undisturbed_one_after_a_signal_a_kill_and_a_death_of_a_run(
    executor, name, tmp_path, undisturbed
):
    file, log = write(tmp_path), tmp_path / "logs" / "lossbench.log"
    sweep = start_sweep(executor, file)
    wait_for(sweep, lambda: any(tmp_path.glob("output/*/metrics.csv")) and processes_of_runs(sweep, tmp_path))
    if executor == "ray":
        workers = processes_of_runs(sweep, tmp_path)
        sweep.send_signal(signal.Signals[name])
    else:
        workers = psutil.Process(sweep.pid).children(recursive=True)
        assert_nobody_listens([psutil.Process(sweep.pid), *workers])
        os.killpg(sweep.pid, signal.Signals[name])  # as a terminal and Slurm do
    status, text = finish(sweep)
    assert status == STATUS[name], text
    assert re.search(rf"interrupted by {name} with \d runs of the sweep to be done; the same command ", text)
    assert_they_end(workers)
    assert list(tmp_path.glob("output/*/checkpoints/last.ckpt"))
    before = len(log.read_text())

    if executor == "processes":
        sweep = start_sweep(executor, file)
        wait_for(sweep, lambda: processes_of_runs(sweep, tmp_path))
        workers = psutil.Process(sweep.pid).children(recursive=True)
        sweep.kill()
        assert finish(sweep)[0] == -signal.SIGKILL
        assert_they_end(workers)

    sweep = start_sweep(executor, file)
    wait_for(sweep, lambda: processes_of_runs(sweep, tmp_path))
    processes_of_runs(sweep, tmp_path)[0].kill()
    status, text = finish(sweep)
    assert status == 0, text
    lines = re.findall(rf"^run (\d) of {RUNS}: (?:finished|skipped) +(.*?)  test", text, re.MULTILINE)
    assert [int(number) for number, _ in lines] == [*range(1, RUNS + 1)]
    assert len({name for _, name in lines}) == RUNS
    assert re.search(r"run folder: .* \(\w+ing .*epoch", log.read_text()[before:])
    assert results(tmp_path) == results(undisturbed)


def assert_they_end(processes: list[psutil.Process]) -> None:
    end = time.monotonic() + 120
    while not all(map(is_gone, processes)) and time.monotonic() < end:
        time.sleep(0.1)
    assert [process for process in processes if not is_gone(process)] == []


def assert_nobody_listens(processes: list[psutil.Process]) -> None:
    """Pipes and sockets without a name, or with one that only this user can open."""
    assert len(processes) > 1
    for process in processes:
        assert process.net_connections("inet") == []
        for place in {str(c.laddr) for c in process.net_connections("unix") if str(c.laddr).startswith("/")}:
            assert Path(place).parent.stat().st_mode & 0o077 == 0


@pytest.mark.torture
@pytest.mark.parametrize(("share", "together"), [(0.5, True), (1, False)])
def test_runs_share_a_gpu_of_a_cluster_as_gpus_per_run_says(tmp_path, undisturbed, share, together):
    file = write(tmp_path, f"  gpus_per_run: {share}\n  cpus_per_run: 1\n")
    status, text = finish(start_sweep("ray", file, "gpu"))
    assert status == 0, text
    runs = [RunFolder(path) for path in tmp_path.glob("output/*/")]
    spans = sorted((run.config.stat().st_mtime, run.summary.stat().st_mtime) for run in runs)
    assert len(spans) == RUNS
    assert any(end > start for (_, end), (start, _) in itertools.pairwise(spans)) == together, spans
    assert results(tmp_path) == results(undisturbed)


def test_what_processes_import_before_they_fork_touches_no_gpu():
    code = (
        "import torch\n"
        "def touched(*args): raise AssertionError('a GPU was asked')\n"
        "torch.cuda.is_available = torch.cuda.device_count = torch.cuda.init = torch.cuda._lazy_init = touched\n"
        "import sweeps.imports\n"
        "import gc, threading; print(threading.active_count(), gc.isenabled(), gc.get_freeze_count() > 100_000)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("1 True True\n", 0), done.stderr


def read(tmp_path: Path, *changes: str):
    folders = (f"output_path={tmp_path}/output", f"logging_dir={tmp_path}/logs")
    return read_sweep(None, *folders, "dataset=digits", "trackers=[]", *changes)


class Scripted:
    """An executor with two places whose runs end as they are told to, one at a time.

    Args:
        ends: by the name of a run, how its attempts end.
    """

    def __init__(self, sweep, ends) -> None:
        self.sweep, self.ends = sweep, ends
        self.started: list[str] = []
        self.stopped = self.closed = False
        self._at_work: deque[tuple[int, str]] = deque()

    def room(self) -> int:
        return 2

    def start(self, key: int, job: Job) -> None:
        assert len(self._at_work) < self.room()
        name = job.cell(self.sweep).name
        self.started.append(name)
        self._at_work.append((key, name))

    def reports(self) -> Iterator[tuple[int, Any]]:
        key, name = self._at_work.popleft()
        yield key, Progress(1, 2, "valid/accuracy", 0.5)
        end = self.ends[name].pop(0) if self.ends.get(name) else Outcome(name, "finished", None, {})
        yield key, end() if callable(end) else end

    def stop(self) -> None:
        self.stopped = True

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def execute(tmp_path, monkeypatch):
    def run(ends, *changes):
        sweep = read(tmp_path, "sweep.grid={batch_size: [2, 4, 8]}", *changes)
        executor = Scripted(sweep, ends)
        monkeypatch.setattr(execution, "start_executor", lambda sweep, fresh: executor)
        try:
            return executor, run_side_by_side(sweep, Jobs(sweep))
        except (TrainingError, Interrupted) as error:
            return executor, error

    return run


def test_a_run_that_died_is_tried_again_and_each_run_ends_once(execute):
    executor, outcomes = execute({"batch_size=2": [Crash("died"), Crash("died")]})
    assert executor.started == [f"batch_size={size}" for size in (2, 4, 2, 8, 2)]
    assert sorted(outcome.name for outcome in outcomes) == [f"batch_size={size}" for size in (2, 4, 8)]
    assert executor.closed


@pytest.mark.parametrize("retries", [0, 2])
def test_a_run_that_dies_more_often_than_it_may_has_failed(execute, retries):
    executor, error = execute({"batch_size=4": [Crash("no disk")] * 9}, f"sweep.retries={retries}")
    assert executor.started.count("batch_size=4") == retries + 1
    assert str(error).splitlines() == ["1 of 3 runs failed:", f"  batch_size=4: no disk ({retries + 1} attempts)"]


def test_a_signal_stops_all_runs_and_says_how_many_are_left(execute):
    def interrupted():
        signal.raise_signal(signal.SIGUSR1)
        return Outcome("batch_size=4", "finished", None, {})

    with raise_on_signals():
        executor, error = execute({"batch_size=4": [interrupted]})
    assert (executor.stopped, executor.closed) == (True, True)
    assert str(error) == "interrupted by SIGUSR1 with 1 runs of the sweep to be done; the same command goes on"


def test_a_run_is_done_where_the_sweep_says_and_reports_what_another_attempt_may_mend(tmp_path, monkeypatch):
    monkeypatch.setattr(worker.logs, "configure", lambda *args: None)
    monkeypatch.setattr(worker, "PATIENCE", 0)
    sweep, seen = read(tmp_path, "sweep.seeds=1"), []

    def train_cell(cell, fresh, callbacks):
        seen.append((os.getcwd(), os.environ["CUDA_VISIBLE_DEVICES"], fresh))
        if errors:
            raise errors.pop()
        return Outcome(cell.name, "finished")

    monkeypatch.setattr(worker, "train_cell", train_cell)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(ROOT)
    setup = Setup(sweep, True, str(tmp_path), {"CUDA_VISIBLE_DEVICES": "3"})
    held = worker.Busy(RunFolder(tmp_path))
    errors = [Interrupted("SIGTERM"), held, OSError("no disk"), RuntimeError("CUDA\nmore")]
    ends = [work(setup, Job((0,)), seen.append) for _ in range(5)]
    assert ends == [
        Crash("RuntimeError: CUDA"),
        Crash("OSError: no disk"),
        Crash(str(held)),
        Crash("stopped"),
        Outcome("seed=0", "finished"),
    ]
    assert set(seen) == {(str(tmp_path), "3", True)}


@pytest.mark.parametrize(
    ("threads", "machines", "changes", "share", "room"),
    [
        (None, [Machine(8)], [], Share(1), 8),
        (None, [Machine(8, 0, 5 * 2**30)], [], Share(1), 3),
        (None, [Machine(8, 0, 1)], [], Share(1), 1),
        (None, [Machine(8, 0, 1)], ["sweep.cpus_per_run=2"], Share(2, 0, True), 4),
        (None, [Machine(16, 1)], [], Share(16, 1), 1),
        (None, [Machine(16, 1)], ["sweep.gpus_per_run=0.25"], Share(4, 0.25, True), 4),
        (None, [Machine(16, 4), Machine(16, 4)], [], Share(4, 1), 8),
        (None, [Machine(16, 1)], ["accelerator=cpu"], Share(1), 16),
        (None, [Machine(16, 1)], ["sweep.cpus_per_run=2"], Share(2, 1, True), 1),
        (None, [Machine(2, 4)], [], Share(1, 1), 2),
        (None, [Machine(16, 2), Machine(3, 2)], ["sweep.cpus_per_run=4"], Share(4, 1, True), 2),
        ("4", [Machine(9)], [], Share(4), 2),
        ("4", [Machine(2)], [], Share(2), 1),
    ],
)
def test_a_run_takes_a_gpu_with_its_part_of_the_cores_or_as_many_cores_as_threads(
    tmp_path, monkeypatch, threads, machines, changes, share, room
):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if threads is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
    assert share_of_a_run(read(tmp_path, "sweep.seeds=2", *changes), machines) == share
    assert sum(places(machine, share) for machine in machines) == room


@pytest.mark.parametrize(
    ("visible", "share", "expected"),
    [
        (None, Share(1, 0.5), ["0", "1", "0", "1"]),
        ("6,GPU-ab", Share(1, 1), ["6", "GPU-ab"]),
        (None, Share(3), [None, None]),
    ],
)
def test_each_place_sees_its_share_of_the_gpus(monkeypatch, visible, share, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = environments(Machine(8, 2), share)
    assert [variables.get("CUDA_VISIBLE_DEVICES") for variables in found] == expected


@pytest.mark.parametrize(
    ("machines", "change", "message"),
    [
        ([Machine(8)], "sweep.gpus_per_run=1", "sweep.gpus_per_run: there is no GPU here, got 1"),
        ([Machine(8, 4)], "sweep.gpus_per_run=2", "sweep.gpus_per_run: runs of a sweep take one device each, got 2"),
        ([Machine(8), Machine(4)], "sweep.cpus_per_run=9", "sweep.cpus_per_run: no machine has 9 cores, the largest 8"),
    ],
)
def test_more_than_any_machine_has_is_refused_instead_of_waited_for(tmp_path, machines, change, message):
    with pytest.raises(ConfigError, match=message):
        share_of_a_run(read(tmp_path, "sweep.seeds=2", change), machines)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "127.0.0.1:99999", "no.such.host.example:6379"])
def test_an_address_without_a_ray_is_refused_at_once(tmp_path, address):
    pytest.importorskip("ray")
    with pytest.raises(
        ConfigError, match=f"sweep.ray_address: no Ray at '{address}', such as head-node:6379 or auto: "
    ):
        ray_cluster.join_cluster(read(tmp_path, "sweep.seeds=2"), address)


def test_a_machine_without_ray_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"sweep.ray_address: needs Ray: pip install 'ray>=2\.52'"):
        ray_cluster.join_cluster(read(tmp_path, "sweep.seeds=2"), "127.0.0.1:1")


def test_a_cluster_is_joined_with_its_own_token_without_reports_to_anybody(tmp_path, monkeypatch):
    """Whoever reaches a Ray can run anything there, so that the token is the cluster's to set; none is started here."""
    ray = pytest.importorskip("ray")
    seen = {}
    monkeypatch.setattr(ray, "init", lambda **options: seen.update(options, **dict(os.environ)))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-the-cluster")
    ray_cluster.join_cluster(read(tmp_path, "sweep.seeds=2"), "auto")
    assert (seen["address"], seen["RAY_AUTH_TOKEN"], seen["RAY_USAGE_STATS_ENABLED"]) == ("auto", "of-the-cluster", "0")
    assert seen["runtime_env"]["env_vars"].keys() == {*ray_cluster.QUIET, "PYTHONPATH"}


def test_signals_stay_ours_after_ray_has_set_its_own(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    numbers = [signal.Signals[name] for name in STATUS]
    numbers = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]  # as nohup leaves them
    monkeypatch.setattr(ray, "init", lambda **options: [signal.signal(each, signal.SIG_DFL) for each in numbers])
    with raise_on_signals():
        ours = [signal.getsignal(number) for number in numbers]
        ray_cluster.join_cluster(read(tmp_path, "sweep.seeds=2"), "auto")
        assert [signal.getsignal(number) for number in numbers] == ours != [signal.SIG_DFL] * len(numbers)
    assert not signals.is_waiting()
