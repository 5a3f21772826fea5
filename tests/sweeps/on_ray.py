"""A sweep on a Ray of two nodes on this machine, in a process of its own, with accidents in its midst.

    python -m tests.sweeps.on_ray FILE [kill] [card]

With `kill`, the process of a run is killed after its first epoch, later the node that was added, and another is added.
With `card`, the node that was added claims a card; as the runs use none, there need not be one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from ray.cluster_utils import Cluster

import train
from sweeps.on_ray import QUIET

NODE: dict[str, Any] = {"num_cpus": 1, "num_gpus": 0, "include_dashboard": False}
CARD: dict[str, Any] = {"num_cpus": 2, "num_gpus": 1}
"""Of a node with one card; cores for two runs."""
RUN = "ray::ImplicitFunc"
"""What Ray calls a process that does runs."""


def main(file: str, disturbed: bool, with_card: bool) -> int:
    os.environ.update(QUIET)
    # its hooks at exit are handlers of signals, which no other thread than the main one may set
    cluster = Cluster(initialize_head=True, head_node_args=NODE, shutdown_at_exit=False)
    node = cluster.add_node(**NODE | (CARD if with_card else {}))
    try:
        if disturbed:
            accidents = threading.Thread(target=_accidents, args=(cluster, node, Path(file).parent), daemon=True)
            accidents.start()
        status = train.main([file, f"sweep.ray_address={cluster.address}"])
        if disturbed:
            accidents.join(10)
        return status
    finally:
        cluster.shutdown()


def _accidents(cluster: Cluster, node, folder: Path) -> None:
    _wait(lambda: any(folder.glob("output/*/checkpoints/last.ckpt")) and _at_work(cluster.head_node))
    os.kill(_at_work(cluster.head_node)[0], signal.SIGKILL)
    print("killed the process of a run", flush=True)
    _wait(lambda: len(list(folder.glob("output/*/summary.json"))) >= 1 and _at_work(node))
    cluster.remove_node(node, allow_graceful=False)
    print("killed a node", flush=True)
    cluster.add_node(**NODE)
    print("all accidents happened", flush=True)


def _at_work(node) -> list[int]:
    """Return the processes of a node that do runs."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    found = []
    for process in raylet.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(RUN in word for word in process.cmdline()):
                found.append(process.pid)
    return found


def _wait(happened) -> None:
    while not happened():
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], "kill" in sys.argv[2:], "card" in sys.argv[2:]))
