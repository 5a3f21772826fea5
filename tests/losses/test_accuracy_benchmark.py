"""The table of accuracies: which runs it is of, and that a failure makes its status."""

from __future__ import annotations

import pytest

from benchmarks import accuracy

pytestmark = pytest.mark.usefixtures("plain_log", "quiet_runs")


@pytest.fixture
def words(tmp_path) -> list[str]:
    quick = ["dataset=digits", "architecture=test_resnet", "accelerator=cpu", "image_size=null", "smoke=true"]
    return [*quick, f"output_path={tmp_path}/output", f"logging_dir={tmp_path}/logs"]


def test_each_loss_gets_its_mean_and_one_of_one_score_two_classes(words, tmp_path, monkeypatch):
    real, table = accuracy.train.main, tmp_path / "table.md"
    monkeypatch.setattr(accuracy.train, "main", lambda words: real([*words, "--shard", "1/1"]))
    names = ["CrossEntropyLoss", "BinaryCrossEntropyLoss"]
    assert accuracy.main([*words, "--losses", *names, "--seeds", "0", "1", "--write", str(table)]) == 0
    for name in names:
        (line,) = [line for line in table.read_text().splitlines() if line.startswith(f"| {name} |")]
        assert "(2)" in line
    assert "num\\_classes: 2" in table.read_text()


@pytest.mark.parametrize(("trained", "compared", "status"), [(0, 0, 0), (1, 0, 1), (0, 1, 1), (2, None, 2)])
def test_a_failure_makes_the_status_and_a_mistake_ends_it(words, monkeypatch, trained, compared, status):
    seen = []
    monkeypatch.setattr(accuracy.train, "main", lambda words: trained)
    monkeypatch.setattr(accuracy.compare, "main", lambda words: seen.append(words) or compared)
    assert accuracy.main([*words, "--losses", "FocalLoss"]) == status
    assert len(seen) == (compared is not None)
