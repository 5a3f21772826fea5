"""Curves, classes and images of the page, read from metrics.csv, predictions and the data set."""

from __future__ import annotations

import base64
import io
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from leaving import CE, FOCAL, OSM, leave, study
from official_layouts import write_plates
from PIL import Image

from comparison.page import predictions, runs, thumbnails, writing
from comparison.page.predictions import choose_images
from comparison.page.runs import Shown, describe_curves
from comparison.page.writing import describe
from datasets.sets.digits import digits

LABELS = digits().test.labels.tolist()


def leave_losses(output: Path, seeds: int = 3) -> dict[str, list[list[bool]]]:
    """Leave runs of two losses on the real test labels. Returns: loss -> for each seed what it gets right."""
    draw = random.Random(7)
    right: dict[str, list[list[bool]]] = {}
    for loss, share in ((CE, 0.8), (OSM, 0.7)):
        for seed in range(seeds):
            mine = [draw.random() < share for _ in LABELS]
            leave(output, loss, f"seed={seed}", right=mine, targets=LABELS, epochs=[0.5, 0.6 + 0.1 * seed, 0.7])
            right.setdefault(loss.partition("=")[2], []).append(mine)
    return right


def test_differences_of_classes_are_those_of_an_explicit_loop(tmp_path):
    right = leave_losses(tmp_path)
    (told,) = describe(study(tmp_path))["classes"]
    assert told["classes"] == [str(digit) for digit in range(10)]
    assert told["counts"] == [LABELS.count(digit) for digit in range(10)]
    (difference,) = told["differences"]
    assert (difference["group"], difference["baseline"], difference["seeds"]) == (1, 0, 3)
    for digit in range(10):
        shares = {}
        for loss, seeds in right.items():
            of_class = [[good for good, label in zip(mine, LABELS, strict=True) if label == digit] for mine in seeds]
            shares[loss] = sum(sum(mine) / len(mine) for mine in of_class) / len(of_class)
        expected = shares["OneSidedMarginLoss"] - shares["CrossEntropyLoss"]
        assert difference["values"][digit] == pytest.approx(expected, abs=1e-6)
        assert difference["texts"][digit] == f"{100 * expected:+.2f}"
        assert difference["ours"][digit] == f"{100 * shares['OneSidedMarginLoss']:.2f}"
        assert difference["theirs"][digit] == f"{100 * shares['CrossEntropyLoss']:.2f}"


def test_classes_are_compared_over_the_seeds_that_both_have(tmp_path):
    whole, nothing = [True] * len(LABELS), [False] * len(LABELS)
    leave(tmp_path, CE, "seed=0", right=whole, targets=LABELS)
    leave(tmp_path, CE, "seed=1", right=nothing, targets=LABELS)
    leave(tmp_path, OSM, "seed=1", right=whole, targets=LABELS)
    (difference,) = describe(study(tmp_path))["classes"][0]["differences"]
    assert (difference["seeds"], difference["values"]) == (1, [1.0] * 10)


def test_images_of_a_pair_are_those_of_an_explicit_loop(tmp_path):
    right = leave_losses(tmp_path)
    (told,) = describe(study(tmp_path))["images"]
    margins = [
        sum(right["OneSidedMarginLoss"][seed][k] - right["CrossEntropyLoss"][seed][k] for seed in range(3))
        for k in range(len(LABELS))
    ]
    (pair,) = [each for each in told["pairs"] if (each["right"], each["wrong"]) == (1, 0)]
    assert pair["total"] == sum(margin > 0 for margin in margins)
    wanted = sorted((k for k in range(len(LABELS)) if margins[k] > 0), key=lambda k: (-margins[k], k))
    shown = [told["images"][number]["index"] for number in pair["images"]]
    assert shown == wanted[: predictions.MOST_OF_A_PAIR]
    for number in pair["images"]:
        image = told["images"][number]
        k = image["index"]
        assert image["target"] == str(LABELS[k])
        for group, loss in enumerate(("CrossEntropyLoss", "OneSidedMarginLoss")):
            good = sum(right[loss][seed][k] for seed in range(3))
            names = {True: str(LABELS[k]), False: str((LABELS[k] + 1) % 10)}
            expected = {(names[yes], yes, count) for yes, count in ((True, good), (False, 3 - good)) if count}
            said = image["predictions"][told["groups"].index(group)]
            assert {(each["name"], each["right"], each["seeds"]) for each in said} == expected


def test_pictures_are_the_data_sets_own(tmp_path):
    leave_losses(tmp_path)
    (told,) = describe(study(tmp_path))["images"]
    pixels = digits().test.images
    for image in told["images"]:
        assert image["picture"].startswith("data:image/png;base64,")
        assert np.array_equal(np.asarray(opened(image["picture"])), pixels[image["index"]])


def test_texts_are_shown_as_they_are_and_not_compared_class_by_class(tmp_path):
    plates = write_plates(tmp_path)
    settings = ("dataset=plates", f"data_path={plates}", "image_size=[24,94]")
    for loss, good in ((CE, True), (OSM, False)):
        leave(tmp_path / "output", loss, *settings, right=[good], targets=["ÄX9"])
    told = describe(study(tmp_path / "output"))
    assert told["classes"] == [{"classes": [], "counts": [], "differences": []}]
    assert told["notes"]["predictions"] == ["not compared class by class: the labels are texts"]
    (image,) = told["images"][0]["images"]
    assert image["target"] == "ÄX9"
    assert [[each["name"] for each in group] for group in image["predictions"]] == [["ÄX9"], ["ÄX99"]]
    assert opened(image["picture"]).size == (20, 16)


def test_pictures_of_large_images_are_small_jpegs():
    uri = thumbnails._data_uri(Image.fromarray(np.random.default_rng(0).integers(0, 255, (900, 600, 3), np.uint8)))
    assert uri.startswith("data:image/jpeg;base64,")
    assert opened(uri).size == (64, 96)
    assert len(uri) < 12_000


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_every_pair_has_its_first_image_before_any_has_a_second():
    pairs = [{"positions": positions} for positions in ([5, 6, 7], [8], [5, 9])]
    assert choose_images(pairs, 4) == [5, 8, 6, 9]
    assert choose_images(pairs, 100) == [5, 8, 6, 9, 7]


def test_pictures_are_limited(tmp_path, monkeypatch):
    leave_losses(tmp_path)
    monkeypatch.setattr(writing, "MOST", 5)
    (told,) = describe(study(tmp_path))["images"]
    assert len(told["images"]) == 5
    assert {number for pair in told["pairs"] for number in pair["images"]} <= set(range(5))
    assert all(pair["total"] > 5 for pair in told["pairs"])


@pytest.mark.parametrize(("recorded", "name"), [("ten names", "digit 3"), ("none", "class 3"), ("damaged", "class 3")])
def test_data_that_moved_costs_the_images_and_the_names_that_no_run_recorded(tmp_path, recorded, name):
    for loss, good in ((CE, True), (OSM, False)):
        changes = (loss, "dataset=image_folder", f"data_path={tmp_path}/gone")
        folder = leave(tmp_path, *changes, right=[good] * 359, targets=LABELS)
        if recorded != "none":
            folder.write_classes("image", [f"digit {digit}" for digit in range(10)])
        if recorded == "damaged":
            folder.classes.write_text("{")
    told = describe(study(tmp_path))
    (note,) = told["notes"]["predictions"]
    lost = "no images" if recorded == "ten names" else "no images and no names of classes"
    assert note.startswith(f"{lost}: the data cannot be read any more: ")
    assert f"{tmp_path}/gone" in note
    assert told["classes"][0]["classes"][3] == name
    assert told["classes"][0]["differences"][0]["values"] == [-1.0] * 10
    assert [image["picture"] for image in told["images"][0]["images"]] == [None] * 24


def test_data_that_needs_a_module_that_is_not_there_or_has_changed_is_not_shown(tmp_path, monkeypatch):
    leave(tmp_path, right=[True] * 100)
    (note,) = describe(study(tmp_path))["notes"]["predictions"]
    assert note.endswith("the data has changed: its labels are not those of the predictions")
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    (note,) = describe(study(tmp_path))["notes"]["predictions"]
    assert "the data cannot be read any more: import of sklearn.datasets halted" in note


def test_nothing_is_downloaded_for_a_page(tmp_path, monkeypatch):
    for loss in (CE, OSM):
        leave(tmp_path, loss, "dataset=cifar10", "download=true", f"data_path={tmp_path}/gone", right=[True] * 20)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("reached for the network"))
    (note,) = describe(study(tmp_path))["notes"]["predictions"]
    assert "cannot be read any more" in note
    assert not note.endswith(":")  # as that line does which what is missing stands below


def test_an_image_that_cannot_be_decoded_is_named(tmp_path):
    for part in ("train", "test"):
        for name in ("a", "b"):
            folder = tmp_path / "set" / part / name
            folder.mkdir(parents=True)
            Image.new("L", (40, 40)).save(folder / "0.png")
    (tmp_path / "set" / "test" / "a" / "0.png").write_bytes(b"broken")
    for loss, good in ((CE, [True, True]), (OSM, [False, False])):
        leave(tmp_path / "out", loss, "dataset=image_folder", f"data_path={tmp_path}/set", right=good, targets=[0, 1])
    told = describe(study(tmp_path / "out"))
    assert [image["picture"] is None for image in told["images"][0]["images"]] == [True, False]
    assert "no image: " in told["notes"]["predictions"][0]
    assert told["images"][0]["images"][1]["target"] == "b"


def test_damaged_predictions_are_named_and_the_others_compared(tmp_path):
    leave_losses(tmp_path, seeds=2)
    leave(tmp_path, FOCAL, right=[True] * 359, targets=LABELS).predictions.write_bytes(b"PAR1")
    told = describe(study(tmp_path))
    assert len(told["classes"][0]["differences"]) == 1
    (note,) = told["notes"]["predictions"]
    assert note.startswith("left out: ")
    assert "cannot be read" in note


def test_curves_are_those_of_metrics_csv(tmp_path):
    folder = leave(tmp_path, epochs=[0.5, 0.75])
    folder.metrics.write_text("epoch,valid/accuracy,train/loss\n0,0.5,\n1,0.75,nan\n2,,1.5\n")
    told, notes = describe_curves(Shown(study(tmp_path)))
    assert told["metrics"] == ["valid/accuracy", "train/loss"]
    assert told["runs"] == {
        0: {"epoch": [1, 2, 3], "values": {"valid/accuracy": [0.5, 0.75, None], "train/loss": [None, None, 1.5]}}
    }
    assert notes == []


@pytest.mark.parametrize("text", ["epoch\nx\n", "valid/accuracy\n0.5\n", "epoch,a\nnan,1\n", "a,b\n1,2,3\n", "\x00"])
def test_a_damaged_record_of_epochs_is_named_and_the_others_are_drawn(tmp_path, text):
    leave(tmp_path, "seed=0", epochs=[0.5])
    damaged = leave(tmp_path, "seed=1", epochs=[0.5])
    damaged.metrics.write_text(text)
    told = describe(study(tmp_path))
    assert list(told["curves"]["runs"]) == [0]
    (note,) = told["notes"]["curves"]
    assert note.startswith(f"no curves: {damaged.path.name}")


def test_long_and_many_curves_are_cut_and_that_is_said(tmp_path, monkeypatch):
    for seed in range(4):
        leave(tmp_path, f"seed={seed}", epochs=[k / 1000 for k in range(1000)])
    monkeypatch.setattr(runs, "MOST_CURVES", 3)
    monkeypatch.setattr(runs, "MOST_POINTS", 30)
    told, notes = describe_curves(Shown(study(tmp_path)))
    assert list(told["runs"]) == [0, 1, 2]
    assert [told["runs"][0]["epoch"][place] for place in (0, -1)] == [1, 1000]
    assert all(len(run["epoch"]) == 10 for run in told["runs"].values())
    assert notes == [
        "curves of the first 3 of 4 runs; name fewer to see others",
        "long runs are drawn by 10 of their epochs, evenly chosen",
    ]
