"""The weights that a run saves are those that it validated and tested, in whatever way they come about."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from evaluation.evaluating import evaluate
from evaluation.predicting import predict
from evaluation.subject import open_subject
from models.classifier import Classifier
from runs.folder import RunFolder
from training import runner
from utils.types import ConfigError

pytestmark = pytest.mark.usefixtures("plain_log", "quiet_runs")
SMALL = {"classes": "[3,8,0,6]", "batch_size": 64}
MARGIN = {"loss_function": "AngularSoftmaxLoss", "ema_decay": 0.9}
RUNS = {
    "average of a margin loss": MARGIN,
    "average of a wrapped one": {
        "loss_function": "CenterLoss",
        "loss_params": "{base: LargeMarginSoftmaxLoss}",
        "ema_decay": 0.9,
    },
    "accumulated": MARGIN | {"accumulate_batches": 2},
    "bf16-mixed": {"precision": "bf16-mixed", "image_size": 32},
    "average of bf16-mixed": {"precision": "bf16-mixed", "image_size": 32} | MARGIN,
    "bf16-true": {"precision": "bf16-true", "image_size": 32},
    "average of bf16-true": {"precision": "bf16-true", "image_size": 32} | MARGIN,
    "64-true": {"precision": "64-true"},
}


def numbers(folder: RunFolder, part: str) -> dict[str, float]:
    """Return what the selected weights answer to a part, as metrics.csv and summary.json name it."""
    answers = open_subject(folder.path, part).answers
    nll = torch.nn.functional.nll_loss(answers.log_probabilities.double(), answers.target)
    return {f"{part}/accuracy": answers.right.double().mean().item(), f"{part}/cross_entropy": nll.item()}


@pytest.mark.parametrize("changes", RUNS.values(), ids=RUNS)
def test_evaluated_again_they_give_the_recorded_numbers(quick, changes):
    folder, summary = runner.train(quick(**(SMALL | changes)))
    row = folder.read_metrics()[int(summary["selected_epoch"])]
    for recorded, part in ((row, "valid"), (summary, "test")):
        for name, value in numbers(folder, part).items():
            assert value == pytest.approx(recorded[name], rel=1e-6), name


def test_pictures_have_the_classes_of_the_test_and_the_report_names_the_precision(quick, tmp_path):
    folder, _ = runner.train(quick(precision="bf16-mixed", image_size=32, **SMALL))
    subject = open_subject(folder.path)
    answers = subject.answers
    table = pq.read_table(folder.predictions).to_pydict()
    assert answers.index.tolist() == table["index"]
    assert answers.prediction.tolist() == table["prediction"]
    images = np.asarray(subject.part.stream.table.images)
    paths = [tmp_path / f"{number:03}.png" for number in range(60)]
    for number, path in enumerate(paths):
        Image.fromarray(images[number].squeeze()).save(path)
    pictures = predict(subject, paths, top=1).images
    assert [each.guess.name for each in pictures] == [subject.classes[k] for k in table["prediction"][:60]]
    record = evaluate(subject, only=["classification"], echo=lambda text: None)
    assert record.facts["precision"] == "bf16-mixed"
    assert ", bf16-mixed, " in (folder.evaluation / "report.html").read_text()
    other = open_subject(folder.path, "test", ["precision=32-true"])
    assert evaluate(other, only=["classification"], echo=lambda text: None).facts["precision"] == "32-true"
    assert not torch.equal(other.answers.scores, answers.scores)


def test_every_evaluation_of_a_bf16_run_works(quick):
    for precision in ("bf16-mixed", "bf16-true"):
        few = {"num_epochs": 1, "evaluate_params": "{attacks: {curve: false, iterations: 2}}"}
        folder, _ = runner.train(quick(**few, precision=precision, image_size=32, **SMALL))
        subject = open_subject(folder.path)
        record = evaluate(subject, only=["classification", "grad_cam", "attacks"], echo=lambda text: None)
        found = {name: record.evaluated[name].findings.numbers["accuracy"] for name in ("attacks", "classification")}
        assert found["attacks"] == found["classification"]


@pytest.mark.parametrize("script", ["evaluate", "predict"])
def test_an_accelerator_that_is_not_there_is_refused_as_in_training(quick, tmp_path, capsys, script):
    folder, _ = runner.train(quick(num_epochs=1, **SMALL))
    with pytest.raises(ConfigError) as refusal:
        runner.train(quick(num_epochs=1, **SMALL, accelerator="tpu", seed=1))
    Image.new("L", (8, 8)).save(tmp_path / "picture.png")
    words = [str(folder.path)] if script == "evaluate" else [str(tmp_path / "picture.png"), "--run", str(folder.path)]
    capsys.readouterr()  # what training warned of
    assert importlib.import_module(script).main([*words, "accelerator=tpu"]) == 2
    assert capsys.readouterr().err.strip() == str(refusal.value).strip()
    assert not folder.evaluation.exists()


@pytest.mark.parametrize("monitor", ["valid/loss", "valid/accuracy"])
def test_a_monitor_that_is_nan_at_first_is_beaten_by_any_number(quick, monkeypatch, monitor):
    original, part = Classifier._publish, monitor.rpartition("/")[2]

    def publish(self, split, tally):
        compute = tally.compute
        first = split == "valid" and self.trainer.current_epoch == 0
        with monkeypatch.context() as patch:
            patch.setattr(tally, "compute", lambda: compute() | ({part: math.nan} if first else {}))
            original(self, split, tally)

    monkeypatch.setattr(Classifier, "_publish", publish)
    plateau = f"{{monitor: {monitor}, patience: 0, factor: 0.5}}"
    schedule = {"lr_scheduler": "ReduceLROnPlateau", "lr_scheduler_params": plateau}
    folder, summary = runner.train(quick(monitor=monitor, early_stopping_patience=2, **SMALL, **schedule))
    first, second = folder.read_metrics()
    assert math.isnan(first[monitor])
    assert (summary["selected_epoch"], summary[monitor]) == (1, second[monitor])
    assert second["learning_rate"] == first["learning_rate"] / 2
