"""Metrics are exact over all samples, whatever the batches, and agree with scikit-learn."""

from __future__ import annotations

import warnings

import pytest
import torch
from sklearn import metrics as sk
from torch.nn import functional as F

from losses.contract import REJECTED
from metrics import METRICS, MONITORS, TRAINING_METRICS, lower_is_better
from metrics.classification import Tally
from utils.lookup import load_entry

N, K = 103, 7


@pytest.fixture
def judged():
    torch.manual_seed(0)
    scores, target = (
        torch.randn(N, K, dtype=torch.float64),
        torch.randint(K - 1, (N,)),
    )  # the last class never occurs as a label
    prediction = scores.argmax(dim=-1)
    prediction[::10] = REJECTED
    return scores.log_softmax(dim=-1), prediction, target


def count(judged, sizes, tally=None) -> dict[str, float]:
    tally = tally or Tally(K)
    for log_p, prediction, target in zip(*(part.split(sizes) for part in judged), strict=True):
        tally.update(F.nll_loss(log_p, target), prediction, target, log_p)
    return tally.compute()


def test_metrics_do_not_depend_on_the_batches(judged):
    whole, parts = (count(judged, sizes, Tally(K, ordered=True)) for sizes in ([N], [64, 32, 6, 1]))
    assert whole.keys() == METRICS.keys()
    for name in METRICS:
        assert parts[name] == pytest.approx(whole[name], rel=1e-6), name


def test_metrics_agree_with_scikit_learn(judged):
    log_p, prediction, target = judged
    found = count(judged, [50, 53])
    labels = sorted({*target.tolist(), *prediction.tolist()} - {REJECTED})
    options = {"labels": labels, "average": "macro", "zero_division": 0.0}
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(target, prediction))
    assert found["f1"] == pytest.approx(sk.f1_score(target, prediction, **options))
    assert found["precision"] == pytest.approx(sk.precision_score(target, prediction, **options))
    assert found["recall"] == pytest.approx(sk.recall_score(target, prediction, **options))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")  # REJECTED
        assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(target, prediction))
    assert found["cross_entropy"] == pytest.approx(
        sk.log_loss(target, log_p.exp().double(), labels=list(range(K))), rel=1e-5
    )
    assert found["top5_accuracy"] == pytest.approx(sk.top_k_accuracy_score(target, log_p, k=5, labels=list(range(K))))
    assert found["rejected"] == pytest.approx(11 / N)


def test_last_small_batch_weighs_by_its_samples():
    tally = Tally(2)
    log_p = torch.tensor([[0.5, 0.5]]).log()
    right, wrong = torch.tensor([0]), torch.tensor([1])
    tally.update(torch.tensor(1.0), right.repeat(3), right.repeat(3), log_p.repeat(3, 1))
    tally.update(torch.tensor(5.0), wrong, right, log_p)
    assert tally.compute()["accuracy"] == 0.75  # the mean of the batches' accuracies is 0.5
    assert tally.compute()["loss"] == 2.0


def test_one_off_counts_neighbours_and_no_rejected_sample():
    tally, target = Tally(4, ordered=True), torch.tensor([0, 0, 0, 0, 2, 3])
    prediction = torch.tensor([0, 1, 2, REJECTED, 3, 0])
    tally.update(torch.tensor(0.0), prediction, target, torch.zeros(6, 4))
    assert tally.compute()["one_off_accuracy"] == pytest.approx(3 / 6)
    assert "one_off_accuracy" not in Tally(4).compute()


def test_soft_labels_count_by_their_likeliest_class():
    tally = Tally(3)
    log_p = torch.tensor([[0.2, 0.5, 0.3]]).log()
    tally.update(torch.tensor(0.0), torch.tensor([1]), torch.tensor([[0.1, 0.6, 0.3]]), log_p)
    found = tally.compute()
    assert found["accuracy"] == 1.0
    assert found["cross_entropy"] == pytest.approx(-(torch.tensor([[0.1, 0.6, 0.3]]) * log_p).sum().item())


def test_training_counts_only_what_it_reports():
    tally = Tally(K, judge=False)
    tally.update(torch.tensor(2.0), torch.tensor([1, 2]), torch.tensor([1, 1]))
    assert tally.compute() == {"loss": 2.0, "accuracy": 0.5}
    assert tuple(tally.compute()) == TRAINING_METRICS


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_stay_exact_when_the_module_turns_to_half_precision(judged, dtype):
    module = torch.nn.ModuleDict({"tally": Tally(K)}).to(dtype)
    assert count(judged, [N], module["tally"]) == count(judged, [N])


def test_reset_forgets(judged):
    tally = Tally(K)
    first = count(judged, [N], tally)
    tally.reset()
    assert count(judged, [N], tally) == first


def test_reduction_sums_over_ranks(judged):
    tally, whole = Tally(K), Tally(K)
    count(judged, [N], tally)
    tally.reduce(lambda counts: counts * 2)
    count(judged, [N], whole)
    count(judged, [N], whole)
    assert tally.compute() == pytest.approx(whole.compute())


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_what_it_is_and_which_way_is_better(name):
    assert load_entry(METRICS[name]).__doc__
    assert ("lower is better" in METRICS[name].summary) == (name in ("loss", "cross_entropy"))
    assert lower_is_better(f"valid/{name}") == (name in ("loss", "cross_entropy", "rejected"))
    assert f"valid/{name}" in MONITORS
