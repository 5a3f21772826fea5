"""Run a sweep with Ray Tune: runs side by side, here or on a cluster, those that died again."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from configuration.schema import Configuration
from datasets.readers.files import CORES_VARIABLE, available_cores
from sweeps.board import Board
from sweeps.cells import Sweep
from sweeps.family import shown_as_one
from sweeps.finished import FinishedRuns
from sweeps.jobs import Jobs, Unfinished
from sweeps.running import Outcome, raise_failures
from sweeps.sign_of_life import SignOfLife
from utils.signals import GRACE, Interrupted, command_to_go_on, take_signals_back, wait_for_save_point, wait_no_longer
from utils.types import TrainingError, first_line

ROOT = Path(__file__).resolve().parents[1]
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is told to anybody
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # paths in configurations start where the user stands
    "RAY_raylet_start_wait_time_s": "45",
    "RAY_worker_niceness": "0",  # as a run without Ray
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # runs record themselves
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # utils/signals.py handles it
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""What Ray and Tune read from the environment."""
ATTEMPTS = 3
"""Times that Ray is started: on a busy machine its parts wait for one another no longer than 15 seconds."""
LONGEST_PLACE = 28
"""Bytes of a folder below which Ray's sockets find room: their paths may have 107."""
PATIENCE = 60.0
"""Seconds for which a run waits for a process that still trains it, such as one on a node that is being lost."""


def run_on_ray(sweep: Sweep, jobs: Jobs, fresh: bool = False) -> list[Outcome]:
    """Train the runs of a sweep, as many at a time as there is room for, and show how they do.

    Ray starts only if one of them is not finished.

    Raises: ConfigError for a sweep that cannot be run so; TrainingError naming the runs that failed, once all others
        are done; Interrupted after a signal, when the runs have been saved.
    """
    board = Board(jobs.total)
    print(f"{jobs.total:,} run{'s'[: jobs.total != 1]} to be looked at", flush=True)
    if not fresh:
        jobs = Unfinished(jobs, sweep, FinishedRuns().find, board.tell)
    outcomes = itertools.chain(jobs.given_up, board.outcomes)
    if jobs.is_exhausted():
        with shown_as_one(sweep, outcomes):
            pass
    else:
        print("Ray starts", flush=True)
        with _ray(sweep) as ray:
            resources = resources_of_a_run(sweep, ray)
            with shown_as_one(sweep, outcomes), board:
                _tune(ray, sweep, jobs, board, resources, fresh)
    print("".join(f"{line}\n" for line in jobs.findings()), end="", flush=True)
    raise_failures(board.outcomes, jobs.total)
    return board.outcomes


@contextlib.contextmanager
def _ray(sweep: Sweep) -> Iterator[Any]:
    """Start a Ray on this machine, or join a cluster, until the end of the block.

    Raises: ConfigError if there is no cluster at the address; TrainingError if none starts here.
    """
    address = sweep.block.ray_address
    variables = dict(QUIET)
    if address is None:  # Ray listens on all interfaces: nobody else may use this one
        variables |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with _environment(variables), _private_folder() as folder:
        import ray

        logging.getLogger("ray").setLevel(logging.CRITICAL)  # the board tells what became of each run
        try:
            with SignOfLife(lambda: "Ray still starts; --shard 1/1 trains the runs without it, one after the other"):
                if address is None:
                    _start(ray, folder)
                else:
                    _join(ray, sweep, address)
            take_signals_back()
            yield ray
        except SystemError as error:  # what Ray's compiled code makes of an exception of a signal's
            raise error.__cause__ if isinstance(error.__cause__, Interrupted) else error from None
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _private_folder() -> Iterator[str]:
    """A folder for the sockets and logs of a Ray, which lets every user write in its own and leaves it there."""
    usual = tempfile.gettempdir()
    place = usual if len(os.fsencode(usual)) <= LONGEST_PLACE or os.name != "posix" else "/tmp"
    folder = tempfile.mkdtemp(prefix="ray-", dir=place)
    try:
        yield os.path.join(folder, "r")  # Ray opens to all the very folder that it is given
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start(ray: Any, folder: str) -> None:
    """Start a Ray on this machine that keeps what it writes in a folder. Raises: TrainingError."""
    import psutil

    before = set(psutil.Process().children())
    for attempt in range(ATTEMPTS):
        try:
            here = {"address": "local", "num_cpus": available_cores(), "include_dashboard": False, "_temp_dir": folder}
            ray.init(**here, **_options())
            return
        except Exception as error:  # what Ray raises has no class of its own
            for process in set(psutil.Process().children()) - before:  # `ray.shutdown` does not know of them
                process.kill()
            if attempt == ATTEMPTS - 1:
                reason = first_line(error)
                text = (
                    f"Ray does not start here ({reason}); --shard 1/1 trains the runs without it, one after the other"
                )
                raise TrainingError(text) from error


def _join(ray: Any, sweep: Sweep, address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        if address != "auto":  # Ray itself waits for minutes
            socket.create_connection((host, int(port)), timeout=5).close()
        ray.init(address=address, **_options())
    except (OSError, ValueError, OverflowError, RuntimeError) as error:
        reason = first_line(error)
        text = f"no Ray at {address!r}, such as head-node:6379 or auto: {reason}"
        raise sweep.base.error({("sweep", "ray_address"): text}) from None


def _options() -> dict[str, Any]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    variables = {**QUIET, "PYTHONPATH": path}
    return {"log_to_driver": False, "logging_level": "ERROR", "runtime_env": {"env_vars": variables}}


def resources_of_a_run(sweep: Sweep, ray: Any) -> dict[str, float]:
    """Return what one run takes: a card or a share of one with its part of the cores, or one core.

    Raises: ConfigError if no machine has that.
    """
    block, base = sweep.block, sweep.base
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cards, cores = (sum(node.get(name, 0.0) for node in nodes) for name in ("GPU", "CPU"))
    gpus = block.gpus_per_run
    if gpus is None:
        gpus = 1.0 if cards and base.accelerator in ("auto", "gpu", "cuda") else 0.0
    cpus = block.cpus_per_run
    if cpus is None:
        cpus = float(max(1, int(cores * gpus / cards))) if gpus and cards else 1.0
    problems = {}
    if gpus > 1:
        problems[("sweep", "gpus_per_run")] = f"runs of a sweep take one device each, got {gpus:g}"
    elif gpus and not cards:
        problems[("sweep", "gpus_per_run")] = f"there is no GPU here, got {gpus:g}"
    elif not any(node.get("GPU", 0.0) >= gpus and node.get("CPU", 0.0) >= cpus for node in nodes):
        most = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
        problems[("sweep", "cpus_per_run")] = f"no machine has {cpus:g} cores, the largest {most:g}"
    if problems:
        raise base.error(problems)
    return {"cpu": cpus, "gpu": gpus} if gpus else {"cpu": cpus}


def _tune(ray: Any, sweep: Sweep, jobs: Jobs, board: Board, resources: dict[str, float], fresh: bool) -> None:
    from ray import tune
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from sweeps import tuning
    from sweeps.worker import Switch, work

    storage = Path(tempfile.mkdtemp(prefix=".ray-", dir=_output(sweep.base)))
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    switch = ray.remote(num_cpus=0, scheduling_strategy=here)(Switch).remote()  # lost with us alone
    given = {"sweep": sweep, "switch": switch, "place": os.getcwd(), "fresh": fresh, "patience": PATIENCE}
    environment = {CORES_VARIABLE: str(max(1, int(resources["cpu"])))}
    trainable = tune.with_resources(tune.with_parameters(work, environment=environment, **given), resources)
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=tuning.Plan(jobs),
            num_samples=-1,  # until the plan is through
            reuse_actors=True,  # torch is imported once
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="trials",
            storage_path=str(storage),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=sweep.block.retries),
            callbacks=[tuning.Watcher(sweep, jobs, board)],
        ),
    )
    wait_for_save_point(patience=0)
    # as many processes start at once as there is room for: one at a time, short runs would never be side by side
    pending = {"TUNE_MAX_PENDING_TRIALS_PG": str(_room(ray, resources))}
    try:
        with _environment(pending):
            tuner.fit()
        wait_no_longer()
    except Interrupted as interruption:
        _stop(ray, switch, interruption.name)
        left = jobs.total - len(board.outcomes)
        where, onward = f"with {left:,} runs of the sweep to be done", f"{command_to_go_on(fresh)} goes on"
        raise Interrupted(interruption.name, where, onward) from None
    finally:
        shutil.rmtree(storage, ignore_errors=True)


def _room(ray: Any, resources: dict[str, float]) -> int:
    """Return how many runs fit beside one another."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fitting = [
        min(int(node.get(name.upper(), 0.0) / share) for name, share in resources.items() if share) for node in nodes
    ]
    return max(1, sum(fitting))


def _output(config: Configuration) -> Path:
    path = Path(config.output_path).absolute()
    path.mkdir(parents=True, exist_ok=True)
    return path


def _stop(ray: Any, switch: Any, name: str) -> None:
    """Have all runs saved, and wait until they are."""
    end = time.monotonic() + GRACE + 2
    with contextlib.suppress(ray.exceptions.RayError):
        ray.get(switch.turn.remote(name), timeout=GRACE)
        while ray.get(switch.at_work.remote(), timeout=GRACE) and time.monotonic() < end:
            time.sleep(0.1)
