"""Two processes of one run: losses with state see the images of all, and each keeps its own counts."""

from __future__ import annotations

import datetime
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import spawn

from losses.contract import Task
from models import build_model
from models.classifier import Classifier
from tests.losses.cases import feature_batch, make, terms_of
from training.losses import build_loss

WORLD, LIMIT = 2, datetime.timedelta(seconds=600)


def in_two_processes(work: Callable[[int], Any]) -> list[Any]:
    """Call `work(rank)` in two processes that can reach each other; return the tensors that each gives."""
    with tempfile.TemporaryDirectory() as folder:
        context = spawn(_process, (work, folder), nprocs=WORLD, join=False)
        assert context is not None
        deadline = time.monotonic() + LIMIT.total_seconds()
        while not context.join(timeout=1):
            if time.monotonic() > deadline:
                for process in filter(None, context.processes):
                    process.kill()
                raise TimeoutError(f"{work.__name__} took more than {LIMIT}")
        return [torch.load(Path(folder, f"{rank}.pt"), weights_only=True) for rank in range(WORLD)]


def _process(rank: int, work: Callable[[int], Any], folder: str) -> None:
    torch.set_num_threads(1)
    store = f"file://{Path(folder, 'store')}"
    distributed.init_process_group("gloo", store, rank=rank, world_size=WORLD, timeout=LIMIT)
    torch.save(work(rank), Path(folder, f"{rank}.pt"))
    distributed.destroy_process_group()


STATEFUL = {
    "OnlineLabelSmoothingLoss": ("OnlineLabelSmoothingLoss", {}),
    "updated every 2 steps": ("OnlineLabelSmoothingLoss", {"update_every": 2}),
    "SingleLabelSmoothingLoss": ("SingleLabelSmoothingLoss", {}),
    "CenterLoss": ("CenterLoss", {"alpha": 0.7}),
    "AngularSoftmaxLoss": ("AngularSoftmaxLoss", {}),
    "LargeMarginSoftmaxLoss": ("LargeMarginSoftmaxLoss", {}),
    "PairwiseConfusionLoss": ("PairwiseConfusionLoss", {}),
    "wrapped": ("LossTransform", {"base": "CenterLoss", "base_params": {"base": "OnlineLabelSmoothingLoss"}}),
}
NAMES = pytest.mark.parametrize("name", STATEFUL)
Trained = dict[str, tuple[dict[str, Tensor], Tensor]]


def train(part: slice) -> Trained:
    """Train every loss two epochs on its part of each batch; return states and what was minimised at each step."""
    results = {}
    for case, (name, params) in STATEFUL.items():
        loss, values = make(name, **params).double(), []
        for epoch in range(2):
            for step in range(3):
                scores, features, target = feature_batch(12)
                scores = (scores * (1 + epoch + step)).roll(step, dims=1)
                terms = terms_of(loss, scores[part], target[part], features=features[part] + step)
                values.append(torch.stack(list(terms.values())).sum().detach())
            loss.on_epoch_end()
        results[case] = (dict(loss.state_dict()), torch.stack(values))
    return results


def counts_after_a_step(rank: int) -> dict[str, Tensor]:
    """Give every rank its own counts and states, let DDP take a step forward; return all buffers."""
    torch.manual_seed(0)
    network = build_model("test_resnet", 4, 1)
    task = Task(4, 8, network.get_classifier())
    loss = build_loss("OnlineLabelSmoothingLoss", task)
    classifier = Classifier(network, loss, task, lambda weights: torch.optim.SGD(weights.values(), lr=0.1))
    with torch.no_grad():
        for buffer in classifier.buffers():
            buffer.fill_(rank + 1)
    nn.parallel.DistributedDataParallel(classifier)(torch.randn(6, 1, 16, 16))
    return dict(classifier.named_buffers())


def work(rank: int) -> tuple[Trained, dict[str, Tensor]]:
    return train(slice(rank, None, WORLD)), counts_after_a_step(rank)


@pytest.fixture(scope="module")
def results() -> list[tuple[Trained, dict[str, Tensor]]]:
    return in_two_processes(work)


@pytest.fixture(scope="module")
def ranks(results) -> list[Trained]:
    return [trained for trained, _ in results]


@pytest.fixture(scope="module")
def alone() -> Trained:
    return train(slice(None))


@NAMES
def test_state_is_the_same_in_both(ranks, name):
    (first, _), (second, _) = (trained[name] for trained in ranks)
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


@NAMES
def test_state_is_that_of_one_process_with_whole_batches(ranks, alone, name):
    expected, _ = alone[name]
    for trained in ranks:
        torch.testing.assert_close(trained[name][0], expected)


@pytest.mark.parametrize(
    "name", ["OnlineLabelSmoothingLoss", "updated every 2 steps", "SingleLabelSmoothingLoss", "CenterLoss"]
)
def test_mean_loss_is_that_of_one_process_with_whole_batches(ranks, alone, name):
    mean = torch.stack([trained[name][1] for trained in ranks]).mean(dim=0)
    torch.testing.assert_close(mean, alone[name][1])


def test_what_is_compared_has_moved(alone):
    assert (alone["CenterLoss"][0]["centers"] != 0).any()
    assert alone["OnlineLabelSmoothingLoss"][0]["soft"].std() > 0.05
    assert alone["SingleLabelSmoothingLoss"][0]["soft"].std() > 0.05
    assert alone["AngularSoftmaxLoss"][0]["steps"] == 6
    assert alone["PairwiseConfusionLoss"][0]["epochs"] == 2


def test_ddp_keeps_each_rank_s_counts_and_loss_state_and_shares_the_network_s(results):
    first, second = (counts for _, counts in results)
    own = {name for name in first if name.startswith(("train_tally.", "judge_tally.", "loss."))}
    assert {"train_tally.correct", "judge_tally.hits", "loss.sums", "loss.soft"} <= own
    for name in own:
        assert (first[name] == 1).all(), name
        assert (second[name] == 2).all(), name
    running = [name for name in first if name.endswith("num_batches_tracked")]
    assert running
    assert all(first[name] == second[name] == 2 for name in running)  # the first rank's 1, and a step
