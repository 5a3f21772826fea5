"""A run that goes on in another environment says so: its result may differ from that of an uninterrupted run."""

from __future__ import annotations

import json
import logging

import pytest

from runs.environment import changed_facts, environment
from training import runner

pytestmark = pytest.mark.usefixtures("plain_log")


def go_on(quick, trained, monkeypatch, caplog, **facts):
    """Resume a run that died after its first epoch with other facts; return its environment.json and the warnings."""
    folder = trained(died_at=1)
    original = runner.environment
    monkeypatch.setattr(runner, "environment", lambda *args: {**original(*args), **facts})
    runner.train(quick())
    reported = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    return json.loads(folder.environment.read_text(encoding="utf-8")), reported


def test_a_changed_number_of_threads_is_told_and_recorded(quick, trained, monkeypatch, caplog):
    facts, told = go_on(quick, trained, monkeypatch, caplog, threads=64)
    assert len(told) == 1
    assert "threads 1 -> 64" in told[0] or "threads 2 -> 64" in told[0]
    assert told[0].endswith("its result may differ from that of an uninterrupted run")
    (continued,) = facts["continued"]
    assert continued["changes"]["threads"][1] == 64
    assert facts["started"] <= continued["started"]


def test_the_same_environment_is_no_matter(quick, trained, monkeypatch, caplog):
    facts, told = go_on(quick, trained, monkeypatch, caplog)
    assert told == []
    assert [part["changes"] for part in facts["continued"]] == [{}]


@pytest.mark.parametrize(
    "name", ["device", "precision", "threads", "cuda", "processor", "python", "git_commit", "torch"]
)
def test_each_fact_that_can_change_a_result_is_compared(name):
    before = environment("cpu", "32-true", "data")
    now = {**before, "packages": dict(before["packages"])}
    (now["packages"] if name == "torch" else now)[name] = "another"
    assert list(changed_facts(before, now)) == [name]


def test_when_and_where_a_run_was_started_does_not_matter():
    before = environment("cpu", "32-true", "data")
    assert changed_facts(before, {**before, "started": "later", "platform": "other", "runtime": "colab"}) == {}
