"""A worker that its run needs outlasts the SIGTERM that went to all of them, and no other."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = """\
import os, signal, time
from datasets.stream.loader import outlast_the_first_sigterm

def worker(run_is_gone):
    run = os.getppid()
    outlast_the_first_sigterm()
    while run_is_gone and os.getppid() == run:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    print("goes on", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("never", flush=True)

child = os.fork()
if child == 0:
    worker(run_is_gone=False)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
if os.fork() == 0:
    worker(run_is_gone=True)
time.sleep(0.5)
"""


def test_a_worker_outlasts_the_first_sigterm_alone_and_none_without_its_run():
    done = subprocess.run([sys.executable, "-c", WORK], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines() == ["goes on", str(-signal.SIGTERM)], done.stderr
