"""The benchmarks: what they time and print, that twins are twins, and that a failure is reported."""

from __future__ import annotations

import pytest
import torch

from benchmarks import accuracy, architectures, step
from benchmarks import losses as loss_benchmark
from benchmarks.architectures import DEFAULT, KINDS, Result, report, twin_of
from benchmarks.measuring import peak_bytes, table
from losses import LOSSES
from models import check_architecture_name


def test_memory_is_what_is_held_at_once():
    def step() -> None:
        for _ in range(3):
            torch.empty(1000, dtype=torch.uint8)
        first, second = torch.empty(2000, dtype=torch.uint8), torch.empty(3000, dtype=torch.uint8)
        del first, second

    assert peak_bytes(step) == 5000


def test_table_is_aligned_markdown():
    lines = table(("time", "K = 10", "K = 100"), {"Loss": ["1", "5.55"], "Another": ["2", "30"]}).splitlines()
    assert lines[0] == "| time    | K = 10 | K = 100 |"
    assert lines[1] == "|---------|--------|---------|"
    assert lines[2] == "| Loss    | 1      | 5.55    |"
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize("loop", step.LOOPS)
def test_every_loop_is_timed_beside_the_bare_one_in_each_round(loop):
    seconds = step.measure(step.CASES["tiny"]._replace(warm_up=1, steps=2, rounds=2), loop)
    assert [len(pair) for pair in seconds] == [2, 2]


def test_quartiles_are_of_the_rounds():
    assert step.quartiles([500.0, 200.0, 1000.0], "+.0f") == "+500 [+200, +1000]"


def test_every_loss_gets_its_numbers():
    _, held, results = loss_benchmark.measure(loss_benchmark.MEASURED, classes=10, rounds=2, seconds=0.0)
    assert held > 0
    of_one_score = {"BinaryCrossEntropyLoss", "BinaryOneSidedMarginLoss"}
    assert set(LOSSES) - results.keys() == of_one_score | {"ConnectionistTemporalLoss", "OneSidedMarginCTCLoss"}
    for result in results.values():
        assert result.low <= result.middle <= result.high
        assert result.memory == result.bytes / held


def test_memory_of_cross_entropy_is_three_score_tables():
    # log p, the gradient in it and the gradient in the scores, besides a few numbers a sample.
    train = loss_benchmark.step_of(loss_benchmark.REFERENCE, 1000)
    train()
    assert peak_bytes(train) == pytest.approx(3 * loss_benchmark.BATCH * 1000 * 4, rel=0.01)


@pytest.fixture
def quick(tmp_path) -> list[str]:
    words = ["dataset=digits", "architecture=test_resnet", "accelerator=cpu", "image_size=null", "smoke=true"]
    return [*words, f"output_path={tmp_path}/output", f"logging_dir={tmp_path}/logs"]


@pytest.mark.usefixtures("plain_log", "quiet_runs")
def test_each_loss_gets_its_mean_and_one_of_one_score_two_classes(quick, tmp_path, monkeypatch):
    real, written = accuracy.train.main, tmp_path / "table.md"
    monkeypatch.setattr(accuracy.train, "main", lambda words: real([*words, "--shard", "1/1"]))
    names = ["CrossEntropyLoss", "BinaryCrossEntropyLoss"]
    assert accuracy.main([*quick, "--losses", *names, "--seeds", "0", "1", "--write", str(written)]) == 0
    for name in names:
        (line,) = [line for line in written.read_text().splitlines() if line.startswith(f"| {name} |")]
        assert "(2)" in line
    assert "num\\_classes: 2" in written.read_text()


@pytest.mark.parametrize(("trained", "compared", "status"), [(0, 0, 0), (1, 0, 1), (0, 1, 1), (2, None, 2)])
def test_a_failure_makes_the_status_and_a_mistake_ends_it(quick, monkeypatch, trained, compared, status):
    seen = []
    monkeypatch.setattr(accuracy.train, "main", lambda words: trained)
    monkeypatch.setattr(accuracy.compare, "main", lambda words: seen.append(words) or compared)
    assert accuracy.main([*quick, "--losses", "FocalLoss"]) == status
    assert len(seen) == (compared is not None)


def test_a_network_is_timed_beside_its_twin_where_it_has_one():
    result = architectures.measure("test_resnet", rounds=2, seconds=0.0, batch=2)
    assert result.image_size == (160, 160)
    assert list(result.seconds) == list(result.ratios) == list(KINDS)
    assert all(0 < low <= middle <= high for low, middle, high in result.ratios.values())
    assert result.memory_ratio == pytest.approx(1, rel=0.01)  # it is its own twin
    result = architectures.measure("squeezenext23_1_0", rounds=2, seconds=0.0, batch=1)
    assert (result.ratios, result.memory_ratio) == ({}, None)
    assert result.peak_bytes > 4 * 724_056  # the gradients, and more


def test_names_measured_are_known():
    assert [name for name in DEFAULT if check_architecture_name(name)] == []
    assert [twin_of(name) for name in ("ghost", "hardnet68", "resnet18.a1_in1k", "torchvision/vgg16")] == [
        "ghostnet_100",
        None,
        "resnet18.a1_in1k",
        "vgg16",
    ]


def test_the_report_has_a_row_for_each_network_and_one_for_each_twin():
    seconds, even = dict.fromkeys(KINDS, 0.5), [0.9, 1.03, 1.1]
    results = {
        "ghostnet": Result((24, 94), seconds, 3 * 2**20, dict.fromkeys(KINDS, even), 1.0),
        "hardnet68": Result((224, 224), seconds, 2**20, {}, None),
    }
    lines = report(results, batch=8).splitlines()
    assert "| ghostnet  | 24x94     | 16.0               | 16.0                | 500.00      | 3         |" in lines
    assert lines[-1].startswith("| ghostnet | ghostnet_100 | 1.03 [0.90, 1.10] | ")
    assert sum("hardnet68" in line for line in lines) == 1
