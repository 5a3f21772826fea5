"""Settings in pairs: every value of a setting meets every value of every other one, and the promises hold."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from allpairspy import AllPairs
from PIL import Image
from torch.nn import functional as F

import compare
from configuration.schema import Configuration
from evaluation.after_training import AFTER_TRAINING
from evaluation.predicting import predict
from evaluation.record import read_record
from evaluation.subject import Subject, open_subject
from losses.contract import REJECTED, Sequences
from models.classifier import Classifier
from runs.folder import RunFolder
from sweeps.callbacks import Pruning
from sweeps.cells import load_sweep
from sweeps.execution import run_here
from sweeps.jobs import Shard
from sweeps.search import SearchJobs
from sweeps.worker import train_cell
from tests.own_example import write_example
from tests.training.resuming import Died, after_each_save, differences
from training import runner

pytestmark = [
    pytest.mark.usefixtures("plain_log"),
    # Lightning hands plain schedulers to torch before the first step; the nested ones of torch pass an epoch on.
    pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step:UserWarning"),
]

BASE = {"classes": "[0,1,2]", "batch_size": "96", "num_epochs": "3", "dropout": "0.3", "num_workers": "0"}
"""Of `quick`: 5 steps an epoch, the last of them of fewer images."""
FROM_IMAGES = {"architecture": "airbench", "architecture_params": "{widths: [8, 8]}"}
THREE_HEADS = {"architecture": "dfl_cnn", "architecture_params": "{body: resnet20_basic, filters: 2}"}
DESTROYED = {"architecture": "dcl", "architecture_params": "{body: resnet20_basic, grid: 3}"}
TEXTS = {
    "dataset": "made_up",
    "data_params": "{like: plates, num_classes: 3}",
    "classes": "null",
    "architecture": "lprnet_small",
    "convert_to_grayscale": "false",
    "batch_size": "8",
}
MARGINS = "lambda_min: 1, lambda_max: 6"

SETTINGS: dict[str, dict[str, dict[str, str]]] = {
    "loss": {
        "plain": {},
        "head": {"loss_function": "AngularSoftmaxLoss"},
        "lowest score": {"loss_function": "OneSidedMarginLoss", "loss_params": f"{{{MARGINS}}}"},
        "one score": {"loss_function": "BinaryOneSidedMarginLoss", "loss_params": f"{{{MARGINS}}}", "classes": "[3,8]"},
        "own": {"loss_function": "OWN/my_losses.py:PolyLoss", "loss_params": "{epsilon: 2}"},
        "state": {"loss_function": "OnlineLabelSmoothingLoss", "loss_params": "{update_every: 2}"},
        "random": {"loss_function": "DisturbLabelLoss"},
        "class counts": {"loss_function": "LDAMLoss", "loss_params": "{defer: 0.5}"},
        "memory of images": {"loss_function": "EarlyLearningRegularizationLoss"},
        "validation": {"loss_function": "AdaFocalLoss"},
        "two views": {"loss_function": "DataDistortionDistillationLoss"},
        "repeated": {"loss_function": "LossTransform", "loss_params": "{views: 2, repeated_sampling: true}"},
        "balanced": {"loss_function": "TripletLoss"},
        "stages": {"loss_function": "BeYourOwnTeacherLoss"},
        "wrapped": {
            "loss_function": "CenterLoss",
            "loss_params": f"{{base: OneSidedMarginLoss, base_params: {{{MARGINS}}}}}",
        },
        "wrapped head": {"loss_function": "CenterLoss", "loss_params": "{base: LargeMarginSoftmaxLoss}"},
        "texts": TEXTS | {"loss_function": "ConnectionistTemporalLoss"},
        "texts, lowest score": TEXTS | {"loss_function": "OneSidedMarginCTCLoss"},
    },
    "average": {"none": {}, "ema": {"ema_decay": "0.9"}},
    "precision": {
        "float32": {},
        "bf16-mixed": {"precision": "bf16-mixed", "image_size": "32"},  # NaN from convolutions of maps of one pixel
        "bf16-true": {"precision": "bf16-true", "image_size": "32"},
    },
    "accumulation": {"none": {}, "two": {"accumulate_batches": "2"}},
    "clipping": {"none": {}, "norm": {"gradient_clip_norm": "0.5"}},
    "optimizer": {
        "AdamW": {},
        "SGD": {"optimizer": "SGD", "optimizer_params": "{lr: 0.01, momentum: 0.9, nesterov: true}"},
        "timm": {"optimizer": "Lion", "optimizer_params": "{lr: 0.001}"},
    },
    "groups": {
        "none": {},
        "three, looking ahead": {
            "optimizer_groups": "{biases: {params: '*.bias', optimizer: SGD, optimizer_params: {lr: 0.01}}, "
            "early: {params: ['conv1.*', 'stages.0.*'], epochs: 1}, head: {params: 'classifier.*', optimizer: Muon}}",
            "lookahead": "{k: 2}",
        },
        "frozen, rates by layer": {"freeze": "'*.bias'", "layer_decay": "0.8", "decay_norms_and_biases": "false"},
    },
    "schedule": {
        "none": {},
        "per epoch": {"lr_scheduler": "StepLR", "lr_scheduler_params": "{step_size: 1, gamma: 0.5}"},
        "in turn": {
            "lr_scheduler": "SequentialLR",
            "lr_scheduler_params": "{schedulers: [{CosineWarmupRestarts: {period: 1}}, "
            "{OneCycleLR: {max_lr: 0.02, cycle_momentum: false}}], "
            "milestones: [1]}",
        },
        "plateau": {"lr_scheduler": "ReduceLROnPlateau", "lr_scheduler_params": "{patience: 0, threshold: 0.5}"},
    },
    "mixing": {
        "none": {},
        "MixUp": {"mixing": "MixUp"},
        "CutMix": {"mixing": "CutMix"},
        "either": {"mixing": "[CutMix, MixUp]"},
    },
    "noise": {"none": {}, "drawn": {"label_noise": "0.2"}},
    "weights": {"none": {}, "balanced": {"class_weights": "balanced"}},
    "tail": {"none": {}, "long": {"data_params": "{imbalance: 3}"}},
    "selection": {"valid": {}, "test": {"select_on": "test"}},
    "monitor": {"accuracy": {}, "cross entropy": {"monitor": "valid/cross_entropy"}, "loss": {"monitor": "valid/loss"}},
    "stopping": {"none": {}, "patience": {"early_stopping_patience": "1"}},
    "images": {
        "plain": {},
        "fused": {"augment_images": "true", "image_augmentations": "{RandomAffine: {degrees: 10}}"},
        "torchvision": {
            "augment_backend": "torchvision",
            "augment_images": "true",
            "image_augmentations": "{RandomAffine: {degrees: 10}}",
        },
        "alternating": {"augment_images": "true", "image_augmentations": "{AlternatingFlip: {}}"},
    },
    "tensors": {
        "plain": {},
        "erased": {"augment_tensors": "true", "tensor_augmentations": "{RandomErasing: {p: 0.5}}"},
        "own": {"augment_tensors": "true", "tensor_augmentations": "{'OWN/my_parts.py:Shift': {pixels: 1}}"},
    },
    "normalisation": {"on": {}, "off": {"normalize": "false"}},
    "workers": {"none": {}, "two": {"num_workers": "2"}},
    "network": {
        "resnet": {},
        "from images": FROM_IMAGES,
        "own": {"architecture": "OWN/my_parts.py:tiny_net"},
        "destroyed": DESTROYED,
    },
    "layout": {"channels last": {}, "contiguous": {"channels_last": "false"}},
    "compilation": {"none": {}, "compiled": {"compile": "true"}},
    "cache": {"memory": {"cache": "memory"}, "disk": {"cache": "disk"}},
    "saves": {"epochs": {}, "steps": {"checkpoint_every_steps": "2"}},
    "kept": {"selected": {}, "all": {"keep_epochs": "all"}},
    "dropout": {"some": {}, "none": {"dropout": "null"}},
    "seed": {"zero": {}, "one": {"seed": "1"}},
    "validation": {"tenth": {"valid_fraction": "0.1"}, "third": {"valid_fraction": "0.3"}},
    "trackers": {"none": {}, "tensorboard": {"trackers": "[tensorboard]"}},
    "run": {
        "alone": {},
        "in a sweep": {"sweep": "{seeds: [3]}"},
        "as a trial": {
            "sweep": "{seeds: [3], search: {ranges: {optimizer_params.weight_decay: {uniform: [0, 0.1]}}, trials: 1}}"
        },
    },
    "end": {"plain": {}, "evaluated": {"evaluate": "[classification]"}},
}
HARD_LABELS = ("head", "balanced", "wrapped head", "texts", "texts, lowest score")
"""Losses that take no soft labels."""
OF_ONE_HEAD = ("head", "one score", "stages", "wrapped", "wrapped head", "texts", "texts, lowest score")
"""Losses with a last layer of their own, or that read the features of the network's."""


def fits(values: list[str]) -> bool:
    """Return whether the first values of a row, one of each setting, make a run that is allowed."""
    row = dict(zip(SETTINGS, values, strict=False))
    texts = row["loss"].startswith("texts")
    return not (
        (row["loss"] in HARD_LABELS and row.get("mixing", "none") != "none")
        or (texts and row.get("noise", "none") != "none")
        or (texts and row.get("network", "resnet") != "resnet")
        or (row["loss"] == "stages" and row.get("network", "resnet") != "resnet")  # which have two, or one
        or (texts and row.get("tail", "none") != "none")
        or (texts and row.get("weights", "none") != "none")
        or (row.get("network") == "destroyed" and row["loss"] in OF_ONE_HEAD)
        or (row.get("network") == "destroyed" and (row["loss"] == "two views" or row.get("mixing", "none") != "none"))
        or (row["loss"] == "repeated" and row.get("network") == "destroyed")  # which takes views, too
        or (texts and row.get("precision", "float32") != "float32")  # `image_size` of the plates is their own
    )


PLAIN = {name: next(iter(values)) for name, values in SETTINGS.items()}
PAIRS = [
    {one: first, other: second}
    for one, other in itertools.combinations(SETTINGS, 2)
    for first, second in itertools.product(SETTINGS[one], SETTINGS[other])
    if fits([*(PLAIN | {one: first, other: second}).values()])
]
TABLE = [
    dict(zip(SETTINGS, row, strict=True))
    for row in AllPairs([list(values) for values in SETTINGS.values()], filter_func=fits)
]
LOST: list[dict[str, str]] = []
"""Rows of the pairs that the filter has cost, as many in each as fit together."""
for pair in PAIRS:
    if not any(pair.items() <= row.items() for row in TABLE):
        together = (row for row in LOST if row | pair == pair | row and fits([*(PLAIN | row | pair).values()]))
        row = next(together, None)
        if row is None:
            LOST.append(dict(pair))
        else:
            row |= pair
TABLE += [PLAIN | row for row in LOST]
IN_EVERY_RUN = 8
"""Rows that the everyday tests take; the long ones take all."""


def test_few_rows_hold_all_pairs_that_are_allowed() -> None:
    assert len(TABLE) <= 80
    assert len(PAIRS) > 2000
    assert all(any(pair.items() <= row.items() for row in TABLE) for pair in PAIRS)


@pytest.fixture(autouse=True)
def traced_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile by tracing alone, which is where a compiled network's answers could differ."""
    torch.compiler.reset()  # what other rows have compiled
    compile_network = Classifier.compile
    monkeypatch.setattr(Classifier, "compile", lambda self: compile_network(self, backend="eager"))


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, marks=[] if number < IN_EVERY_RUN else pytest.mark.torture) for number, row in enumerate(TABLE)],
    ids=[f"{number}-{row['loss']}" for number, row in enumerate(TABLE)],
)
def test_promises_hold(row: dict[str, str], quick: Callable[..., Configuration], tmp_path: Path, capsys: Any) -> None:
    changes = dict(BASE)
    for name, value in row.items():
        changes |= SETTINGS[name][value]
    judge = "reading" if row["loss"].startswith("texts") else "classification"
    own = str(write_example(tmp_path / "own"))
    changes = {key: value.replace("classification", judge).replace("OWN", own) for key, value in changes.items()}
    folder, summary = train(quick(output_path=tmp_path / "whole", **changes))
    check_selected_weights(folder, changes.get("select_on", "valid"))
    check_recorded_test(folder, summary)
    check_predicted_images(folder, tmp_path)
    check_compared_number(folder, summary, tmp_path, capsys)
    if "evaluate" in changes:
        record = read_record(folder.evaluation)
        assert record is not None
        assert record.evaluated[judge].findings.numbers["accuracy"] == pytest.approx(summary["test/accuracy"], abs=1e-6)
    check_resumed_run(folder, lambda: quick(output_path=tmp_path / "resumed", **changes))


def train(config: Configuration) -> tuple[RunFolder, dict[str, Any]]:
    """Train a run, as the one run of a sweep or as a trial of a search where the configuration has such."""
    if config.sweep is None:
        return runner.train(config, sequel=AFTER_TRAINING)
    sweep = load_sweep(config)
    if "search" in config.sweep:
        job = SearchJobs(sweep).next()
        assert job is not None
        assert job.trial is not None
        outcome = train_cell(job.cell(sweep), callbacks=[Pruning(sweep, job.trial)])
    else:
        (outcome,) = run_here(sweep, Shard())
    assert outcome.folder is not None, outcome.reason
    assert outcome.summary is not None
    return RunFolder(outcome.folder), outcome.summary


def check_selected_weights(folder: RunFolder, select_on: str) -> None:
    """Check that the saved weights, evaluated again, give the selected epoch's row of metrics.csv."""
    subject = open_subject(folder.path, select_on)
    (row,) = (each for each in folder.read_metrics() if each["epoch"] == subject.epoch)
    assert measured(subject) == pytest.approx(
        {name: row[f"valid/{name}"] for name in ("accuracy", "loss", "cross_entropy")}, abs=1e-6, rel=1e-6
    )


def check_recorded_test(folder: RunFolder, summary: dict[str, Any]) -> None:
    """Check that evaluating on the test images gives the numbers of summary.json."""
    found = measured(open_subject(folder.path))
    assert found == pytest.approx({name: summary[f"test/{name}"] for name in found}, abs=1e-6, rel=1e-6)


def measured(subject: Subject) -> dict[str, float]:
    """Return accuracy, loss and cross entropy of a part, counted by what `Subject` answers."""
    answers = subject.answers
    prediction, target = answers.prediction, answers.target
    if target.ndim == 2:  # texts, which are right as wholes; REJECTED stands behind both
        width = max(target.shape[1], prediction.shape[1])
        prediction, target = (F.pad(each, (0, width - each.shape[1]), value=REJECTED) for each in (prediction, target))
    right = (prediction == target).reshape(len(target), -1).all(dim=1)
    loss, cost, entropy = subject.classifier.loss, 0.0, 0.0
    with torch.no_grad():
        for batch in subject.batches(subject.part.stream, "again"):
            scores = subject.classifier(batch.image[:, 0]).scores
            cost += float(loss(scores, batch.target)) * len(batch.image)
            entropy += float(cross_entropy(loss.log_probabilities(scores), batch.target)) * len(batch.image)
    return {"accuracy": float(right.double().mean()), "loss": cost / len(right), "cross_entropy": entropy / len(right)}


def cross_entropy(log_probabilities: torch.Tensor, target: Any) -> torch.Tensor:
    """Return the mean of -log p(label), of texts by CTC. Shapes: [B, K] and [B], or [B, T, K + 1] and texts."""
    if not isinstance(target, Sequences):
        return F.nll_loss(log_probabilities, target)
    steps = torch.full((len(target.lengths),), log_probabilities.shape[1])
    by_text = F.ctc_loss(
        log_probabilities.transpose(0, 1), target.labels, steps, target.lengths, log_probabilities.shape[2] - 1, "none"
    )
    return by_text.mean()


def check_predicted_images(folder: RunFolder, tmp_path: Path) -> None:
    """Check that predict.py gives files of the test images the classes of predictions.parquet."""
    subject = open_subject(folder.path)
    rows = pq.read_table(folder.predictions).to_pydict()
    files = []
    for place in range(8):
        pixels = np.asarray(subject.original_images([place])[0])
        files.append(tmp_path / f"{place}.png")
        Image.fromarray(pixels.squeeze()).save(files[-1])
    guesses = [each.guess.name or "" for each in predict(subject, files, top=1).images]
    recorded = [name if isinstance(name, str) else subject.classes[name] for name in rows["prediction"][:8]]
    assert guesses == recorded


def check_compared_number(folder: RunFolder, summary: dict[str, Any], tmp_path: Path, capsys: Any) -> None:
    """Check that compare.py shows the number of summary.json."""
    capsys.readouterr()
    assert compare.main([str(folder.path), "--runs-csv", str(tmp_path / "runs.csv")]) == 0
    assert f"{100 * summary['test/accuracy']:.2f}" in capsys.readouterr().out
    with (tmp_path / "runs.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    assert float(line["test/accuracy"]) == summary["test/accuracy"]


def check_resumed_run(whole: RunFolder, read: Callable[[], Configuration]) -> None:
    """Check that a run that dies after its second save ends as if it had not."""
    saves: list[int] = []

    def die(points: Any) -> None:
        saves.append(len(saves))
        if len(saves) == 2:
            raise Died

    with pytest.MonkeyPatch.context() as patch:
        after_each_save(patch, die)
        with pytest.raises(Died):
            train(read())
    resumed, _ = train(read())
    assert differences(whole, resumed) == []
