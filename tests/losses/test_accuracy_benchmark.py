"""The table of accuracies: what it runs, and that a failure is told."""

from __future__ import annotations

import sys

import pytest

from benchmarks import accuracy

QUICK = ["dataset=digits", "architecture=test_resnet", "num_epochs=1", "accelerator=cpu", "image_size=null"]


def run(monkeypatch, tmp_path, *arguments: str) -> tuple[int, list[str]]:
    """Run the script; return its exit status and the rows that it wrote."""
    folders = [f"output_path={tmp_path}/output", f"logging_dir={tmp_path}/logs"]
    table = tmp_path / "table.md"
    monkeypatch.setattr(sys, "argv", ["accuracy.py", *QUICK, *folders, *arguments, "--write", str(table)])
    return accuracy.main(), table.read_text(encoding="utf-8").splitlines()[4:]


def test_each_loss_gets_a_row_of_mean_and_spread(monkeypatch, tmp_path):
    names = ["CrossEntropyLoss", "BinaryCrossEntropyLoss"]
    status, rows = run(monkeypatch, tmp_path, "--losses", *names, "--seeds", "0", "1")
    assert status == 0
    for name, line in zip(names, rows, strict=True):
        loss, percent, n, cross_entropy, seconds = (cell.strip() for cell in line.strip("|").split("|"))
        assert (loss, n) == (name, "2")
        mean, spread = map(float, percent.split("±"))
        assert 0 < mean <= 100 and spread >= 0  # noqa: PT018
        assert float(cross_entropy) > 0
        assert float(seconds) >= 0


@pytest.mark.parametrize("seeds", [["0"], ["0", "1"]])
def test_a_run_that_fails_is_told_and_makes_the_status_1(monkeypatch, tmp_path, seeds):
    real = accuracy.runner.train

    def train(config):
        if config.seed == 0:
            raise accuracy.TrainingError("the loss is nan")
        return real(config)

    monkeypatch.setattr(accuracy.runner, "train", train)
    status, (line,) = run(monkeypatch, tmp_path, "--losses", "FocalLoss", "--seeds", *seeds)
    assert status == 1
    assert "the loss is nan" in line
