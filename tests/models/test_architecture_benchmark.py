"""The benchmark of the networks: what it times, and which networks are twins."""

from __future__ import annotations

import pytest

from benchmarks.architectures import DEFAULT, KINDS, Result, measure, report, twin_of
from models import check_architecture_name


def test_a_network_is_timed_beside_its_twin_where_it_has_one():
    result = measure("test_resnet", rounds=2, seconds=0.0, batch=2)
    assert result.image_size == (160, 160)
    assert list(result.seconds) == list(result.ratios) == list(KINDS)
    assert all(0 < low <= middle <= high for low, middle, high in result.ratios.values())
    assert result.memory_ratio == pytest.approx(1, rel=0.01)  # it is its own twin
    result = measure("squeezenext23_1_0", rounds=2, seconds=0.0, batch=1)
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
