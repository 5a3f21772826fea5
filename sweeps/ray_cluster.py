"""Runs side by side on a Ray cluster that is there already: its machines are what `ray_address` leads to.

Ray only places them. What is done again, and what is said of them, is decided as for the processes of one machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sweeps.cells import Sweep
from sweeps.jobs import Job
from sweeps.processes import MOMENT
from sweeps.resources import Machine, Share, places, share_of_a_run
from sweeps.worker import Crash, Report, Setup, set_up, work
from utils.signals import GRACE, take_signals_back
from utils.types import TrainingError, first_line

ROOT = Path(__file__).resolve().parents[1]
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
    "RAY_worker_niceness": "0",  # as a run without Ray
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""What Ray reads from the environment."""


class RayCluster:
    """The executor of a cluster.

    Args:
        ray: the module, connected.
        setup: of all runs.
        share: what each of them takes.
    """

    def __init__(self, ray: Any, setup: Setup, share: Share) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray, self._share = ray, share
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._post = ray.remote(num_cpus=0, scheduling_strategy=here)(Post).remote()  # lost with us alone
        self._setup = ray.put(setup)
        self._work = ray.remote(num_cpus=share.cores, num_gpus=share.gpus, max_retries=0)(_work)
        self._keys: dict[Any, int] = {}

    def room(self) -> int:
        return max(1, sum(places(machine, self._share) for machine in machines(self._ray)))

    def start(self, key: int, job: Job) -> None:
        self._keys[self._work.remote(self._setup, job, key, self._post)] = key

    def reports(self) -> Iterator[tuple[int, Report]]:
        ended, _ = self._ray.wait(list(self._keys), num_returns=len(self._keys), timeout=MOMENT)
        try:
            yield from self._ray.get(self._post.collect.remote())
        except self._ray.exceptions.RayError as error:  # it lives where this process does
            raise TrainingError(f"the Ray cluster is gone: {first_line(error)}; the same command resumes") from error
        for reference in ended:
            key = self._keys.pop(reference)
            try:
                yield key, self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:
                yield key, Crash(first_line(error.cause))
            except self._ray.exceptions.RayError as error:
                yield key, Crash(f"its process died ({type(error).__name__})")

    def stop(self) -> None:
        end = time.monotonic() + GRACE + 2
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.get(self._post.turn.remote(), timeout=GRACE)
            while self._keys and time.monotonic() < end:
                for _ in self.reports():
                    pass

    def close(self) -> None:
        self._ray.shutdown()


class Post:
    """What the processes of the runs have to say, and the switch that stops them. An actor: its calls interleave."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, Report]] = []
        self._turned = asyncio.Event()

    async def send(self, key: int, report: Report) -> None:
        self._waiting.append((key, report))

    async def collect(self) -> list[tuple[int, Report]]:
        reports, self._waiting = self._waiting, []
        return reports

    async def turn(self) -> None:
        self._turned.set()

    async def wait(self) -> None:
        """Return when the runs are to stop."""
        await self._turned.wait()


def open_cluster(sweep: Sweep, fresh: bool) -> RayCluster:
    """Return the executor of the cluster. Raises: ConfigError if there is none, or no machine of it suits a run."""
    ray = join_cluster(sweep, str(sweep.block.ray_address))
    try:
        share = share_of_a_run(sweep, machines(ray))
        return RayCluster(ray, set_up(sweep, share, fresh), share)
    except BaseException:
        ray.shutdown()
        raise


def join_cluster(sweep: Sweep, address: str) -> Any:
    """Return Ray, connected. Raises: ConfigError if there is none at the address, or none is installed."""
    os.environ.update(QUIET)
    place = ("sweep", "ray_address")
    try:
        import ray
    except ImportError:
        raise sweep.base.error({place: "needs Ray: pip install 'ray>=2.52'"}) from None
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # the board says what became of each run
    host, _, port = address.rpartition(":")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {"env_vars": {**QUIET, "PYTHONPATH": path}}
    try:
        if address != "auto":  # Ray itself waits for minutes
            socket.create_connection((host, int(port)), timeout=5).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, runtime_env=environment)
    except (OSError, ValueError, OverflowError, RuntimeError) as error:
        text = f"no Ray at {address!r}, such as head-node:6379 or auto: {first_line(error)}"
        raise sweep.base.error({place: text}) from None
    take_signals_back()
    return ray


def machines(ray: Any) -> list[Machine]:
    """Return the machines of the cluster."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Machine(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in alive]


_listens = False


def _work(setup: Setup, job: Job, key: int, post: Any) -> Report:
    """Do a run in a process of Ray's, which does others afterwards."""
    global _listens
    if not _listens:
        _listens = True
        threading.Thread(target=_stop_when_told, args=(post,), daemon=True).start()
    return work(setup, job, lambda report: post.send.remote(key, report))


def _stop_when_told(post: Any) -> None:
    import ray
    from ray.exceptions import RayError

    with contextlib.suppress(RayError):  # with the sweep's process, Ray ends this one
        ray.get(post.wait.remote())
    os.kill(os.getpid(), signal.SIGTERM)
