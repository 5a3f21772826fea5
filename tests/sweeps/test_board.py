"""The board: a live table of a sweep's runs in a terminal, elsewhere a line for each that has ended."""

from __future__ import annotations

import io

from rich.console import Console

from sweeps import board as board_module
from sweeps.board import Board
from sweeps.jobs import Outcome
from sweeps.worker import Progress

DONE = Outcome("loss=a", "finished", None, {"test/accuracy": 0.5})
HALF = Progress(2, 5, "valid/accuracy", 0.25)


def test_outside_a_terminal_each_run_that_has_ended_is_a_line(capsys):
    with Board(3) as board:
        board.start(1, "loss=a")
        board.show(1, HALF)
        board.leave(1)
        board.add(DONE)
        board.add(Outcome("loss=b", "failed", reason="no memory \x1b[31m"))
    assert capsys.readouterr().out.splitlines() == [
        "run 1 of 3: finished  loss=a  test/accuracy 50.00 %  None",
        r"run 2 of 3: failed    loss=b: no memory \x1b[31m",
    ]


def test_in_a_terminal_a_table_shows_the_active_runs_and_the_ends_of_the_others():
    screen = io.StringIO()
    with Board(4, Console(file=screen, force_terminal=True, width=120, color_system=None)) as board:
        board.add(DONE)
        board.start(1, "loss=b", attempt=2)
        board.show(1, HALF)
        board.start(2, "loss=[bold]c")
    for text in (
        *("4 runs: 1 finished, 2 active, 1 to come", "finished  loss=a", "loss=b (attempt 2)", "2 of 5"),
        *("valid/accuracy 0.2500", "loss=[bold]c", "starts"),  # a name is no markup
    ):
        assert text in screen.getvalue()


def test_outside_a_terminal_a_line_after_each_silence_says_where_the_runs_are(capsys, monkeypatch):
    monkeypatch.setattr(board_module, "SILENCE", 0.02)
    expected = "1 of 6 runs have ended; active: a (2 of 5); b (starts); c (starts) and 1 more"
    text = ""
    with Board(6) as board:
        board.add(DONE)
        for key, name in enumerate("abcd"):
            board.start(key, name)
        board.show(0, HALF)
        while expected not in text:
            text += capsys.readouterr().out
    assert text.startswith("run 1 of 6: finished")
    assert not board._heartbeat.is_alive()


def test_while_lines_come_in_time_there_is_no_other(capsys):
    board, waits = Board(1), []

    def wait(timeout=None):  # a line has come before the silence was over
        waits.append(timeout)
        board._over = len(waits) == 5
        return True

    board._spoken.wait = wait  # type: ignore[method-assign]
    board._beat()
    assert waits == [30.0] * 5
    assert capsys.readouterr().out == ""
