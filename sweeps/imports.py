"""What a run imports, for the server of processes, which forks afterwards: none of it may touch a GPU."""

from __future__ import annotations

import atexit
import gc
import importlib

from utils.scripts import importing

NAMES = ("torch", "pytorch_lightning", "timm", "training.runner", "evaluation.after_training", "sweeps.callbacks")

with importing():
    for name in NAMES:
        importlib.import_module(name)
gc.freeze()  # no run need look at it again, nor copy the pages that it lies in
atexit.register(gc.unfreeze)  # else libraries complain of leaks when the server ends
