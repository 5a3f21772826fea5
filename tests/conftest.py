"""Tools that several tests share."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from configuration.reading import read_configuration
from configuration.schema import Configuration
from evaluation.catalogue import NAME_CHECKS
from runs.folder import RunFolder
from utils import logs

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background, which tests of Ctrl-C inherit
    signal.signal(signal.SIGINT, signal.default_int_handler)
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


@pytest.fixture(scope="session", autouse=True)
def _worker_cache(tmp_path_factory: pytest.TempPathFactory):
    """A cache folder of this process, for fixtures that several tests share: workers do not meet in the user's own."""
    folder = tmp_path_factory.mktemp("worker-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setenv("MPLCONFIGDIR", str(folder / "matplotlib"))  # one list of fonts for all tests
        yield


def hasten(patch: pytest.MonkeyPatch) -> None:
    """Draw nothing, and examine a network once, however often it is built: no result depends on either."""

    def undrawn(draw: Callable[..., None]) -> Callable[..., None]:
        return functools.wraps(draw)(lambda *arguments, **options: None)

    def remembered(examine: Callable[..., Any]) -> Callable[..., Any]:
        answers: dict[tuple[str, ...], Any] = {}

        @functools.wraps(examine)
        def answer(*arguments: Any) -> Any:
            key = tuple(str(each) for each in arguments if not isinstance(each, Configuration))
            if key not in answers:
                answers[key] = examine(*arguments)
            return answers[key]

        return answer

    for name, functions in {
        "training.report": {"draw_results": undrawn, "draw_augmentations": undrawn},
        "training.building": {"count_of_an_image": remembered},
        "models.timm_models": {"contract_problem": remembered, "_drops": remembered},
    }.items():
        if module := sys.modules.get(name):
            for function, wrapper in functions.items():
                patch.setattr(module, function, wrapper(getattr(module, function)))


@pytest.fixture(scope="session", autouse=True)
def _fast_runs(_worker_cache: None, tmp_path_factory: pytest.TempPathFactory):
    """Hasten all runs, and copy MLflow's empty database, which takes a second to create, from the first one."""
    template = tmp_path_factory.mktemp("mlflow") / "empty.db"
    with pytest.MonkeyPatch.context() as patch:
        hasten(patch)
        if "tracking.base" in sys.modules:
            from tracking import mlflow_store

            create = mlflow_store._create

            @functools.wraps(create)
            def copy_or_create(database: Path) -> None:
                if template.exists():
                    shutil.copy(template, database)
                else:
                    create(database)
                    shutil.copy(database, template)

            patch.setattr(mlflow_store, "_create", copy_or_create)
        yield


@contextlib.contextmanager
def pictures() -> Iterator[None]:
    """Let runs draw their pictures."""
    from training import report

    with pytest.MonkeyPatch.context() as patch:
        for name in ("draw_results", "draw_augmentations"):
            patch.setattr(report, name, inspect.unwrap(getattr(report, name)))
        yield


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of one test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def read_quick(folder: Path, **changes: Any) -> Configuration:
    """Read a configuration of a run of seconds, changed by keywords, `a__b` for a.b. Args: folder: for its files."""
    folders = {"output_path": str(folder / "output"), "logging_dir": str(folder / "logs")}
    values = QUICK | folders | {name.replace("__", "."): str(value) for name, value in changes.items()}
    return read_configuration(None, [f"{name}={value}" for name, value in values.items()], NAME_CHECKS)


@pytest.fixture
def quick(tmp_path) -> Callable[..., Configuration]:
    """Return `read_quick` of the test's own folder."""
    return functools.partial(read_quick, tmp_path)


@pytest.fixture(scope="session")
def _trained_once() -> dict[tuple, Path]:
    """What was trained with which changes, and at which save it died -> the run's folder."""
    return {}


@pytest.fixture
def trained(tmp_path, tmp_path_factory, _trained_once) -> Callable[..., RunFolder]:
    """Return a function that puts a run of `quick` into the test's folder: trained once, and copied for each test.

    Its arguments: the save after which the run dies, None for a finished one; the configuration's changes. To be
    called before the test replaces anything that a run depends on.
    """

    def copy(died_at: int | None = None, **changes: Any) -> RunFolder:
        key = (died_at, *sorted((name, str(value)) for name, value in changes.items()))
        if key not in _trained_once:
            from tests.training.resuming import train_until

            config = read_quick(tmp_path_factory.mktemp("trained"), **changes)
            _trained_once[key] = train_until(config, died_at).path
        shutil.copytree(_trained_once[key].parent, tmp_path / "output", dirs_exist_ok=True)
        return RunFolder(tmp_path / "output" / _trained_once[key].name)

    return copy


@pytest.fixture
def plain_log():
    """Let pytest see the project's log; Lightning's advice is not the test's matter."""
    log = logging.getLogger("lossbench")
    log.propagate, level = True, log.level
    log.setLevel(logging.INFO)
    logs.ignore_expected()
    yield
    log.setLevel(level)


@pytest.fixture
def own_log():
    """Restore the project's log, for tests that configure it."""
    log = logging.getLogger("lossbench")
    before = log.handlers[:], log.level, log.propagate
    yield
    for handler in set(log.handlers) - set(before[0]):
        handler.close()
    log.handlers[:], log.level, log.propagate = before


class Started(Exception):
    """A process would be started for a run."""


@pytest.fixture
def no_processes(monkeypatch):
    """Runs side by side are not started: the exception that this gives is raised instead."""

    def start(sweep, fresh):
        raise Started

    monkeypatch.setattr("sweeps.execution.start_executor", start)
    monkeypatch.setattr("sweeps.processes.import_ahead", lambda: None)
    return Started


@pytest.fixture
def quiet_runs(monkeypatch):
    """The log stays pytest's."""
    monkeypatch.setattr("utils.logs.configure", lambda *args, **kwargs: None)


@pytest.fixture
def file(request, tmp_path) -> Path:
    """A file of the test module's configuration, `TEXT`, whose runs lie in the test's own folder."""
    path = tmp_path / "sweep.yml"
    path.write_text(f"output_path: {tmp_path}/output\nlogging_dir: {tmp_path}/logs\n{request.module.TEXT}")
    return path
