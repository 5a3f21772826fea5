"""A run from its configuration to what it leaves on the disk."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from msgspec import structs
from torch.utils.data import default_collate

import datasets
import train
from configuration.reading import read_configuration
from datasets import build_dataset, data_module
from datasets.stream.sampling import EpochBatches
from losses.contract import Batch
from losses.focal import FocalLoss
from losses.torch_losses import TorchLoss
from models.classifier import Classifier
from runs.checkpoints import load_checkpoint
from runs.folder import RunFolder
from tests.conftest import pictures, read_quick
from training import building, callbacks, runner
from training.trainer import build_lightning
from utils.types import ConfigError, DataError, TrainingError

pytestmark = pytest.mark.usefixtures("plain_log")

ROOT = Path(__file__).resolve().parents[2]
SUMMARY = {
    *("test/accuracy", "test/loss", "test/cross_entropy", "valid/accuracy", "selected_epoch", "selected_on"),
    *("num_parameters", "multiply_adds", "seconds", "images_per_second", "waiting_share", "seed", "fingerprint"),
}
FEW = {"classes": "[0,1]", "num_epochs": 1}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[RunFolder, dict]:
    """One run of the digits, three epochs, with everything on."""
    folder = tmp_path_factory.mktemp("finished")
    changes = {"num_epochs": 3, "trackers": "[mlflow]", "tags": "[a, b]", "notes": "a test", "dropout": 0.1}
    changes |= {"augment_images": "true", "image_augmentations": "{RandomAffine: {degrees: 5}}"}
    changes |= {"lr_scheduler": "StepLR", "lr_scheduler_params": "{step_size: 2}", "keep_checkpoints": "best"}
    config = read_quick(folder, **changes)
    with pictures():
        return runner.train(structs.replace(config, neptune_api_token="marked-secret-token"))


def test_run_folder_holds_what_the_design_says(finished):
    folder, _ = finished
    names = {path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*") if path.is_file()}
    assert names >= {
        *("config.yml", "classes.json", "environment.json", "metrics.csv", "summary.json", "predictions.parquet"),
        *("checkpoints/best.ckpt", "curves.png", "augmentations.png", "confusion.png"),
    }
    assert not folder.last.exists()
    assert folder.path.name.startswith("digits-test_resnet-CrossEntropyLoss-s0-")
    assert not [name for name in names if name.endswith(".tmp")]


def test_summary_has_its_keys_and_repeats_the_file(finished):
    folder, summary = finished
    assert summary.keys() >= SUMMARY
    assert json.loads(folder.summary.read_text()) == json.loads(json.dumps(summary))
    assert summary["selected_on"] == "valid"
    assert summary["test/accuracy"] > 0.8
    assert summary["images_per_second"] > 0
    assert 0 < summary["waiting_share"] < 1
    assert folder.path.name.endswith(summary["fingerprint"])


def test_predictions_agree_with_the_summary_to_the_last_digit(finished):
    folder, summary = finished
    table = pq.read_table(folder.predictions).to_pydict()
    right = sum(p == t for p, t in zip(table["prediction"], table["target"], strict=True))
    assert summary["test/accuracy"] == right / len(table["target"])
    assert table["index"] == list(range(359))
    scores = torch.tensor(table["scores"])
    assert scores.argmax(dim=-1).tolist() == table["prediction"]
    target = torch.tensor(table["target"])
    expected = torch.nn.functional.cross_entropy(scores.double(), target)
    assert summary["test/cross_entropy"] == pytest.approx(float(expected), rel=1e-5)


def test_metrics_have_one_row_an_epoch_and_the_best_is_selected(finished):
    folder, summary = finished
    rows = folder.read_metrics()
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert rows[0]["learning_rate"] == 0.01
    assert rows[2]["learning_rate"] == pytest.approx(0.001)
    best = max(row["valid/accuracy"] for row in rows)
    last_best = max(row["epoch"] for row in rows if row["valid/accuracy"] == best)
    assert (summary["valid/accuracy"], summary["selected_epoch"]) == (best, last_best)
    assert load_checkpoint(folder.best)["epoch"] == last_best


def test_saved_configuration_is_the_run_s_and_keeps_no_secret(finished):
    folder, _ = finished
    again = read_configuration(str(folder.config))
    assert again.architecture == "test_resnet"
    assert again.lr_scheduler_params == {"step_size": 2}
    for path in folder.path.parent.rglob("*"):
        if path.is_file():
            assert b"marked-secret-token" not in path.read_bytes(), path


def test_mlflow_shows_the_columns_of_the_thesis(finished):
    from mlflow.tracking import MlflowClient

    folder, summary = finished
    client = MlflowClient(f"sqlite:///{folder.path.parent / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("lossbench")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params.keys() >= {
        *("runtime", "architecture", "image_size", "batch_size", "num_parameters", "convert_to_grayscale"),
        *("normalize", "crop_to_bboxes", "augment_images", "augment_tensors", "loss_function", "optimizer", "lr"),
        *("weight_decay", "lr_scheduler", "dropout", "last_layer_size"),
    }
    assert run.data.metrics["epochs_run"] == 3
    assert run.data.metrics["test/accuracy"] == summary["test/accuracy"]
    for name in ("best/train_loss", "best/valid_loss", "best/train_accuracy", "best/valid_accuracy"):
        assert run.data.metrics[name] == summary[name]
    assert run.data.tags["tags"] == "a, b"
    assert run.data.tags["mlflow.note.content"] == "a test"
    history = client.get_metric_history(run.info.run_id, "valid/accuracy")
    assert [(point.step, point.value) for point in history] == [
        (row["epoch"], row["valid/accuracy"]) for row in folder.read_metrics()
    ]
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"summary.json", "curves.png"}


def first_steps(config) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the initial weights and the first epoch's batches."""
    prepared = building.prepare(config)
    weights = [value.clone() for value in prepared.classifier.network.state_dict().values()]
    stream = prepared.data.train_stream
    batches = EpochBatches(len(stream), config.batch_size, config.seed)
    return weights, [stream[key].image for batch in list(batches)[:1] for key in batch]


def test_all_losses_see_the_same_weights_batches_and_pixels(quick):
    augment = {"augment_images": "true", "image_augmentations": "{RandomAffine: {degrees: 25}}"}
    losses = ("CrossEntropyLoss", "OneSidedMarginLoss", "LabelSmoothingCrossEntropy")
    runs = [first_steps(quick(loss_function=name, **augment)) for name in losses]
    for name, (weights, pixels) in zip(losses[1:], runs[1:], strict=True):
        same = [torch.equal(a, b) for a, b in zip(weights, runs[0][0], strict=True)]
        assert all(same) or (name == "OneSidedMarginLoss" and same.count(False) == 1)  # its last layer's bias
        assert all(torch.equal(a, b) for a, b in zip(pixels, runs[0][1], strict=True))
    other, _ = first_steps(quick(seed=1, **augment))
    assert not all(torch.equal(a, b) for a, b in zip(other, runs[0][0], strict=True))


def test_workers_do_not_change_a_run(quick, tmp_path):
    weights = []
    for workers in (0, 2):
        place = {"num_workers": workers, "output_path": tmp_path / str(workers)}
        folder, _ = runner.train(quick(**FEW, **place, dropout=0.2))
        weights.append(load_checkpoint(folder.best)["state_dict"])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_finished_run_is_not_trained_again_and_fresh_trains_beside_it(quick, trained, caplog):
    first = trained(**FEW)
    summary, made = first.read_summary(), first.best.stat().st_mtime_ns
    assert runner.train(quick(**FEW, num_workers=1, tags="[x]")) == (first, summary)
    assert first.best.stat().st_mtime_ns == made
    assert "this run is finished" in caplog.text
    fresh, repeated = runner.train(quick(**FEW), fresh=True)
    assert fresh.path.name == f"{first.path.name}-2"
    assert repeated["test/loss"] == summary["test/loss"]


MIXED = {"mixing": "CutMix", "mixing_params": "{probability: 1.0}", "label_noise": 0.2}


class Observed(Exception):
    """Ends a run that has shown what it was to show."""


def observe_training(monkeypatch, steps: int) -> list[Batch]:
    """Return the list that the batches of training steps will stand in."""
    seen: list[Batch] = []

    def observe(self, batch, batch_idx):
        seen.append(batch)
        if len(seen) == steps:
            raise Observed
        return original(self, batch, batch_idx)

    original = Classifier.training_step
    monkeypatch.setattr(Classifier, "training_step", observe)
    return seen


def test_training_batches_are_mixed_and_those_of_evaluation_are_not(quick, monkeypatch):
    judged = []
    original = Classifier._judge
    monkeypatch.setattr(Classifier, "_judge", lambda self, batch: judged.append(batch) or original(self, batch))
    config = quick(**MIXED)
    seen = observe_training(monkeypatch, 13)
    with pytest.raises(Observed):
        runner.train(config)
    data = building.prepare(config).data
    for epoch, step, batch in ((0, 0, seen[0]), (0, 10, seen[10]), (1, 1, seen[12])):
        batches = data.epoch_batches()
        batches.epoch = epoch
        plain = default_collate([data.train_stream[key] for key in list(batches)[step]])
        expected = data.mix(plain, plain.index, epoch, step)
        assert torch.equal(expected.image, batch.image)
        assert torch.equal(expected.target, batch.target)  # type: ignore[arg-type]
        assert not torch.equal(plain.image, batch.image)
    assert judged
    assert all(batch.target.ndim == 1 for batch in judged)


def wrong_labels(folder: RunFolder) -> list[tuple[int, int, int]]:
    with folder.label_noise.open(newline="") as file:
        return [(int(row["index"]), int(row["true_label"]), int(row["trained_label"])) for row in csv.DictReader(file)]


def test_a_noisy_run_says_which_labels_were_wrong(quick, caplog):
    folder, summary = runner.train(quick(num_epochs=1, label_noise=0.3))
    data = building.prepare(quick(label_noise=0.3)).data
    places = [data.wrong_rows, data.data.train.labels[data.wrong_rows], data.train_table.labels[data.wrong_rows]]
    assert wrong_labels(folder) == [*zip(*(each.tolist() for each in places), strict=True)]
    assert len(data.wrong_rows) == summary["wrong_labels"] == round(0.3 * 1294)
    assert summary["label_noise"] == 0.3
    assert "388 of 1,294 training labels replaced by another class (label_noise: 0.3)" in caplog.text


def test_a_run_with_noisy_labels_says_which_were_wrong(quick, tmp_path, caplog):
    true = building.prepare(quick()).data.data.train.labels
    np.savez(tmp_path / "human.npz", clean_label=true, worse_label=np.where(np.arange(len(true)) < 100, 9, true))
    changes = {"noisy_labels": tmp_path / "human.npz", "noisy_labels_name": "worse_label"}
    folder, summary = runner.train(quick(num_epochs=1, **changes))
    rows = wrong_labels(folder)
    assert {(label, trained) for _, label, trained in rows} == {(true[index], 9) for index, _, _ in rows}
    assert len(rows) == summary["wrong_labels"] > 60
    assert (summary["label_noise"], summary["noisy_labels"]) == (0.0, "human.npz, worse_label")
    assert f"{len(rows)} of 1,294 training labels wrong (noisy_labels: human.npz, worse_label)" in caplog.text


def test_a_clean_run_leaves_no_list_of_wrong_labels(finished):
    folder, summary = finished
    assert not folder.label_noise.exists()
    assert (summary["label_noise"], summary["wrong_labels"], summary["mixing"]) == (0.0, 0, None)


def test_cutout_reaches_the_network(quick):
    chain = {"augment_tensors": "true", "tensor_augmentations": "{CutOut: {length: 4}}"}
    image = building.prepare(quick(**chain)).data.train_stream[(0, 0)].image
    assert 4 <= (image == 0).sum() <= 16


def test_too_small_a_batch_for_the_loss_s_groups_is_told_before_training(quick, monkeypatch):
    monkeypatch.setattr(TorchLoss, "sampling", "class_balanced")
    monkeypatch.setattr(TorchLoss, "samples_per_class", 8)
    with pytest.raises(ConfigError, match="command line: batch_size: must be >= 16, got 8"):
        building.prepare(quick(batch_size=8, devices=2))


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(quick):
    with pytest.raises(TrainingError, match=r"not finite in epoch 1, step \d+ of 11 \(step \d+ of the run") as stopped:
        runner.train(quick(optimizer="SGD", optimizer_params="{lr: 1e30}"))
    assert "checkpoints" not in str(stopped.value)  # there are none
    late = {"lr_scheduler": "LambdaLR", "lr_scheduler_params": "{lr_lambda: {0: 1e-33, 1: 1.0}}"}
    with pytest.raises(TrainingError, match=r"in epoch 2, .*\n.*The checkpoints of the epochs before are intact\.$"):
        runner.train(quick(optimizer="SGD", optimizer_params="{lr: 1e30}", **late))


def test_weights_that_the_last_step_of_an_epoch_has_ruined_stop_the_run(quick):
    """Its own loss was finite, and no other training loss follows."""
    with pytest.raises(TrainingError, match=r"NaN after epoch 1, which is selected\.\nTry a smaller"):
        runner.train(quick(optimizer="SGD", optimizer_params="{lr: 1e30}", batch_size=2000, num_epochs=1))


def test_a_loss_that_is_not_finite_at_the_first_step_is_not_blamed_on_the_learning_rate(quick, monkeypatch):
    monkeypatch.setattr(TorchLoss, "terms", lambda self, outputs, batch: {"main": (outputs.scores * 0).sum().log()})
    with pytest.raises(
        TrainingError, match=r"in epoch 1, step 1 of 11, at the weights .*\n.* log\(0\).* losses/torch_losses.py:\d+"
    ):
        runner.train(quick())


@pytest.mark.usefixtures("own_log")
def test_a_bug_in_a_loss_ends_with_its_traceback_in_the_log(quick, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(FocalLoss, "forward", lambda self, scores, target: self.gama * scores.sum())
    (tmp_path / "config.yml").write_text(quick(loss_function="FocalLoss").to_yaml())
    with pytest.raises(AttributeError) as bug:
        train.main([str(tmp_path / "config.yml"), "--check"])
    sys.excepthook(bug.type, bug.value, bug.tb)
    for text in (capsys.readouterr().err, (tmp_path / "logs" / "lossbench.log").read_text()):
        assert text.splitlines()[-1] == "AttributeError: 'FocalLoss' object has no attribute 'gama'"


def test_early_stopping_ends_the_run(quick):
    _, summary = runner.train(
        quick(**FEW | {"num_epochs": 30}, early_stopping_patience=1, monitor="train/loss", optimizer_params="{lr: 0.0}")
    )
    assert summary["epochs_run"] < 30


def test_the_thesis_stops_early_on_the_loss_of_the_test_part(quick):
    """Its protocol: validation on the test part, the lowest loss selects, some epochs without a lower one stop."""
    patience = 2
    changes = {"select_on": "test", "monitor": "valid/loss", "early_stopping_patience": patience, "num_epochs": 30}
    folder, summary = runner.train(quick(**FEW | changes, optimizer_params="{lr: 0.3}"))
    losses = [row["valid/loss"] for row in folder.read_metrics()]
    best = losses.index(min(losses))
    assert len(losses) == summary["epochs_run"] < 30
    assert len(losses) == best + 1 + patience
    assert summary["selected_on"] == "test"
    assert summary["selected_epoch"] == best
    assert summary["test/loss"] == pytest.approx(losses[best], rel=1e-5)
    assert summary["test/accuracy"] == pytest.approx(folder.read_metrics()[best]["valid/accuracy"], rel=1e-6)


def test_selecting_on_the_test_part_holds_nothing_out_and_says_so(quick, caplog):
    _, summary = runner.train(quick(select_on="test", num_epochs=1))
    assert summary["selected_on"] == "test"
    assert summary["valid/accuracy"] == summary["test/accuracy"]
    assert "1,438 training" in caplog.text
    assert "the TEST part itself" in caplog.text


def test_settings_that_an_architecture_cannot_take_are_told_and_recorded(quick, caplog):
    _, summary = runner.train(quick(output_channels=320, num_epochs=1))
    assert summary["not_applied"] == ["output_channels"]
    assert "output_channels has no effect on test_resnet" in caplog.text


def test_settings_without_effect_earn_a_warning(quick, caplog):
    useless = {"lr_scheduler_params": "{gamma: 1}", "mixing_params": "{alpha: 1}"}
    building.prepare(quick(erase_background="true", download="true", **useless))
    for text in (
        "erase_background has no effect: crop_to_bboxes is false",
        "download has no effect on dataset: digits",
        "lr_scheduler_params has no effect: lr_scheduler is not set",
        "mixing_params has no effect: mixing is not set",
    ):
        assert text in caplog.text


@pytest.mark.parametrize(
    ("schedule", "params", "rate", "warned"),
    [
        (
            "OneCycleLR",
            "{max_lr: 0.05}",
            0.01,
            "OneCycleLR sets the learning rate, by lr_scheduler_params.max_lr (0.05)",
        ),
        (
            "CyclicLR",
            "{base_lr: 0.001, max_lr: 1}",
            0.01,
            "CyclicLR sets the learning rate, by lr_scheduler_params.base",
        ),
        ("OneCycleLR", "{max_lr: 0.01}", 0.01, None),
        ("StepLR", "{step_size: 1}", 0.01, None),
    ],
)
def test_a_learning_rate_that_the_schedule_replaces_earns_a_warning(schedule, params, rate, warned, quick, caplog):
    changes = {"lr_scheduler": schedule, "lr_scheduler_params": params, "optimizer_params": f"{{lr: {rate}}}"}
    building.prepare(quick(**changes))
    assert ("optimizer_params.lr has no effect" in caplog.text) == (warned is not None)
    assert (warned or "") in caplog.text


def test_a_tracker_that_fails_costs_a_warning_and_not_the_run(quick):
    with pytest.warns(UserWarning, match="mlflow: .*; the run continues without it"):
        _, summary = runner.train(quick(num_epochs=1, trackers="[mlflow]", mlflow_uri="nonsense://x"))
    assert summary["epochs_run"] == 1


def test_a_tracker_that_failed_is_told_the_run_once_it_works(quick, tmp_path):
    from mlflow.tracking import MlflowClient

    settings = {"num_epochs": 2, "trackers": "[mlflow]"}
    with pytest.warns(UserWarning, match="after the run, the same command sends it again"):
        folder, summary = runner.train(quick(**settings, mlflow_uri="nonsense://x"))
    assert folder.unreported.exists()
    for _ in range(2):
        assert runner.train(quick(**settings)) == (folder, summary)
    assert not folder.unreported.exists()
    client = MlflowClient(f"sqlite:///{tmp_path / 'output' / 'mlflow.db'}")
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test/accuracy"] == summary["test/accuracy"]
    assert [point.step for point in client.get_metric_history(run.info.run_id, "valid/accuracy")] == [0, 1]


def test_a_tracker_that_is_not_installed_is_not_asked_again(quick, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.warns(UserWarning, match="wandb: ModuleNotFoundError.*pip install wandb"):
        folder, _ = runner.train(quick(num_epochs=1, trackers="[wandb]"))
    assert not folder.unreported.exists()


def test_two_devices_take_the_steps_of_one(tmp_path):
    """Batch normalisation sees half the batch on each device, so a network without it is compared.

    The loss has state: what each device gathers must neither be lost nor be overwritten by the first one's.
    """
    changes = {"image_size": "[32, 32]", "architecture": "test_vit", "num_epochs": 1, "optimizer": "SGD"}
    changes |= {"optimizer_params": "{lr: 0.05}", "loss_function": "OnlineLabelSmoothingLoss"}
    one, _ = runner.train(read_quick(tmp_path / "one", **changes))
    both = read_quick(tmp_path / "two", **changes, devices=2, strategy="ddp")
    (tmp_path / "two.yml").write_text(both.to_yaml())
    done = subprocess.run([sys.executable, "train.py", tmp_path / "two.yml"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (two,) = (RunFolder(path.parent) for path in (tmp_path / "two").glob("output/*/summary.json"))
    first, second = one.read_summary(), two.read_summary()
    assert first["train/accuracy"] == pytest.approx(second["train/accuracy"], abs=0.002)
    soft_labels = [load_checkpoint(each.last)["state_dict"]["loss.soft"] for each in (one, two)]
    torch.testing.assert_close(*soft_labels, rtol=0, atol=1e-3)
    assert soft_labels[0].std() > 0.01
    assert first["train/loss"] == pytest.approx(second["train/loss"], rel=1e-3)
    assert first["test/accuracy"] == pytest.approx(second["test/accuracy"], abs=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss_params": "{nonsense: 1}"}, r"command line: loss_params.nonsense: unknown parameter"),
        ({"loss_params": "{label_smoothing: abc}"}, r"loss_params.label_smoothing: must be a number, got"),
        ({"loss_params": "{weight: [1, 2]}"}, r"line: loss_params: CrossEntropyLoss refuses them: .*all 10 classes"),
        ({"optimizer_params": "{momentum: 1}"}, r"command line: optimizer_params.momentum: unknown parameter"),
        ({"optimizer_params.lr": "1e300"}, r"line: optimizer_params: AdamW rejects these parameters: value cannot be"),
        ({"lr_scheduler": "StepLR"}, r"lr_scheduler_params.step_size: missing"),
        ({"lr_scheduler": "StepLR", "lr_scheduler_params": "{step_size: 0}"}, r"StepLR rejects these parameters"),
        (
            {"lr_scheduler": "ReduceLROnPlateau", "lr_scheduler_params": "{monitor: valid/foo}"},
            r"lr_scheduler_params.monitor: must be one of valid/loss",
        ),
        (
            {"lr_scheduler": "ReduceLROnPlateau", "lr_scheduler_params": "{monitor: valid/one_off_accuracy}"},
            r"command line: lr_scheduler_params.monitor: the classes of digits have no order",
        ),
        ({"monitor": "valid/one_off_accuracy"}, r"command line: monitor: the classes of digits have no order"),
        ({"image_augmentations": "{RandomAffine: {degre: 3}}"}, r"image_augmentations.RandomAffine.degre: unknown"),
        (
            {"augment_images": "true", "image_augmentations": "{RandomCrop: {size: 100}}"},
            r"command line: image_augmentations.RandomCrop: a training image cannot be augmented so: Required",
        ),
        (
            {"augment_tensors": "true", "tensor_augmentations": "{CutOut: {length: 0}}"},
            r"command line: tensor_augmentations.CutOut: CutOut refuses its parameters",
        ),
        ({"architecture_params": "{widht: 2}"}, r"command line: architecture_params.widht"),
        ({"architecture_params": "{in_channels: 2}"}, r"architecture_params.in_channels: comes from"),
        ({"architecture_params": "{dropout: 0.2}"}, r"params.dropout: comes from dropout, a key of its own"),
        ({"pretrained": "true", "architecture": "ghostnet"}, r"command line: pretrained: .*weights_path"),
        ({"pretrained": "IMAGENET1K_V9", "architecture": "torchvision/resnet18"}, r"line: pretrained: .*IMAGENET1K_V1"),
        ({"weights_path": "nowhere.pt"}, r"command line: weights_path: "),
        ({"image_size": "[1, 1]", "architecture": "torchvision/alexnet"}, r"image_size: .* cannot take 1x1 images"),
        ({"image_size": "16", "architecture": "vgg16_bn_cifar"}, r"cannot take 16x16 images: .* at least 32 px high"),
        ({"image_size": "1000000"}, r"image_size: images of 1000000 x 1000000 px do not fit into memory: "),
        ({"data_params": "{fold: 1}"}, r"data_params.fold: unknown parameter \(allowed: imbalance, imbalance_kind\)"),
        ({"dataset": "svhn", "data_params": "{ekstra: true}"}, r"data_params.ekstra: .* did you mean 'extra'\?"),
        (
            {"dataset": "svhn", "data_params": "{data_path: x}"},
            r"data_params.data_path: comes from data_path, a key",
        ),
        (
            {"dataset": "svhn", "data_params": "{extra: 1}", "loss_params": "{reduction: 1}"},
            r"data_params.extra: must be true or false, got 1\n.*loss_params.reduction: must be a text, got 1",
        ),
        ({"mixing": "MixUp", "mixing_params": "{alpha: 0}"}, r"command line: mixing_params.alpha: must be > 0"),
        ({"mixing": "CutMix", "mixing_params": "{alfa: 1}"}, r"command line: mixing_params.alfa: unknown parameter"),
        ({"mixing": "MixUp", "loss_function": "HingeLoss"}, r"command line: mixing: HingeLoss takes no soft labels"),
        ({"batch_size": "1"}, r"command line: batch_size: each of 1 devices needs 2 images"),
        ({"devices": "99", "batch_size": "64"}, r"command line: devices: each of 99 devices needs 2 images"),
        ({"accelerator": "tpu"}, r"accelerator: tpu: this machine has a CPU.*, no such device"),
    ],
)
def test_wrong_parameters_are_reported_with_their_place_before_training(quick, changes, message):
    with pytest.raises(ConfigError, match=message):
        runner.train(quick(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"lr_scheduler": "OneCycleLR", "lr_scheduler_params": "{max_lr: 0.1, total_steps: 5}"},
            r"lr_scheduler_params: its cycle has 5 steps, the run 22 \(2 epochs of 11\); leave out total_steps",
        ),
        (
            {
                "lr_scheduler": "SequentialLR",
                "lr_scheduler_params": "{schedulers: [{OneCycleLR: {max_lr: 0.1, epochs: 1}}], milestones: []}",
            },
            r"lr_scheduler_params.schedulers.0.OneCycleLR: its cycle has 11 steps, the run 22 ",
        ),
        (
            {
                "lr_scheduler": "OneCycleLR",
                "lr_scheduler_params": "{max_lr: 0.1, pct_start: 0.5}",
                "num_epochs": 1,
                "batch_size": 700,
            },
            r"lr_scheduler_params: OneCycleLR cannot divide 2 steps so",
        ),
    ],
)
def test_a_cycle_that_does_not_fit_the_run_s_steps_is_refused_by_the_check(quick, changes, message):
    with pytest.raises(ConfigError, match=message):
        runner.check(quick(**changes))


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("OneCycleLR", "{max_lr: 0.1, total_steps: 22}"),
        ("ChainedScheduler", "{schedulers: [{LinearLR: {}}, {ExponentialLR: {gamma: 0.9}}]}"),
        ("SequentialLR", "{schedulers: [{CosineWarmupRestarts: {}}, {OneCycleLR: {max_lr: 0.1}}], milestones: [1]}"),
    ],
)
def test_schedules_that_fit_the_run_are_accepted_by_the_check(quick, name, params):
    assert f"{name}(" in runner.check(quick(lr_scheduler=name, lr_scheduler_params=params))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"accelerator": "cuda"},
            "accelerator: cuda: this machine has a CPU, no such device",
        ),
        ({"accelerator": "gpu"}, "accelerator: gpu: this machine has a CPU, no such device"),
        ({"precision": "16-mixed"}, "precision: 16-mixed is for GPUs; a CPU takes bf16-mixed or 32-true"),
        ({"devices": "4", "batch_size": "8"}, "devices: must be <= 2 here, got 4: this machine has a CPU, 2 CUDA GPUs"),
    ],
)
def test_devices_that_are_not_there_are_named_beside_those_that_are(quick, monkeypatch, settings, message):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2 * ("devices" in settings))
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(ConfigError, match=f"^command line: {message}"):
        build_lightning(quick(**{"accelerator": "auto", **settings}))


@pytest.mark.parametrize("backend", ["fused", "torchvision"])
def test_a_bug_in_an_augmentation_of_ours_is_not_blamed_on_its_parameters(quick, monkeypatch, backend):
    def buggy(self, *args):
        return self.gama

    monkeypatch.setattr("datasets.augmentation.fused.chain.FusedChain.on_cpu", buggy)
    monkeypatch.setattr("datasets.augmentation.transforms.CutOut.__call__", buggy)
    with pytest.raises(AttributeError, match="has no attribute 'gama'"):
        building.prepare(quick(augment_tensors="true", tensor_augmentations="{CutOut: {}}", augment_backend=backend))


@pytest.mark.parametrize(
    ("changes", "given"),
    [
        ({"dataset": "svhn", "data_params": "{extra: true}"}, {"extra": True}),
        ({"dataset": "cifar10_pair", "classes": "[cat, dog]"}, {"classes": ["cat", "dog"]}),
    ],
)
def test_a_data_set_gets_the_keys_and_parameters_that_it_takes(quick, monkeypatch, changes, given):
    found = {}

    def build_dataset(name, **params):
        found.update(params)
        raise DataError("enough")

    monkeypatch.setattr(datasets, "build_dataset", build_dataset)
    with pytest.raises(DataError, match="enough"):
        building.prepare(quick(data_path="here", **changes))
    assert found == {"data_path": "here", "download": False, "verify_checksums": True, **given}


def test_ordered_classes_are_judged_one_off_too(quick, monkeypatch):
    digits = dataclasses.replace(build_dataset("digits"), ordered=True)
    monkeypatch.setattr(datasets, "build_dataset", lambda name: digits)
    _, summary = runner.train(quick(num_epochs=1, monitor="valid/one_off_accuracy"))
    assert summary["test/accuracy"] < summary["test/one_off_accuracy"] <= 1


def test_all_wrong_parameters_are_reported_at_once(quick):
    with pytest.raises(ConfigError) as error:
        building.prepare(
            quick(
                loss_params="{a: 1}",
                optimizer_params="{b: 1}",
                lr_scheduler="StepLR",
                lr_scheduler_params="{step_size: 1, d: 1}",
                tensor_augmentations="{RandomErasing: {c: 1}}",
            )
        )
    assert len(str(error.value).splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_such.yml"], "no_such.yml: no such file"),
        (["a.yml", "b.yml"], "expected one configuration file, got 2 arguments"),
        (["output_path=/proc/none"], "command line: output_path: cannot write to '/proc/none'"),
        (["dataset=image_folder", "data_path=/nowhere"], "/nowhere"),
        (["loss_params.beta=1"], "command line: loss_params.beta: unknown parameter"),
    ],
)
@pytest.mark.usefixtures("quiet_runs")
def test_mistakes_leave_status_2_a_message_and_no_traceback(arguments, message, tmp_path, capsys):
    folders = [f"logging_dir={tmp_path}", *([] if "output_path" in arguments[0] else [f"output_path={tmp_path}"])]
    assert train.main([*arguments, *folders]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("*/*"))


@pytest.mark.usefixtures("quiet_runs")
def test_a_loss_that_is_not_finite_leaves_status_1(quick, tmp_path, capsys):
    (tmp_path / "config.yml").write_text(quick(optimizer="SGD", optimizer_params="{lr: 1e30}").to_yaml())
    assert train.main([str(tmp_path / "config.yml")]) == 1
    said = capsys.readouterr().err
    assert "the loss is not finite in epoch 1" in said
    assert "Traceback" not in said


def test_check_prints_the_merged_configuration_sizes_and_costs_and_trains_nothing(tmp_path, capsys):
    status = train.main(["--check", "seed=7", f"output_path={tmp_path}", f"logging_dir={tmp_path}/logs"])
    printed = capsys.readouterr().out
    assert status == 0
    assert "seed: 7" in printed
    assert "1,294 training, 144 validation (held out of training), 359 test images; 10 classes" in printed
    assert "parameters" in printed
    assert "multiply-adds" in printed
    assert not list(tmp_path.glob("digits-*"))
    merged = printed[printed.index("dataset:") : printed.index("\ndata  ")]
    assert yaml.safe_load(merged)["loss_function"] == "CrossEntropyLoss"


def test_what_cannot_be_compiled_is_reported_in_a_line(quick, monkeypatch):
    from torch._inductor.exc import CppCompileError

    def fails(self, *args, **kwargs):
        raise CppCompileError(["g++", "x.cpp"], "pages\nand pages")

    monkeypatch.setattr(Classifier, "training_step", fails)
    with pytest.raises(
        ConfigError, match=r"command line: compile: this machine cannot compile the network: "
    ) as caught:
        runner.train(quick(compile="true"))
    assert "\n" not in str(caught.value)


@pytest.mark.torture
def test_a_compiled_network_learns_the_same(quick):
    """Takes minutes: the compiler builds kernels for training and evaluation."""
    plain, compiled = (runner.train(quick(compile=flag, image_size=16))[1] for flag in ("false", "true"))
    assert compiled["train/loss"] == pytest.approx(plain["train/loss"], rel=0.05)


def test_a_run_that_waits_for_images_says_so_once_and_what_would_help(quick, monkeypatch, caplog, plain_log):
    monkeypatch.setattr(callbacks, "LONG", 0.0)
    monkeypatch.setattr(callbacks, "MUCH", 0.0)
    monkeypatch.setattr(data_module, "available_cores", lambda: 3)
    augmented = {"augment_images": "true", "image_augmentations": "{RandomAffine: {degrees: 5}}"}
    runner.train(quick(augment_backend="torchvision", **augmented))
    told = [record.message for record in caplog.records if "were spent waiting for images" in record.message]
    assert len(told) == 1
    assert told[0].endswith("of epoch 1 were spent waiting for images; set augment_backend: fused, set num_workers: 3")


def test_what_cannot_be_fused_is_told_at_the_start(quick, caplog, plain_log):
    unknown = {"augment_images": "true", "image_augmentations": "{RandomPosterize: {bits: 4}}"}
    building.prepare(quick(**unknown))
    assert "augment_backend: fused cannot do RandomPosterize; torchvision does the chain one by one" in caplog.text
    caplog.clear()
    building.prepare(quick(augment_backend="torchvision", **unknown))
    assert "cannot do" not in caplog.text


def test_an_accelerator_s_way_gives_the_result_of_the_cpu_s(quick, tmp_path, monkeypatch):
    flips = "{RandomHorizontalFlip: {}, RandomCrop: {size: 8, padding: 1}}"
    settings = {"augment_images": "true", "image_augmentations": flips, **FEW}
    _, expected = runner.train(quick(**settings, output_path=tmp_path / "cpu"))
    monkeypatch.setattr(data_module.DataModule, "_device_type", lambda self: "accelerator")
    sent = []
    finish = data_module.ImageStream.finish

    def observe(self, loaded, *options):
        sent.append(loaded.image is None)
        return finish(self, loaded, *options)

    monkeypatch.setattr(data_module.ImageStream, "finish", observe)
    _, found = runner.train(quick(**settings, output_path=tmp_path / "accelerator"))
    assert sent.count(True) >= 5  # training, validation and test send no pixels
    timing = {"seconds", "images_per_second", "waiting_share"}
    assert {key: found[key] for key in found if key not in timing} == {
        key: expected[key] for key in expected if key not in timing
    }
