"""Classification of image files: which are found, how they are read, and reports of unreadable ones."""

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
from evaluation.image_files import find_images
from evaluation.predicting import Prediction, Predictions, as_table, predict, write_csv
from evaluation.subject import open_subject
from runs.outcomes import Guess
from tests.evaluation.made_up_subject import make_subject
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


def test_an_image_is_classified_as_in_the_run_s_own_test(subject, picture):
    (prediction,) = predict(subject, [picture], top=2).images
    p = subject.answers.log_probabilities[0].double().exp()
    assert prediction.guess.name == subject.classes[int(subject.answers.prediction[0])]
    assert [name for name, _ in prediction.guess.likeliest] == [
        CLASSES[k] for k in p.argsort(descending=True)[:2].tolist()
    ]
    assert prediction.guess.likeliest[0][1] == pytest.approx(float(p.max()), rel=1e-5)


def test_every_format_is_read_as_in_training(subject, picture, tmp_path):
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
    first, *others = predict(subject, paths, top=3).images
    for each in others:
        assert dict(each.guess.likeliest) == pytest.approx(dict(first.guess.likeliest)), each.path


def test_unreadable_images_are_reported_and_the_others_classified(subject, picture, tmp_path):
    (tmp_path / "broken.png").write_bytes(picture.read_bytes()[:60])
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "moving.gif")
    paths = [tmp_path / name for name in ("broken.png", "moving.gif", "digit.png")]
    predictions = predict(subject, paths, top=1)
    assert [path for path, _ in predictions.images] == [picture]
    broken, moving = predictions.unreadable
    assert "broken.png: damaged" in broken
    assert "moving.gif: damaged, or not one of JPEG, PNG, WEBP, BMP" in moving
    with pytest.raises(DataError, match=r"(?s)broken\.png.*moving\.gif"):
        predict(subject, paths[:2], top=1)


def test_images_are_resized_to_the_size_of_training(subject, picture, tmp_path):
    with Image.open(picture) as image:
        image.resize((16, 16), Image.Resampling.NEAREST).save(tmp_path / "twice.png")
    first, second = predict(subject, [picture, tmp_path / "twice.png"], top=1).images
    assert dict(second.guess.likeliest) == pytest.approx(dict(first.guess.likeliest), abs=0.05)


def test_folders_and_patterns_give_their_images_once_and_in_order(photographs):
    names = [
        str(path.relative_to(photographs))
        for path in find_images([str(photographs), str(photographs / "*.jpg")]).images
    ]
    assert names == ["a.jpg", "b.png", "inner/c.BMP"]
    assert [*find_images([str(photographs / "**" / "*.BMP")]).images] == [photographs / "inner" / "c.BMP"]
    named = find_images([str(photographs), str(photographs / "notes.txt")])
    assert [*named.images][-1] == photographs / "notes.txt"  # named, so it is said of it
    assert named.ignored() is None


def test_other_files_are_counted_by_their_endings(photographs):
    for name in ("b.csv", "inner/a.txt", "inner/c.TXT", "README"):
        (photographs / name).write_text("none")
    words = [str(photographs), str(photographs / "*"), str(photographs / "**")]  # the same files, each counted once
    line = "ignored: 5 files that are not images (.txt 3, .csv 1, without an ending 1)"
    assert [find_images([word]).ignored() for word in words] == [line] * 3
    assert find_images(words).ignored() == line
    assert find_images([str(photographs / "*.jpg")]).ignored() is None


def test_words_that_name_no_image_are_reported_together(photographs, tmp_path):
    (tmp_path / "empty").mkdir()
    words = [str(tmp_path / "gone.png"), str(tmp_path / "empty"), str(photographs / "*.txt"), str(tmp_path / "x*y")]
    endings = ".jpg, .jpeg, .png, .webp, .bmp"
    with pytest.raises(DataError) as raised:
        find_images(words)
    lines = str(raised.value).splitlines()
    assert [line.removeprefix(f"{word}: ") for word, line in zip(words, lines, strict=True)] == [
        "no such file or folder",
        f"no images in this folder, ending in {endings}",
        f"matches 1 files, none ending in {endings}",
        "matches nothing",
    ]


def test_more_images_than_a_batch_keep_their_order(quick, tmp_path):
    subject = make_subject(quick(classes=CLASSES, batch_size=4))
    for n, pixels in enumerate(np.asarray(subject.part.stream.table.images)[:11]):
        Image.fromarray(pixels.squeeze()).save(tmp_path / f"{n:02}.png")
    predictions = predict(subject, [*find_images([str(tmp_path)]).images], top=1).images
    expected = subject.answers.prediction[:11].tolist()
    assert [CLASSES.index(guess.name or "") for _, guess in predictions] == expected


def test_rejections_and_conventions_are_reported(tmp_path):
    rejected = Prediction(tmp_path / "a.png", Guess(None, (("cat", 0.75), ("dog", 0.25))))
    lines = as_table(Predictions((rejected, rejected), (), False), limit=1).splitlines()
    assert lines[0].endswith("a.png  (rejected: none of the classes), cat 75.0 %, dog 25.0 %")
    assert lines[1] == "and 1 more, in the file"
    assert "a convention of the loss, not a posterior" in lines[2]
    assert "posterior" not in as_table(Predictions((rejected,), (), True))


def test_names_of_classes_are_not_run_as_formulas(tmp_path):
    name = '=HYPERLINK("http://evil","x")'
    prediction = Prediction(Path("@SUM(A1).png"), Guess(name, ((name, 0.75), ("-1", 0.25))))
    write_csv(Predictions((prediction,), (), True), tmp_path / "out.csv")
    _, row = csv.reader((tmp_path / "out.csv").read_text().splitlines())
    assert row == ["'@SUM(A1).png", f"'{name}", f"'{name}", "0.75", "-1", "0.25"]


@pytest.mark.usefixtures("plain_log")
def test_the_script_classifies_images_by_a_trained_run(trained, photographs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = trained(classes=["3", "8"], num_epochs=1, loss_function="BinaryCrossEntropyLoss")
    digits: Any = load_digits()
    shown = digits.images[digits.target == 3][0]
    Image.fromarray((shown * 255 / 16).astype(np.uint8)).save(photographs / "three.png")
    (photographs / "broken.png").write_bytes(b"no picture")
    files = ["--csv", "out.csv", "--json", "out.json"]
    arguments = [str(photographs), "--run", str(folder.path), *files, "accelerator=cpu"]
    capsys.readouterr()
    assert script.main(arguments) == 1  # one is broken
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 5
    assert out.splitlines()[-1] == "ignored: 1 file that is not an image (.txt 1)"
    assert "broken.png: damaged" in err
    with open("out.csv", newline="", encoding="utf-8") as file:
        rows = {row["image"].rpartition("/")[2]: row for row in csv.DictReader(file)}
    told = json.loads((tmp_path / "out.json").read_text())
    assert [each["image"] for each in told["pictures"]] == [
        str(path) for path in find_images([str(photographs)]).images if path.name != "broken.png"
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


def test_all_mistakes_are_reported_before_anything_is_read_or_written(tmp_path, capsys, monkeypatch):
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
