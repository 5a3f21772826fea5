"""Tools that the tests of whole runs share."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from utils import logs


@pytest.fixture
def plain_log():
    """Let pytest see the project's log; Lightning's advice is not the test's matter."""
    log = logging.getLogger("lossbench")
    log.propagate, level = True, log.level
    log.setLevel(logging.INFO)
    logs.ignore_expected()
    yield
    log.setLevel(level)


class RayStarts(Exception):
    """Ray would be started."""


@pytest.fixture
def no_ray(monkeypatch):
    """Ray is not started: the exception that this gives is raised instead."""

    def start(sweep):
        raise RayStarts

    monkeypatch.setattr("utils.sweeps.on_ray._ray", start)
    return RayStarts


@pytest.fixture
def file(request, tmp_path) -> Path:
    """A file of the test module's configuration, `TEXT`, whose runs lie in the test's own folder."""
    path = tmp_path / "sweep.yml"
    path.write_text(f"output_path: {tmp_path}/output\nlogging_dir: {tmp_path}/logs\n{request.module.TEXT}")
    return path


@pytest.fixture
def quiet_runs(monkeypatch):
    """Pictures take longer than training in tests, and have tests of their own; the log stays pytest's."""
    monkeypatch.setattr("utils.training.report.draw_results", lambda *arguments, **options: None)
    monkeypatch.setattr("utils.training.report.draw_augmentations", lambda *arguments: None)
    monkeypatch.setattr("utils.logs.configure", lambda *args, **kwargs: None)
