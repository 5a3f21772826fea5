"""AutoAttack is at least as strong as PGD on the same images, keeps within eps, and judges by the loss's own rule."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch

from evaluation.attacks import attacks
from evaluation.autoattack import _attack, _Judge, autoattack
from evaluation.subject import open_subject
from utils.types import ConfigError

pytest.importorskip("pyautoattack", reason="the optional package pyautoattack is absent")


@pytest.mark.parametrize("loss", ["CrossEntropyLoss", "OneSidedMarginLoss"])
def test_it_is_at_least_as_strong_as_pgd(trained: Callable, loss: str) -> None:
    subject = open_subject(trained(loss_function=loss, num_epochs=2).path)
    eps = 48.0
    by_pgd = attacks(subject, eps=eps, step=12.0, images=6, curve=False).numbers
    found = autoattack(subject, eps=eps, images=6).numbers
    assert found["images"] == 6
    assert found["accuracy"] == by_pgd["accuracy"]
    assert found["robust_accuracy"] <= by_pgd["pgd_accuracy"] + 1e-9
    assert autoattack(subject, eps=255.0, images=6).numbers["robust_accuracy"] == 0
    assert found["robust_accuracy"] < found["accuracy"]


@pytest.mark.parametrize("classes", ["[3, 8]", "[3, 8, 0, 6]"])
def test_images_stay_within_eps_and_few_classes_do(trained: Callable, classes: str) -> None:
    subject = open_subject(trained(classes=classes, num_epochs=1).path)
    judge, stream = _Judge(subject), subject.part.stream
    batch = next(subject.load(stream))
    pixels = stream.preprocessing.denormalize(batch.image[:4, 0]).clamp(0, 1)
    label = judge.predict(pixels)
    before = torch.random.get_rng_state()
    attacked = _attack(judge, pixels, label, 0.5, seed=0)
    assert float((attacked - pixels).abs().max()) <= 0.5 + 1e-6
    assert 0 <= float(attacked.min()) <= float(attacked.max()) <= 1
    assert not torch.equal(judge.predict(attacked), label)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(attacked, _attack(judge, pixels, label, 0.5, seed=0))


def test_the_missing_package_is_named(trained: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyautoattack", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="autoattack needs the package pyautoattack: pip install pyautoattack"):
        autoattack(object())  # type: ignore[arg-type]
