"""Numbers of texts against texts by hand."""

from __future__ import annotations

import dataclasses
import difflib

import pytest

from datasets.sequences import decode_texts
from evaluation.evaluating import evaluate
from evaluation.predicting import predict
from evaluation.reading import reading
from evaluation.subject import Subject, open_subject
from tests.evaluation.made_up_subject import TEXTS

pytestmark = pytest.mark.usefixtures("plain_log")


@pytest.fixture
def subject(trained) -> Subject:
    return open_subject(trained(**TEXTS).path)


def test_numbers_are_those_of_the_texts(subject):
    target = subject.answers.target
    prediction = target.clone()
    prediction[0, 0] = (prediction[0, 0] + 1) % len(subject.classes)
    subject.output.mkdir(parents=True)
    vars(subject)["answers"] = dataclasses.replace(subject.answers, prediction=prediction)
    found = reading(subject)
    characters = int((target >= 0).sum())
    assert found.numbers["accuracy"] == 1 - 1 / len(target)
    assert found.numbers["character_error_rate"] == pytest.approx(1 / characters)
    (misread,) = (table for table in found.tables if table.title == "Misread")
    assert [row[4] for row in misread.rows] == ["1"]
    written, read = misread.rows[0][2:4]
    assert difflib.SequenceMatcher(None, written, read).ratio() >= 1 - 1 / len(written)
    assert {figure.path.name for figure in found.figures} == {"places.png", "misread.png"}
    assert all(figure.path.is_file() for figure in found.figures)


def test_texts_are_judged_as_in_the_run_s_test_and_not_by_evaluations_of_classes(subject):
    record = evaluate(subject, also=["classification"], echo=lambda text: None)
    summary = subject.folder.read_summary()
    numbers = record.evaluated["reading"].findings.numbers
    assert numbers["accuracy"] == pytest.approx(summary["test/accuracy"])
    assert numbers["character_error_rate"] == pytest.approx(summary["test/character_error_rate"])
    assert "classification" not in record.evaluated
    assert "classification: cannot judge sequences" in record.facts["left_out"]


def test_pictures_are_read_as_the_test_images_were(subject, tmp_path):
    paths = []
    for row in range(5):
        paths.append(tmp_path / f"{row}.png")
        subject.part.stream.table.load(row).save(paths[-1])
    predictions = predict(subject, paths, top=3)
    texts = decode_texts(subject.answers.prediction.numpy()[:5], subject.classes)
    assert [each.guess.name or "" for each in predictions.images] == texts
    assert all(0 < each.guess.likeliest[0][1] <= 1 for each in predictions.images)
