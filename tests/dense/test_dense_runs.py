"""Runs whose rows are pixels or regions keep the promises that every run keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import compare
import predict
from configuration.reading import read_configuration
from datasets.data_module import DataModule
from evaluation.catalogue import NAME_CHECKS
from evaluation.subject import open_subject
from metrics.dense import PixelTally, mean_iou
from runs.folder import RunFolder
from sweeps.cells import load_sweep
from sweeps.execution import run_here
from sweeps.jobs import Shard
from tests.conftest import read_quick
from tests.training.resuming import differences, train_until
from training import runner
from training.building import prepare
from utils.types import ConfigError

pytestmark = pytest.mark.usefixtures("plain_log", "quiet_runs")

BASE = {
    "dataset": "made_up",
    "convert_to_grayscale": "false",
    "image_size": "32",
    "batch_size": "8",
    "num_epochs": "2",
    "augment_images": "true",
    "image_augmentations": "{RandomHorizontalFlip: {}, RandomAffine: {degrees: 10}}",
    "checkpoint_every_steps": "1",
    "data_params": "{num_classes: 3}",
    "num_workers": "0",
}
TASKS: dict[str, dict[str, str]] = {
    "segmentation": {
        "architecture": "lraspp",
        "architecture_params": "{body: test_resnet, output_stride: 32, inner_channels: 16}",
        "monitor": "valid/mean_iou",
    },
    "detection": {
        "architecture": "ssdlite",
        "architecture_params": "{body: test_resnet, num_features: 16, levels: 3}",
        "monitor": "valid/map",
    },
    "instance_segmentation": {
        "architecture": "mask_rcnn",
        "architecture_params": "{body: test_resnet, strides: [8, 16], width: 16, hidden: 32, anchor_sizes: [8, 16], "
        "proposals: 20, regions: 16, frozen_statistics: false}",
        "monitor": "valid/mask_map",
    },
}
SETTINGS: dict[str, dict[str, str]] = {
    "plain": {},
    "averaged": {"ema_decay": "0.9", "accumulate_batches": "2"},
    "two workers": {"num_workers": "2"},
    "two views": {"loss_function": "LossTransform", "loss_params": "{views: 2}"},
    "repeated": {"loss_function": "LossTransform", "loss_params": "{repeated_sampling: true, views: 2}"},
    "lowest score": {"loss_function": "OneSidedMarginLoss", "loss_params": "{lambda_min: 1, lambda_max: 6}"},
    "state": {"loss_function": "OnlineLabelSmoothingLoss", "loss_params": "{update_every: 2}"},
    "own head": {"loss_function": "AngularSoftmaxLoss"},
    "bfloat16": {"precision": "bf16-mixed"},
}


def changes(task: str, setting: str = "plain") -> dict[str, Any]:
    every = {"task": task, **BASE, **TASKS[task], **SETTINGS[setting]}
    return {name.replace(".", "__"): value for name, value in every.items()}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_run_that_dies_resumes_to_the_same_bits(task: str, setting: str, tmp_path: Path) -> None:
    whole = train_until(read_quick(tmp_path / "whole", **changes(task, setting)))
    train_until(read_quick(tmp_path / "died", **changes(task, setting)), 2)
    resumed, summary = runner.train(read_quick(tmp_path / "died", **changes(task, setting)))
    assert differences(whole, resumed) == []
    assert summary["test/loss"] > 0
    again = runner.train(read_quick(tmp_path / "died", **changes(task, setting)))[1]
    assert again["seconds"] == summary["seconds"]  # left as it was, not tested again


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunFolder]:
    """A finished run of each task."""
    return {task: train_until(read_quick(tmp_path_factory.mktemp(task), **changes(task))) for task in TASKS}


def test_pixels_are_counted_as_each_image_s_say(runs: dict[str, RunFolder]) -> None:
    table = pq.read_table(runs["segmentation"].predictions)
    summary = json.loads(runs["segmentation"].summary.read_text())
    assert table["index"].to_pylist() == list(range(10))
    pixels, accuracy = table["pixels"].to_numpy(), table["accuracy"].to_numpy()
    assert pixels.tolist() == [32 * 32] * 10
    assert accuracy.mean() == pytest.approx(summary["test/accuracy"])


def test_mean_iou_is_what_loops_say() -> None:
    generator = torch.Generator().manual_seed(0)
    target, read = (torch.randint(low, 4, (500,), generator=generator) for low in (0, -1))
    target[target == 3] = 0  # one class is only read
    tally = PixelTally(4)
    tally.update(torch.tensor(0.0), read, target, torch.zeros(500, 4))
    by_loops = []
    for k in range(4):
        both, either = ((target == k) & (read == k)).sum(), ((target == k) | (read == k)).sum()
        by_loops.append(int(both) / int(either))
    assert float(mean_iou(tally)) == pytest.approx(sum(by_loops) / 4)


@pytest.mark.parametrize("task", TASKS)
def test_compare_shows_a_dense_run(task: str, runs: dict[str, RunFolder], capsys: Any) -> None:
    metric = TASKS[task]["monitor"].replace("valid/", "test/")
    assert compare.main([str(runs[task].path), "--metric", metric]) == 0
    summary = json.loads(runs[task].summary.read_text())
    assert f"{100 * summary[metric]:.2f}" in capsys.readouterr().out


@pytest.mark.parametrize("task", TASKS)
def test_predict_draws_what_the_test_saw(task: str, runs: dict[str, RunFolder], tmp_path: Path, capsys: Any) -> None:
    subject = open_subject(runs[task].path)
    files = []
    for place in range(3):
        files.append(tmp_path / f"image{place}.png")
        Image.fromarray(subject.original_images([place])[0]).save(files[-1])
    options = ["--run", str(runs[task].path), "--draw", str(tmp_path / "drawn"), "--json", str(tmp_path / "all.json")]
    assert predict.main([*map(str, files), *options]) == 0
    assert "image0.png" in capsys.readouterr().out
    assert [path.name for path in sorted((tmp_path / "drawn").iterdir())] == [f"image{k}-0.png" for k in range(3)]
    pictures = json.loads((tmp_path / "all.json").read_text())["pictures"]
    if task == "segmentation":
        assert all(sum(part["share"] for part in each["parts"]) == pytest.approx(1, abs=1e-3) for each in pictures)
        return
    detected = json.loads(runs[task].detections.read_text())
    assert {0, 1, 2} <= {each["image_id"] for each in detected}
    for place, picture in enumerate(pictures):
        expected = [each["bbox"][:2] for each in detected if each["image_id"] == place]
        assert [part["box"][:2] for part in picture["parts"]] == [pytest.approx(box, abs=0.1) for box in expected]


@pytest.mark.parametrize("task", ["detection", "instance_segmentation"])
def test_average_precision_is_pycocotools_of_the_stored_predictions(task: str, runs: dict[str, RunFolder]) -> None:
    coco, evaluation = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    folder, summary = runs[task], json.loads(runs[task].summary.read_text())
    for kind, prefix in (("bbox", "map"), ("segm", "mask_map"))[: 1 + (task != "detection")]:
        there = coco.COCO(str(folder.ground_truth))
        judged = evaluation.COCOeval(there, there.loadRes(str(folder.detections)), kind)
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
        ours = [summary[f"test/{prefix}{end}"] for end in ("", "_50", "_75")]
        assert ours == pytest.approx(judged.stats[:3].tolist(), abs=1e-6)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss_function": "TripletLoss"}, "draws images by their class"),
        ({"loss_function": "ConnectionistTemporalLoss"}, "judges sequences"),
        ({"loss_function": "BeYourOwnTeacherLoss"}, "gives its maps to no loss"),
        ({"loss_function": "EarlyLearningRegularizationLoss"}, "remembers samples by their numbers"),
        ({"class_weights": "balanced"}, "balanced needs a task with class_counts"),
        ({"mixing": "MixUp"}, "mixes whole images"),
        ({"dataset": "digits", "data_params": "{}"}, "digits is annotated for classification"),
        ({"architecture": "test_resnet", "architecture_params": "{}"}, "test_resnet is for images"),
        ({"augment_tensors": "true", "tensor_augmentations": "{RandomErasing: {}}"}, "give image_augmentations"),
        ({"image_augmentations": "{AlternatingFlip: {}}"}, "moves no boxes"),
    ],
)
def test_what_cannot_serve_is_refused_in_words(task: str, change: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        prepare(read_quick(tmp_path, **changes(task) | change))


@pytest.mark.parametrize("recipe", ["losstransform_table4", "losstransform_table6", "ols_table10"])
def test_dense_recipes_run_in_small(recipe: str, tmp_path: Path) -> None:
    small = ["smoke=true", "sweep.seeds=1", "accelerator=cpu", f"output_path={tmp_path}", f"logging_dir={tmp_path}"]
    small += ["architecture_params.body=test_resnet", "trackers=[]", "num_epochs=1", "select_on=test"]
    if recipe != "ols_table10":
        small += ["architecture_params.width=16", "architecture_params.hidden=16", "architecture_params.proposals=20"]
    sweep = load_sweep(read_configuration(f"experiments/{recipe}.yml", small, NAME_CHECKS))
    outcomes = run_here(sweep, Shard())
    assert [outcome.reason for outcome in outcomes if outcome.summary is None] == []
    assert all(outcome.summary["test/map"] >= 0 for outcome in outcomes if outcome.summary)


def test_places_move_with_pixels(tmp_path: Path) -> None:
    config = read_quick(tmp_path, **changes("segmentation"))
    data: DataModule = prepare(config).data
    plain = data.augmented_stream()
    for position in range(4):
        before, after = plain[(0, position)].target, data.train_stream[(1, position)].target
        places, pixels = after["places"][0, 0], after["pixels"][0, 0]  # type: ignore[index, call-overload]
        inside = places >= 0
        assert 0.5 < inside.double().mean() <= 1
        assert torch.equal(before["pixels"][0, 0].flatten()[places[inside]], pixels[inside])  # type: ignore[index, call-overload]
        assert (pixels[~inside] == 255).all()
