"""Classes of single pictures: which are found, how they are read, what is said of those that cannot be."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import predict as script
from evaluation.finding_pictures import find_pictures
from evaluation.predicting import predict
from evaluation.predictions import Prediction, Predictions, as_table, write_csv
from evaluation.subject import open_subject
from runs.outcomes import Guess
from tests.evaluation.made_up_subject import make_subject
from training import runner
from utils.types import DataError

CLASSES = ["3", "8", "0"]


@pytest.fixture
def subject(quick):
    return make_subject(quick(classes=CLASSES))


@pytest.fixture
def picture(subject, tmp_path):
    """A test image of the run, as a file."""
    path = tmp_path / "digit.png"
    Image.fromarray(np.asarray(subject.part.stream.table.images)[0].squeeze()).save(path)
    return path


@pytest.fixture
def photographs(tmp_path):
    """A folder with pictures at two depths, and what is none."""
    folder = tmp_path / "photographs"
    (folder / "inner").mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in ("b.png", "a.jpg", "inner/c.BMP"):
        Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("none")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


def test_a_picture_is_told_as_in_the_run_s_own_test(subject, picture):
    (told,) = predict(subject, [picture], top=2).pictures
    p = subject.answers.log_probabilities[0].double().exp()
    assert told.guess.name == subject.classes[int(subject.answers.prediction[0])]
    assert [name for name, _ in told.guess.likeliest] == [CLASSES[k] for k in p.argsort(descending=True)[:2].tolist()]
    assert told.guess.likeliest[0][1] == pytest.approx(float(p.max()), rel=1e-5)


def test_every_kind_of_picture_is_read_as_in_training(subject, picture, tmp_path):
    gray = np.asarray(Image.open(picture).convert("L"))
    upright = Image.fromarray(gray)
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = {
        "colour.png": upright.convert("RGB"),
        "transparent.png": upright.convert("RGBA"),
        "deep.png": Image.fromarray(gray.astype(np.uint16) * 257),
        "lossless.webp": upright.convert("RGB"),
    }
    for name, image in kinds.items():
        image.save(tmp_path / name, lossless=True) if name.endswith("webp") else image.save(tmp_path / name)
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    paths = [picture, *(tmp_path / name for name in (*kinds, "turned.png"))]
    first, *others = predict(subject, paths, top=3).pictures
    for each in others:
        assert dict(each.guess.likeliest) == pytest.approx(dict(first.guess.likeliest)), each.path


def test_pictures_that_cannot_be_read_are_named_and_the_others_told(subject, picture, tmp_path):
    (tmp_path / "broken.png").write_bytes(picture.read_bytes()[:60])
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "moving.gif")
    paths = [tmp_path / name for name in ("broken.png", "moving.gif", "digit.png")]
    told = predict(subject, paths, top=1)
    assert [each.path for each in told.pictures] == [picture]
    broken, moving = told.unreadable
    assert "broken.png: damaged" in broken
    assert "moving.gif: damaged, or not one of JPEG, PNG, WEBP, BMP" in moving
    with pytest.raises(DataError, match=r"(?s)broken\.png.*moving\.gif"):
        predict(subject, paths[:2], top=1)


def test_pictures_of_any_size_are_resized_to_what_the_network_was_trained_on(subject, picture, tmp_path):
    with Image.open(picture) as image:
        image.resize((16, 16), Image.Resampling.NEAREST).save(tmp_path / "twice.png")
    first, second = predict(subject, [picture, tmp_path / "twice.png"], top=1).pictures
    assert dict(second.guess.likeliest) == pytest.approx(dict(first.guess.likeliest), abs=0.05)


def test_folders_and_patterns_give_their_pictures_once_and_in_order(photographs):
    names = [
        str(path.relative_to(photographs))
        for path in find_pictures([str(photographs), str(photographs / "*.jpg")]).pictures
    ]
    assert names == ["a.jpg", "b.png", "inner/c.BMP"]
    assert [*find_pictures([str(photographs / "**" / "*.BMP")]).pictures] == [photographs / "inner" / "c.BMP"]
    named = find_pictures([str(photographs), str(photographs / "notes.txt")])
    assert [*named.pictures][-1] == photographs / "notes.txt"  # named, so it is said of it
    assert named.passed_over() is None


def test_files_that_are_no_images_are_counted_by_their_endings(photographs):
    for name in ("b.csv", "inner/a.txt", "inner/c.TXT", "README"):
        (photographs / name).write_text("none")
    words = [str(photographs), str(photographs / "*"), str(photographs / "**")]  # the same files, each counted once
    told = "passed over: 5 files that are no images (.txt 3, .csv 1, without an ending 1)"
    assert [find_pictures([word]).passed_over() for word in words] == [told] * 3
    assert find_pictures(words).passed_over() == told
    assert find_pictures([str(photographs / "*.jpg")]).passed_over() is None


def test_words_that_name_no_picture_are_told_all_at_once(photographs, tmp_path):
    (tmp_path / "empty").mkdir()
    words = [str(tmp_path / "gone.png"), str(tmp_path / "empty"), str(photographs / "*.txt"), str(tmp_path / "x*y")]
    with pytest.raises(DataError) as told:
        find_pictures(words)
    assert [line.removeprefix(f"{word}: ") for word, line in zip(words, str(told.value).splitlines(), strict=True)] == [
        "no such file or folder",
        "no pictures in it, ending in .jpg, .jpeg, .png, .webp, .bmp",
        "matches 1 files, none ending in .jpg, .jpeg, .png, .webp, .bmp",
        "matches nothing",
    ]


def test_more_pictures_than_a_batch_are_told_in_their_order(quick, tmp_path):
    subject = make_subject(quick(classes=CLASSES, batch_size=4))
    for n, pixels in enumerate(np.asarray(subject.part.stream.table.images)[:11]):
        Image.fromarray(pixels.squeeze()).save(tmp_path / f"{n:02}.png")
    told = predict(subject, [*find_pictures([str(tmp_path)]).pictures], top=1)
    assert [CLASSES.index(each.guess.name or "") for each in told.pictures] == subject.answers.prediction[:11].tolist()


def test_rejected_pictures_and_probabilities_of_convention_are_said(tmp_path):
    rejected = Prediction(tmp_path / "a.png", Guess(None, (("cat", 0.75), ("dog", 0.25))))
    lines = as_table(Predictions((rejected, rejected), (), False), most=1).splitlines()
    assert lines[0].endswith("a.png  (rejected: none of the classes), cat 75.0 %, dog 25.0 %")
    assert lines[1] == "and 1 more, in the file"
    assert "a convention of the loss, not a posterior" in lines[2]
    assert "convention" not in as_table(Predictions((rejected,), (), True))


def test_names_of_classes_are_no_formulas(tmp_path):
    name = '=HYPERLINK("http://evil","x")'
    told = Prediction(Path("@SUM(A1).png"), Guess(name, ((name, 0.75), ("-1", 0.25))))
    write_csv(Predictions((told,), (), True), tmp_path / "told.csv")
    _, row = csv.reader((tmp_path / "told.csv").read_text().splitlines())
    assert row == ["'@SUM(A1).png", f"'{name}", f"'{name}", "0.75", "-1", "0.25"]


@pytest.mark.usefixtures("plain_log")
def test_the_script_tells_pictures_by_a_trained_run(quick, photographs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = quick(classes=["3", "8"], num_epochs=1, loss_function="BinaryCrossEntropyLoss")
    folder, _ = runner.train(config)
    digits: Any = load_digits()
    shown = digits.images[digits.target == 3][0]
    Image.fromarray((shown * 255 / 16).astype(np.uint8)).save(photographs / "three.png")
    (photographs / "broken.png").write_bytes(b"no picture")
    arguments = [
        str(photographs),
        "--run",
        str(folder.path),
        "--csv",
        "told.csv",
        "--json",
        "told.json",
        "accelerator=cpu",
    ]
    capsys.readouterr()
    assert script.main(arguments) == 1  # one is broken
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 5
    assert out.splitlines()[-1] == "passed over: 1 file that is no image (.txt 1)"
    assert "broken.png: damaged" in err
    with open("told.csv", newline="", encoding="utf-8") as file:
        rows = {row["image"].rpartition("/")[2]: row for row in csv.DictReader(file)}
    told = json.loads((tmp_path / "told.json").read_text())
    assert [each["image"] for each in told["pictures"]] == [
        str(path) for path in find_pictures([str(photographs)]).pictures if path.name != "broken.png"
    ]
    for each in told["pictures"]:
        row = rows[each["image"].rpartition("/")[2]]
        assert row["prediction"] == each["prediction"] == each["likeliest"][0]["class"] == row["class_1"]
        assert sum(guess["probability"] for guess in each["likeliest"]) == pytest.approx(1)
    subject = open_subject(folder.path, "test")
    position = subject.classes.index(rows["three.png"]["prediction"])
    pixels = torch.from_numpy((shown * 255 / 16).astype(np.uint8))[None, None]
    scores = subject.classifier(subject.part.stream.preprocessing.to_numbers(pixels)).scores
    assert int(subject.classifier.loss.predict(scores)) == position


def test_mistakes_are_told_at_once_before_anything_is_read_or_made(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    arguments = ["gone.png", "--run", "nowhere", "--top", "0", "--csv", "missing/x.csv", "--json", "folder"]
    assert script.main(arguments) == 2
    assert capsys.readouterr().err.splitlines() == [
        "--run nowhere: no such folder",
        "--json folder: is a folder, not a file",
        "--csv missing/x.csv: no such folder: missing",
        "--top: must be a whole number >= 1, got 0",
        "gone.png: no such file or folder",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.png", "--run", "nowhere"], "--run nowhere: no such folder"),
        (["x.png", "--run", ".", "--top", "0"], "--top: must be a whole number >= 1, got 0"),
        (["accelerator=cpu", "--run", "."], "give a picture, a pattern or a folder"),
        (["gone.png", "--run", "."], "gone.png: no such file or folder"),
    ],
)
def test_mistakes_are_told_with_status_2(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert script.main(arguments) == 2
    assert message in capsys.readouterr().err
