"""train.py with a Ray cluster of two nodes on this machine, one of which claims a GPU where the runs ask for it.

python -m tests.sweeps.cluster FILE [gpu]
"""

from __future__ import annotations

import os
import sys

from ray.cluster_utils import Cluster

import train
from sweeps.ray_cluster import QUIET

NODE = {"num_cpus": 1, "num_gpus": 0, "include_dashboard": False}
GPU = {"num_cpus": 2, "num_gpus": 1, "include_dashboard": False}

if __name__ == "__main__":
    os.environ.update(QUIET)
    # its hooks at exit are handlers of signals, which are train.py's
    cluster = Cluster(initialize_head=True, head_node_args=NODE, shutdown_at_exit=False)
    try:
        cluster.add_node(**GPU if "gpu" in sys.argv else NODE)
        status = train.main([sys.argv[1], f"sweep.ray_address={cluster.address}"])
    finally:
        cluster.shutdown()
    sys.exit(status)
