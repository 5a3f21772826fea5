"""Images of other sets are told apart as scikit-learn and TorchMetrics count it, by scores that mean what they say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn import metrics as sk
from torchmetrics.functional import classification as tm

from evaluation.ood import detection, ood, scores_of
from evaluation.requests import Request
from evaluation.subject import open_subject
from losses import build_loss
from tests.evaluation.made_up_subject import make_answers, make_subject
from utils.types import ConfigError

DEVICE = torch.device("cpu")


@pytest.mark.parametrize("digits", [8, 1])
@pytest.mark.parametrize("shift", [0.0, 0.7, 3.0])
def test_measures_agree_with_scikit_learn_and_torchmetrics(shift: float, digits: int) -> None:
    random = np.random.default_rng(0)
    inside, outside = random.normal(shift, 1, 400).round(digits), random.normal(0, 1, 301).round(digits)
    found = detection(inside, outside)
    score, label = np.concatenate([inside, outside]), np.repeat([1, 0], [400, 301])
    assert found["auroc"] == pytest.approx(sk.roc_auc_score(label, score))
    assert found["aupr_in"] == pytest.approx(sk.average_precision_score(label, score))
    assert found["aupr_out"] == pytest.approx(sk.average_precision_score(1 - label, -score))
    false, true, _ = sk.roc_curve(label, score, drop_intermediate=False)
    assert found["fpr95"] == pytest.approx(false[true >= 0.95].min())
    ranks = torch.from_numpy(np.unique(score, return_inverse=True)[1] / len(score))
    target = torch.from_numpy(label)
    assert found["auroc"] == pytest.approx(float(tm.binary_auroc(ranks, target)), abs=1e-6)
    assert found["aupr_in"] == pytest.approx(float(tm.binary_average_precision(ranks, target)), abs=1e-6)
    assert found["aupr_out"] == pytest.approx(float(tm.binary_average_precision(1 - ranks, 1 - target)), abs=1e-6)


def test_limits_of_the_measures() -> None:
    apart = detection(np.array([2.0, np.inf]), np.array([1.0, -np.inf]))
    assert apart == {"auroc": 1.0, "aupr_in": 1.0, "aupr_out": 1.0, "fpr95": 0.0}
    assert detection(np.zeros(4), np.zeros(4)) == {"auroc": 0.5, "aupr_in": 0.5, "aupr_out": 0.5, "fpr95": 1.0}
    inside = np.arange(20.0)  # 19 of 20 are accepted from 1 on
    assert detection(inside, np.array([0.5, 1.0, 1.5, 0.9]))["fpr95"] == 0.5


def test_scores_are_those_of_the_literature_where_they_exist() -> None:
    logits = torch.randn(5, 3, dtype=torch.float64)
    target = torch.zeros(5, dtype=torch.int64)
    answers = dataclasses.replace(make_answers(logits.log_softmax(dim=1), target), scores=logits)
    found = scores_of(build_loss("CrossEntropyLoss", None), answers, DEVICE)
    assert found["probability"] == pytest.approx(logits.softmax(dim=1).amax(dim=1).log().numpy())
    assert found["energy"] == pytest.approx(logits.exp().sum(dim=1).log().numpy())
    assert found["confidence"] == pytest.approx(found["probability"])
    loss = build_loss("OneSidedMarginLoss", None)  # the lowest score is the likeliest class
    other = dataclasses.replace(make_answers(loss.log_probabilities(logits), target), scores=logits)
    assert scores_of(loss, other, DEVICE).keys() == {"probability", "confidence"}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "noise" / "inner"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(6):
        Image.fromarray(random.integers(0, 256, (11, 9, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("none of the images")
    return tmp_path / "noise"


def test_folders_and_sets_are_told_apart_near_and_far(quick: Callable, pictures: Path) -> None:
    subject = make_subject(quick())
    found = ood(subject, near="made_up", far=["made_up", str(pictures)], images=20)
    sets = {row[0]: int(row[1]) for row in found.tables[0].rows}
    assert sets == {"made_up": 20, "noise": 6}
    numbers = found.numbers
    assert (numbers["images"], numbers["near_images"], numbers["far_images"]) == (20, 20, 26)
    measures = [
        f"{m}_{s}" for s in ("probability", "energy", "confidence") for m in ("auroc", "aupr_in", "aupr_out", "fpr95")
    ]
    names = [f"{group}{name}" for group in ("near_", "far_") for name in ("images", *measures)]
    assert list(numbers) == ["images", *names]
    by_table = [float(row[3].removesuffix(" %")) / 100 for row in found.tables[0].rows if row[2] == "energy"]
    assert numbers["near_auroc_energy"] == pytest.approx(by_table[0], abs=1e-4)
    assert numbers["far_auroc_energy"] == pytest.approx(sum(by_table[1:]) / 2, abs=1e-4)
    assert found.figures[0].path.is_file()


def test_the_run_s_own_images_cannot_be_told_from_themselves(quick: Callable, tmp_path: Path) -> None:
    subject = make_subject(quick())
    folder = tmp_path / "same"
    folder.mkdir()
    for place, image in enumerate(subject.original_images(range(len(subject.part)))):
        Image.fromarray(image.squeeze()).save(folder / f"{place:04}.png")
    numbers = ood(subject, data=str(folder)).numbers
    assert numbers["other_images"] == numbers["images"] == len(subject.part)
    for score in ("probability", "energy", "confidence"):
        assert numbers[f"auroc_{score}"] == pytest.approx(0.5, abs=1e-9)
        assert numbers[f"fpr95_{score}"] == pytest.approx(0.95, abs=0.01)


def test_all_sets_that_cannot_be_read_are_reported(quick: Callable, tmp_path: Path) -> None:
    subject = make_subject(quick())
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"evaluate_params.ood.data: missing: name a folder of images or a data set"):
        ood(subject)
    with pytest.raises(ConfigError) as caught:
        ood(subject, data=["svnh", str(tmp_path / "empty")], far=f"cifar10:{tmp_path}/none")
    lines = str(caught.value).splitlines()
    assert lines[0] == "evaluate_params.ood.data: svnh: no folder, and no data set; did you mean 'svhn'?"
    assert lines[1].startswith(f"evaluate_params.ood.data: {tmp_path}/empty: no images in this folder")
    assert lines[2].startswith(f"evaluate_params.ood.far: {tmp_path}/none")


def test_it_runs_from_the_command_line(trained: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    import evaluate

    path = trained(num_epochs=1).path
    assert evaluate.main([str(path), "--only", "ood", "ood.data=made_up"]) == 0
    assert "auroc_energy" in capsys.readouterr().out
    request = Request([str(path), "ood.images=0"], also=("ood",))
    with pytest.raises(ConfigError, match=r"ood.images: must be a whole number >= 1 or null, got 0"):
        request.check()
    assert open_subject(path).part.name == "test"
