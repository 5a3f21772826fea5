"""If the log file cannot be written there is one warning, and the screen continues."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from utils import logs

pytestmark = pytest.mark.usefixtures("own_log")


def test_a_log_file_that_cannot_be_opened_is_reported_once(tmp_path, capsys):
    (tmp_path / "lossbench.log").mkdir()
    logs.configure("INFO", str(tmp_path))
    for word in ("one", "two"):
        logging.getLogger("lossbench").info(word)
    said = capsys.readouterr()
    assert said.out == "one\ntwo\n"
    assert said.err == f"warning: {tmp_path}/lossbench.log: Is a directory; the log is not complete\n"


def test_the_traceback_of_a_bug_stands_in_the_file_too(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OWN_TOKEN", "Xk29fQ8zLmT4vR7wB1nC5dH3")
    logs.configure("CRITICAL", str(tmp_path))
    try:
        raise KeyError("Xk29fQ8zLmT4vR7wB1nC5dH3")
    except KeyError as error:
        logs.print_traceback(KeyError, error, error.__traceback__)
    file, screen = (tmp_path / "lossbench.log").read_text(), capsys.readouterr().err
    assert file.partition("CRITICAL ")[2] == f"ended by a bug\n{screen}"
    assert screen.startswith("Traceback (most recent call last)")
    assert "Xk29fQ8zLmT4vR7wB1nC5dH3" not in screen


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk_is_reported_once(capsys):
    logs.configure("INFO", "/dev")
    log = logging.getLogger("lossbench")
    (file,) = [handler for handler in log.handlers if isinstance(handler, logging.FileHandler)]
    file.baseFilename = "/dev/full"
    for word in ("one", "two"):
        log.info(word)
    said = capsys.readouterr()
    assert said.out == "one\ntwo\n"
    assert said.err == "warning: /dev/full: No space left on device; the log is not complete\n"
