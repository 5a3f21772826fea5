"""What is shown of a sweep that runs, what a run of it takes, and how all of them are stopped."""

from __future__ import annotations

import io
import os
import signal
import stat
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import ClassVar

import pytest
from rich.console import Console

from configuration.reading import read_configuration
from datasets.readers.files import CORES_VARIABLE, available_cores
from evaluation.catalogue import NAME_CHECKS
from sweeps import board as board_module
from sweeps import on_ray
from sweeps.board import Board
from sweeps.cells import load_sweep
from sweeps.on_ray import resources_of_a_run
from sweeps.reading import find_mistakes
from sweeps.running import Outcome
from sweeps.sign_of_life import SignOfLife
from utils import signals
from utils.types import ConfigError, TrainingError

TOLD = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED")

DONE = Outcome("loss=a", "finished", None, {"test/accuracy": 0.5})


def test_elsewhere_than_in_a_terminal_each_run_that_has_ended_is_a_line(capsys):
    with Board(3) as board:
        board.start("1", "loss=a")
        board.hear("1", 1, 5, "valid/accuracy", 0.25)
        board.end("1", DONE)
        board.end("2", Outcome("loss=b", "failed", reason="no memory \x1b[31m"))
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "run 1 of 3: finished  loss=a  test/accuracy 50.00 %  None",
        r"run 2 of 3: failed    loss=b: no memory \x1b[31m",
    ]


def test_in_a_terminal_a_table_shows_the_runs_at_work_and_what_became_of_the_others():
    shown = io.StringIO()
    board = Board(4, Console(file=shown, force_terminal=True, width=120, color_system=None))
    with board:
        board.end("0", DONE)
        board.start("1", "loss=b", attempt=2)
        board.hear("1", 3, 5, "valid/accuracy", 0.25)
        board.start("2", "loss=[bold]c")
    last = shown.getvalue()
    assert "4 runs: 1 finished, 2 at work, 1 to come" in last
    assert "finished  loss=a" in last
    assert "loss=b (attempt 2)" in last
    assert "3 of 5" in last
    assert "valid/accuracy 0.2500" in last
    assert "loss=[bold]c" in last  # a name is no markup
    assert "starts" in last


def test_elsewhere_a_long_silence_is_broken_by_where_the_runs_are(capsys, monkeypatch):
    monkeypatch.setattr(board_module, "SignOfLife", lambda say: SignOfLife(say, seconds=0.02))
    waiting, working = (
        "1 of 6 runs have ended; Ray starts their processes",
        "1 of 6 runs have ended; at work: a (2 of 5); b (starts); c (starts) and 1 more",
    )
    told = ""
    with Board(6) as board:
        board.tell(DONE)
        while waiting not in told:
            told += capsys.readouterr().out
        for name in "abcd":
            board.start(name, name)
        board.hear("a", 2, 5, "valid/accuracy", 0.25)
        while working not in told:
            told += capsys.readouterr().out
    assert told.startswith("run 1 of 6: finished")
    time.sleep(0.1)
    capsys.readouterr()
    time.sleep(0.1)
    assert capsys.readouterr().out == ""


def test_where_lines_come_in_time_nothing_else_is_told(capsys):
    waits = []

    def wait(timeout=None):  # a line has come before the silence was over
        waits.append(timeout)
        alive._over = len(waits) == 5
        return True

    alive = SignOfLife(lambda: "still here", seconds=2)
    alive._stirred.wait = wait
    alive._watch()
    assert waits == [2] * 5
    assert capsys.readouterr().out == ""


class Cluster:
    """Machines with some cores and cards."""

    def __init__(self, *machines: tuple[float, float]) -> None:
        self.machines = machines

    def nodes(self) -> list[dict]:
        return [{"Alive": True, "Resources": {"CPU": cpus, "GPU": gpus}} for cpus, gpus in self.machines]


def sweep(tmp_path, *changes: str):
    words = [f"output_path={tmp_path}", "dataset=digits", "sweep.seeds=2", *changes]
    return load_sweep(read_configuration(None, words, NAME_CHECKS, find_mistakes))


@pytest.mark.parametrize(
    ("machines", "changes", "expected"),
    [
        ([(8, 0)], [], {"cpu": 1}),
        ([(16, 1)], [], {"cpu": 16, "gpu": 1}),
        ([(16, 1)], ["sweep.gpus_per_run=0.25"], {"cpu": 4, "gpu": 0.25}),
        ([(16, 4), (16, 4)], [], {"cpu": 4, "gpu": 1}),
        ([(16, 1)], ["accelerator=cpu"], {"cpu": 1}),
        ([(16, 1)], ["sweep.cpus_per_run=2"], {"cpu": 2, "gpu": 1}),
        ([(2, 4)], [], {"cpu": 1, "gpu": 1}),
    ],
)
def test_a_run_takes_a_card_with_its_part_of_the_cores_or_one_core(tmp_path, machines, changes, expected):
    assert resources_of_a_run(sweep(tmp_path, *changes), Cluster(*machines)) == expected


@pytest.mark.parametrize(
    ("machines", "change", "message"),
    [
        ([(8, 0)], "sweep.gpus_per_run=1", "sweep.gpus_per_run: there is no GPU here, got 1"),
        ([(8, 4)], "sweep.gpus_per_run=2", "sweep.gpus_per_run: runs of a sweep take one device each, got 2"),
        ([(8, 0), (4, 0)], "sweep.cpus_per_run=9", "sweep.cpus_per_run: no machine has 9 cores, the largest 8"),
    ],
)
def test_what_no_machine_has_is_refused_instead_of_waited_for(tmp_path, machines, change, message):
    with pytest.raises(ConfigError, match=message):
        resources_of_a_run(sweep(tmp_path, change), Cluster(*machines))


def test_a_run_that_shares_a_machine_counts_its_own_cores_alone(monkeypatch):
    monkeypatch.setenv(CORES_VARIABLE, "1")
    assert available_cores() == 1


@pytest.fixture
def by_request(monkeypatch):
    """A process that trains outside of its main thread."""
    monkeypatch.setattr(signals, "_on_request", False)
    monkeypatch.setattr(signals, "_received", [])
    monkeypatch.setattr(signals, "_waits", False)
    monkeypatch.setattr(signals, "GRACE", 0.2)
    signals.take_requests()


@pytest.mark.usefixtures("by_request")
def test_a_request_stands_for_a_signal_in_another_thread():
    raised = []

    def train():
        try:
            with signals.raise_on_signals():
                signals.wait_for_save_point()
                signals.request("SIGTERM")
                assert signals.is_waiting()
                signals.wait_no_longer()
        except signals.Interrupted as interruption:
            raised.append(interruption.name)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert raised == ["SIGTERM"]


@pytest.mark.usefixtures("by_request")
def test_a_request_waits_for_a_place_to_save_no_longer_than_a_signal_does():
    signals.wait_for_save_point()
    signals.request("SIGINT")
    signals.raise_if_due()
    end = time.monotonic() + 120
    while signals.is_waiting() and time.monotonic() < end:
        time.sleep(0.01)
    with pytest.raises(signals.Interrupted):
        signals.raise_if_due()


@pytest.mark.usefixtures("by_request")
def test_no_run_starts_after_a_request():
    signals.request("SIGTERM")
    with pytest.raises(signals.Interrupted), signals.raise_on_signals():
        pytest.fail("it has begun")


def test_a_ray_of_ours_takes_no_calls_without_its_token(tmp_path, monkeypatch):
    """That a Ray in this mode refuses them is Ray's to test; it was tried by hand with 2.60."""
    found = []
    monkeypatch.setattr(on_ray, "_start", lambda ray, folder: found.append({key: os.environ.get(key) for key in TOLD}))
    for _ in range(2):
        with on_ray._ray(sweep(tmp_path)):
            pass
    assert [(each["RAY_AUTH_MODE"], each["RAY_USAGE_STATS_ENABLED"]) for each in found] == [("token", "0")] * 2
    tokens = [each["RAY_AUTH_TOKEN"] or "" for each in found]
    assert min(map(len, tokens)) == 64
    assert len(set(tokens)) == 2
    assert not os.environ.keys() & set(TOLD)


def test_what_is_left_of_a_ray_that_did_not_come_up_is_ended_and_the_message_says_how_to_do_without(tmp_path):
    class Ray:
        started: ClassVar[list[subprocess.Popen]] = []

        def init(self, **options):
            assert options["include_dashboard"] is False
            self.started.append(subprocess.Popen(["sleep", "600"]))
            raise Exception("The current node timed out during startup. And more\nlines")

    with pytest.raises(TrainingError, match=r"Ray does not start here .*; --shard 1/1 trains the runs without it"):
        on_ray._start(Ray(), str(tmp_path))
    assert len(Ray.started) == on_ray.ATTEMPTS
    assert [process.wait(10) for process in Ray.started] == [-signal.SIGKILL] * on_ray.ATTEMPTS


@pytest.mark.parametrize("below", ["", "a" * 40])
def test_what_a_ray_of_ours_writes_is_nobody_else_s_to_read_or_change_and_goes_with_it(below, tmp_path, monkeypatch):
    """Its own folder is open to every user, and its logs stay there."""
    place = tempfile.gettempdir() if below == "" else str(tmp_path / below)  # too long for the path of a socket
    monkeypatch.setattr(tempfile, "tempdir", place)
    seen = []

    def init(**options):
        folder = Path(options["_temp_dir"])
        session = folder / "session_2026-11-30_15-30-58_123456_4194304"
        (session / "logs").mkdir(parents=True)
        (session / "logs").chmod(0o777)
        (session / "logs" / "worker.out").write_text("")
        assert len(os.fsencode(session / "sockets" / "plasma_store")) <= 107
        folder.chmod(0o777)  # as Ray does
        seen.append((folder.parent, stat.S_IMODE(folder.parent.stat().st_mode)))

    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    with on_ray._ray(sweep(tmp_path)):
        ((folder, mode),) = seen
        assert mode == 0o700
        assert folder.parent == Path("/tmp" if below else place)
    assert not folder.exists()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "127.0.0.1:99999", "no.such.host.example:6379"])
def test_an_address_without_a_ray_is_told_at_once(tmp_path, address):
    with pytest.raises(
        ConfigError, match=f"sweep.ray_address: no Ray at '{address}', such as head-node:6379 or auto: "
    ):
        on_ray._join(None, sweep(tmp_path), address)


@pytest.mark.parametrize(
    ("machines", "resources", "expected"),
    [
        ([(8, 0)], {"cpu": 1.0}, 8),
        ([(16, 1)], {"cpu": 4.0, "gpu": 0.25}, 4),
        ([(16, 2), (3, 2)], {"cpu": 4.0, "gpu": 1.0}, 2),
        ([(1, 0)], {"cpu": 2.0}, 1),
    ],
)
def test_as_many_runs_start_at_once_as_there_is_room_for(machines, resources, expected):
    assert on_ray._room(Cluster(*machines), resources) == expected
