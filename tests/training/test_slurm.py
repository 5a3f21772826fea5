"""Lightning's own ways with Slurm, which it takes without being asked, do not get in the way of ours."""

from __future__ import annotations

import os
import signal
import warnings

import pytest
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

from training import runner
from training.callbacks import RunRecord
from utils.logs import ignore_expected
from utils.signals import STATUS, Interrupted

pytestmark = pytest.mark.usefixtures("plain_log")

TASK = {"NTASKS": "1", "NTASKS_PER_NODE": "1", "NNODES": "1", "NODELIST": "node1", "JOB_NAME": "digits"}
TASK |= {"JOB_ID": "7", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}


def test_a_run_that_srun_started_is_saved_and_requeued_by_nobody_but_the_batch_script(quick, tmp_path, monkeypatch):
    for name, value in TASK.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    calls = tmp_path / "calls"
    (tmp_path / "scontrol").write_text(f"#!/bin/sh\necho $@ >> {calls}\n")
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert SLURMEnvironment.detect()
    with monkeypatch.context() as patch:
        patch.setattr(RunRecord, "on_train_batch_start", lambda *args: os.kill(os.getpid(), signal.SIGUSR1))
        with pytest.raises(Interrupted, match="by SIGUSR1 in epoch 1; the same command resumes after step 1") as error:
            runner.train(quick())
    assert error.value.status == STATUS["SIGUSR1"] == 75
    assert not calls.exists()
    assert not list(tmp_path.rglob("hpc_ckpt*"))
    _, summary = runner.train(quick())
    assert summary["epochs_run"] == 2


def test_the_advice_to_use_srun_outside_a_job_is_dropped(tmp_path, monkeypatch):
    (tmp_path / "srun").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        SLURMEnvironment.detect()
        assert len(told) == 1
        ignore_expected()
        SLURMEnvironment.detect()
    assert len(told) == 1
