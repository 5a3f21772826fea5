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
child = os.fork()
if child == 0:
    outlast_the_first_sigterm()
    os.kill(os.getpid(), signal.SIGTERM)
    print("goes on", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("never", flush=True)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
ORPHAN = """\
import os, signal, time
from datasets.stream.loader import outlast_the_first_sigterm
run = os.getpid()
if os.fork() == 0:
    outlast_the_first_sigterm()
    print(os.getpid(), flush=True)
    while os.getppid() == run:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    print("never", flush=True)
else:
    time.sleep(0.5)
"""


def test_a_worker_outlasts_the_first_sigterm_alone():
    done = subprocess.run([sys.executable, "-c", WORK], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines() == ["goes on", str(-signal.SIGTERM)], done.stderr


def test_a_worker_whose_run_is_gone_ends_at_once():
    done = subprocess.run([sys.executable, "-c", ORPHAN], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip().isdigit(), done.stdout  # its number, and "never" not
