"""Tools that several tests share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configuration.reading import read_configuration
from configuration.schema import Configuration
from evaluation.catalogue import NAME_CHECKS
from utils import logs

SAMPLES = Path(__file__).resolve().parents[1].parent / "shared" / "data"

QUICK = {
    "dataset": "digits",
    "convert_to_grayscale": "true",
    "image_size": "null",
    "architecture": "test_resnet",
    "num_epochs": "2",
    "batch_size": "128",
    "optimizer_params.lr": "0.01",
    "trackers": "[]",
    "accelerator": "cpu",
    "keep_checkpoints": "all",  # for tests that look into what a finished run ended with
}
"""Digits at their own 8x8 pixels by a network of 0.4 M parameters: an epoch is a second."""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of one test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def quick(tmp_path) -> Callable[..., Configuration]:
    """Return a function that reads a configuration of a run of seconds, changed by keywords, `a__b` for a.b."""

    def read(**changes: Any) -> Configuration:
        folders = {"output_path": str(tmp_path / "output"), "logging_dir": str(tmp_path / "logs")}
        values = QUICK | folders | {name.replace("__", "."): str(value) for name, value in changes.items()}
        return read_configuration(None, [f"{name}={value}" for name, value in values.items()], NAME_CHECKS)

    return read


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

    monkeypatch.setattr("sweeps.on_ray._ray", start)
    return RayStarts


@pytest.fixture
def quiet_runs(monkeypatch):
    """Pictures take longer than training in tests, and have tests of their own; the log stays pytest's."""
    monkeypatch.setattr("training.report.draw_results", lambda *arguments, **options: None)
    monkeypatch.setattr("training.report.draw_augmentations", lambda *arguments: None)
    monkeypatch.setattr("utils.logs.configure", lambda *args, **kwargs: None)


@pytest.fixture
def file(request, tmp_path) -> Path:
    """A file of the test module's configuration, `TEXT`, whose runs lie in the test's own folder."""
    path = tmp_path / "sweep.yml"
    path.write_text(f"output_path: {tmp_path}/output\nlogging_dir: {tmp_path}/logs\n{request.module.TEXT}")
    return path
