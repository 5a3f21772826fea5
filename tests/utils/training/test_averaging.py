"""An average of the weights follows its formula, is what is judged, and leaves training alone."""

from __future__ import annotations

import pytest
import torch

from utils.checkpoints import load_checkpoint
from utils.training import runner
from utils.training.averaging import WeightAverage
from utils.training.callbacks import RunRecord

pytestmark = pytest.mark.usefixtures("plain_log")


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
    folder, _ = runner.train(quick(num_epochs=1, ema_decay=0.5, accumulate_batches=accumulate))
    stepped = steps[accumulate - 1 :: accumulate] + (steps[-1:] if len(steps) % accumulate else [])
    known = load_checkpoint(folder.best)["state_dict"]
    for name in stepped[0]:
        assert known[name].shape == stepped[0][name].shape
    average = initial_weights(quick, accumulate)
    for number, weights in enumerate(stepped, start=1):
        decay = min(0.5, (1 + number) / (10 + number))
        average = {name: decay * average[name] + (1 - decay) * weights[name] for name in weights}
    for name, tensor in average.items():
        torch.testing.assert_close(known[name], tensor, rtol=1e-5, atol=1e-6)


def initial_weights(quick, accumulate) -> dict[str, torch.Tensor]:
    from utils.training.building import prepare

    network = prepare(quick(num_epochs=1, ema_decay=0.5, accumulate_batches=accumulate)).classifier.network
    return {f"network.{name}": tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()}


def test_averaging_does_not_change_the_training(quick, tmp_path):
    plain, averaged = (
        load_checkpoint(runner.train(quick(output_path=tmp_path / str(decay), ema_decay=decay))[0].last)["state_dict"]
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
    folder, _ = runner.train(quick(num_epochs=1, ema_decay=0.9))
    (weights, judged), (average, trained) = seen
    assert torch.equal(judged, average)
    assert torch.equal(weights, trained)
    assert not torch.equal(average, trained)
    assert torch.equal(load_checkpoint(folder.best)["state_dict"]["network.fc.weight"], average)
    assert torch.equal(load_checkpoint(folder.last)["state_dict"]["network.fc.weight"], trained)
