"""The benchmark of the networks: what it times, and that twins are twins."""

from __future__ import annotations

import pytest

from benchmarks.architectures import DEFAULT, KINDS, TWINS, Ratio, Result, measure, report, twin_of
from models import check_architecture_name
from models.sizes import read_sizes
from utils.lookup import timm_architectures, torchvision_architectures


def test_a_network_with_a_twin_gets_all_numbers():
    result = measure("test_resnet", rounds=2, seconds=0.0, batch=2)
    assert result.image_size == (160, 160)
    assert result.seconds.keys() == result.ratios.keys() == KINDS.keys()
    assert all(seconds > 0 for seconds in result.seconds.values())
    assert all(0 < ratio.low <= ratio.middle <= ratio.high for ratio in result.ratios.values())
    assert result.memory_ratio == pytest.approx(1, rel=0.01)  # it is its own twin


def test_a_network_without_a_twin_gets_no_ratios():
    result = measure("squeezenext23_1_0", rounds=2, seconds=0.0, batch=1)
    assert result.ratios == {}
    assert result.memory_ratio is None
    assert result.peak_bytes > 4 * 724_056  # the gradients, and more


def test_twins_have_the_same_parameters():
    sizes = read_sizes()
    pairs = {name: twin for name in (*TWINS, *torchvision_architectures()) if (twin := twin_of(name))}
    assert len(pairs) > 40
    counts = {name: (sizes[name].parameters, sizes[twin].parameters) for name, twin in pairs.items()}
    ours, timms = counts.pop("ghostnet")
    assert ours == pytest.approx(timms, rel=1e-3)
    assert {name: pair for name, pair in counts.items() if pair[0] != pair[1]} == {}


def test_names_measured_are_known():
    assert [name for name in DEFAULT if check_architecture_name(name)] == []
    assert set(TWINS.values()) <= set(timm_architectures())
    assert [twin_of(name) for name in ("ghost", "hardnet68", "resnet18.a1_in1k", "torchvision/vgg16")] == [
        "ghostnet_100",
        None,
        "resnet18.a1_in1k",
        "vgg16",
    ]


def test_what_is_slower_than_its_twin_is_named():
    even, slow = Ratio(0.9, 1.03, 1.1), Ratio(1.0, 1.04, 1.2)
    seconds = dict.fromkeys(KINDS, 0.5)
    results = {
        "ghostnet": Result((24, 94), seconds, 3 * 2**20, {"training": slow, "inference": even, "latency": even}, 1.0),
        "hardnet68": Result((224, 224), seconds, 2**20, {}, None),
    }
    lines = report(results, batch=8).splitlines()
    assert "| ghostnet  | 24x94     | 16.0               | 16.0                | 500.00      | 3         |" in lines
    assert "1.04 [1.00, 1.20]" in lines[-3]
    assert lines[-1] == "Slower than the twin by more than 3%: ghostnet (training)."
