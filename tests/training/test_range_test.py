"""The learning-rate range test: rates rise as said, the suggestion lies where the loss falls, no run is left."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import Callback

import train
from training import range_test
from training.range_test import HIGHEST, LOWEST, STEPS, RangeTest, find_learning_rate, measure, rate_at
from utils.types import TrainingError

pytestmark = pytest.mark.usefixtures("plain_log")


def test_the_steepest_fall_and_the_lowest_loss_are_found() -> None:
    rates = np.geomspace(1e-6, 10, 200)
    place = np.log10(rates)
    losses = 2 - np.tanh(2 * (place + 3)) + np.exp(4 * (place + 0.5))  # falls fastest at 1e-3, then blows up
    test = RangeTest(rates, losses)
    assert test.steepest == pytest.approx(1e-3, rel=0.1)
    assert 1e-3 < test.lowest < 10**-1
    assert test.lowest == rates[losses.argmin()]
    assert (rate_at(0), rate_at(STEPS - 1)) == (LOWEST, pytest.approx(HIGHEST))


def test_the_figure_is_kept_and_no_run_is(quick: Callable, tmp_path: Path) -> None:
    config = quick(lr_scheduler="StepLR", lr_scheduler_params="{step_size: 1}")
    text = find_learning_rate(config)
    figure = Path(text.splitlines()[-1].removeprefix("figure  "))
    assert figure.is_file()
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["find-lr"]
    with figure.with_suffix(".csv").open(newline="") as file:
        rows = [(float(row["lr"]), float(row["loss"])) for row in csv.DictReader(file)]
    rates = np.array([rate for rate, _ in rows])
    assert rates == pytest.approx([rate_at(step) for step in range(len(rows))])
    suggested = float(text.partition("optimizer_params.lr=")[2].split()[0])
    assert rates.min() <= suggested <= rates.max()
    assert find_learning_rate(config) == text  # a function of the configuration alone


def test_rates_of_groups_rise_in_proportion(quick: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[float]] = []

    class Watching(range_test.RisingRate):
        def on_train_batch_start(self, trainer, *others) -> None:
            super().on_train_batch_start(trainer, *others)
            seen.append([group["lr"] for group in trainer.optimizers[0].param_groups])

    monkeypatch.setattr(range_test, "RisingRate", Watching)
    monkeypatch.setattr(range_test, "STEPS", 20)
    groups = "{head: {params: 'classifier.*', optimizer: SGD, optimizer_params: {lr: 0.1}}}"
    found = measure(quick(optimizer_groups=groups, accumulate_batches=2))
    assert len(found.rates) >= 10
    assert sorted({rest for rest, _ in seen})[: len(found.rates)] == pytest.approx(found.rates.tolist())
    assert all(head == pytest.approx(10 * rest) for rest, head in seen)


def test_a_loss_that_blows_up_at_once_is_reported(quick: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    class Exploding(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, *others) -> None:
            outputs["loss"] = torch.tensor(float("nan"))

    monkeypatch.setattr(range_test, "StepSeed", lambda seed: Exploding())
    with pytest.raises(TrainingError, match="the loss blows up within 10 steps, at a learning rate of 1e-06"):
        measure(quick())


def test_a_sweep_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--find-lr", "sweep={seeds: 2}", f"output_path={tmp_path}"]) == 2
    assert "sweep: --find-lr measures one run; leave the sweep out" in capsys.readouterr().err
