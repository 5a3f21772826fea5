"""What a network costs: counts in closed form, times and memory of known work."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from evaluation.cost import cost, measure, peak_memory, saved_bytes
from models.scorer import Scorer
from tests.evaluation.made_up_subject import make_subject

CPU = torch.device("cpu")


@pytest.fixture
def subject(quick):
    subject = make_subject(quick(classes=["3", "8"], loss_function="BinaryCrossEntropyLoss"))
    subject.folder.best.write_bytes(bytes(3_000_000))
    return subject


def test_cost_counts_the_network_and_its_own_last_layer(subject):
    found = cost(subject, repeats=3, seconds=0.1)
    classifier = subject.classifier
    parameters = [*classifier.network.parameters(), *classifier.own_head.parameters()]
    assert found.numbers["parameters"] == sum(each.numel() for each in parameters)
    assert found.numbers["checkpoint_mb"] == 3
    assert 4 * found.numbers["parameters"] / 1e6 < found.numbers["weights_mb"] < 3
    assert found.numbers["images_per_second"] == pytest.approx(64_000 / found.numbers["latency_of_64_ms"])
    assert [row[3] for row in found.tables[0].rows] == ["3", "3"]
    assert "threads" in found.notes[0]


def test_exported_models_are_measured_beside(subject):
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.UINT8
    shape = [None, subject.config.in_channels, *subject.data.image_size]
    values = [helper.make_tensor_value_info(name, kind, shape) for name in ("pixels", "answer")]
    graph = helper.make_graph([helper.make_node("Identity", ["pixels"], ["answer"])], "g", values[:1], values[1:])
    file = subject.folder.path / "export" / "onnx" / "model.onnx"
    file.parent.mkdir(parents=True)
    opset = [helper.make_opsetid("", 17)]
    file.write_bytes(helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString())
    found = cost(subject, repeats=3, seconds=0.1)
    assert found.numbers["onnx_mb"] == file.stat().st_size / 1e6
    assert found.numbers["onnx_latency_ms"] > 0
    assert "onnx_int8_mb" not in found.numbers
    assert found.tables[0].rows[2][0] == "1, onnx, on the CPU"


def test_the_scores_that_are_timed_are_those_of_the_run(subject):
    image, classifier = torch.randn(3, 1, 8, 8), subject.classifier
    with torch.no_grad():
        assert torch.equal(Scorer(classifier.network, classifier.own_head)(image), classifier(image).scores)


def test_a_file_of_weights_is_as_large_as_its_numbers():
    few, many = saved_bytes(nn.Linear(10, 10)), saved_bytes(nn.Linear(1000, 1000))
    assert many - few == pytest.approx(4 * (1000 * 1001 - 110), abs=200)


@pytest.fixture
def work(monkeypatch):
    """Work of 20 ms by a clock that nothing else moves."""
    now = [0.0]
    monkeypatch.setattr("evaluation.cost.time.perf_counter", lambda: now[0])

    def work():
        now[0] += 0.02

    return work


def test_the_time_of_known_work_is_measured(work):
    timing = measure(work, CPU, repeats=5, seconds=10)
    assert timing.passes == 5
    assert [timing.low, timing.median, timing.high] == pytest.approx([20, 20, 20])


def test_passes_end_when_their_time_is_over_but_not_before_three(work):
    assert measure(work, CPU, repeats=1000, seconds=0.01).passes == 3
    assert measure(work, CPU, repeats=1000, seconds=0.09).passes == 5


def test_memory_that_is_taken_and_freed_is_seen():
    def work():
        taken = torch.ones(64_000_000 // 4)
        time.sleep(0.1)
        return taken

    assert 50e6 < peak_memory(work, CPU) < 150e6
