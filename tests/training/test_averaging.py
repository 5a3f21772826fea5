"""An average of the weights follows its formula, is what is judged, and leaves training alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import Callback

from runs.checkpoints import load_checkpoint
from training import runner
from training.averaging import WeightAverage
from training.building import prepare
from training.callbacks import RunRecord

pytestmark = pytest.mark.usefixtures("plain_log")
FEW = {"classes": "[0,1,2,3]", "num_epochs": 1}


def weights_after_each_step(monkeypatch) -> list[dict[str, torch.Tensor]]:
    """Return the list that will hold the network's parameters and floating-point buffers after each step."""
    seen: list[dict[str, torch.Tensor]] = []
    original = RunRecord.on_train_batch_end

    def note(self, trainer, pl_module, *args):
        state = {name: tensor.clone() for name, tensor in pl_module.state_dict().items() if name.startswith("network.")}
        seen.append({name: tensor for name, tensor in state.items() if tensor.is_floating_point()})
        original(self, trainer, pl_module, *args)

    monkeypatch.setattr(RunRecord, "on_train_batch_end", note)
    return seen


@pytest.mark.parametrize("accumulate", [1, 4])
def test_the_average_is_the_one_of_its_formula(quick, monkeypatch, accumulate):
    steps = weights_after_each_step(monkeypatch)
    folder, _ = runner.train(quick(**FEW, ema_decay=0.5, accumulate_batches=accumulate))
    stepped = steps[accumulate - 1 :: accumulate] + (steps[-1:] if len(steps) % accumulate else [])
    known = load_checkpoint(folder.best)["state_dict"]
    for name in stepped[0]:
        assert known[name].shape == stepped[0][name].shape
    network = prepare(quick(**FEW, ema_decay=0.5, accumulate_batches=accumulate)).classifier.network.state_dict()
    average = {f"network.{name}": tensor for name, tensor in network.items() if tensor.is_floating_point()}
    for number, weights in enumerate(stepped, start=1):
        decay = min(0.5, (1 + number) / (10 + number))
        average = {name: decay * average[name] + (1 - decay) * weights[name] for name in weights}
    for name, tensor in average.items():
        torch.testing.assert_close(known[name], tensor, rtol=1e-5, atol=1e-6)


def test_averaging_does_not_change_the_training(quick, tmp_path):
    plain, averaged = (
        load_checkpoint(runner.train(quick(output_path=tmp_path / str(decay), **FEW, ema_decay=decay))[0].last)[
            "state_dict"
        ]
        for decay in ("null", 0.9)
    )
    names = [name for name in plain if "judge_tally" not in name]  # which counts what is judged
    assert all(torch.equal(plain[name], averaged[name]) for name in names)


def test_validation_judges_the_average(quick, monkeypatch):
    seen = []
    original = WeightAverage.on_validation_end

    def note(self, trainer, pl_module):
        seen.append((self.average["network.fc.weight"].clone(), pl_module.network.fc.weight.detach().clone()))
        original(self, trainer, pl_module)
        seen.append((self.average["network.fc.weight"].clone(), pl_module.network.fc.weight.detach().clone()))

    monkeypatch.setattr(WeightAverage, "on_validation_end", note)
    folder, _ = runner.train(quick(**FEW, ema_decay=0.9))
    (before, judged), (average, trained) = seen
    assert torch.equal(judged, average)
    assert torch.equal(before, average)
    assert not torch.equal(average, trained)
    assert torch.equal(load_checkpoint(folder.best)["state_dict"]["network.fc.weight"], average)
    assert torch.equal(load_checkpoint(folder.last)["state_dict"]["network.fc.weight"], trained)


def test_the_average_of_a_bf16_run_moves_by_less_than_bf16_can_tell():
    callback, module = WeightAverage(0.999), torch.nn.Module()
    module.network = torch.nn.Linear(1, 1, bias=False).bfloat16()
    module.network.weight.data.fill_(1.0)
    trainer: Any = SimpleNamespace(global_step=0)
    callback.on_fit_start(trainer, module)  # type: ignore[arg-type]
    module.network.weight.data.fill_(2.0)
    expected = 1.0
    for trainer.global_step in range(20_000, 22_000):
        callback.on_train_batch_end(trainer, module, None, None, 0)  # type: ignore[arg-type]
        expected = 0.999 * expected + 0.001 * 2
    (average,) = callback.average.values()
    assert average.dtype == torch.float32
    assert average.item() == pytest.approx(expected, rel=1e-4)
    callback.on_validation_start(trainer, module)  # type: ignore[arg-type]
    judged = module.network.weight.detach().clone()
    assert torch.equal(callback.judged(dict(module.state_dict()))["network.weight"], judged)
    callback.on_validation_end(trainer, module)  # type: ignore[arg-type]
    assert module.network.weight.item() == 2
    assert average.item() == pytest.approx(expected, rel=1e-4)


def test_a_resumed_average_of_a_bf16_run_is_exact(quick, tmp_path):
    changes = FEW | {"ema_decay": 0.9, "precision": "bf16-true", "image_size": 32, "num_epochs": 2}
    whole, _ = runner.train(quick(output_path=tmp_path / "whole", **changes))

    class Stop(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                raise runner.GivenUp

    with pytest.raises(runner.GivenUp):
        runner.train(quick(**changes), callbacks=[Stop()])
    folder, _ = runner.train(quick(**changes))
    theirs, ours = (load_checkpoint(each.last)["callbacks"]["WeightAverage"]["average"] for each in (whole, folder))
    assert {tensor.dtype for tensor in ours.values()} == {torch.float32}
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
