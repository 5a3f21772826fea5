"""Every number that an evaluation finds is explained, in the page and in the docs by the same words."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from evaluation import EVALUATIONS, human_agreement
from evaluation.findings import Findings
from evaluation.glossary import GLOSSARY, as_markdown, meaning
from evaluation.record import Conditions, Evaluated, Record, read_record, write_record
from evaluation.subject import Subject, open_subject
from tests.evaluation.made_up_subject import keep, make_subject, scramble
from training import runner
from utils.lookup import load_entry

DOCS = Path(__file__).resolve().parents[2] / "docs" / "evaluation.md"
QUICKLY = {
    "stability": {"views": 2, "images": 20, "augmentations": {"RandomHorizontalFlip": {}}},
    "representations": {"images_per_class": 20},
    "grad_cam": {"images": 1},
    "cost": {"repeats": 3, "seconds": 0.01},
    "attacks": {"images": 4, "iterations": 1, "curve": False},
    "test_time_augmentation": {"kinds": ["flips", "shifts"], "views": 1},
    "ensembles": {"sizes": [2]},
}


def unexplained(evaluation: str, found: Findings) -> list[str]:
    return [number for number in {**found.numbers, **found.words} if meaning(evaluation, number) is None]


@pytest.fixture
def subject(quick) -> Subject:
    """A run of wrong labels, three kept epochs and images that are large enough for every evaluation."""
    made = make_subject(quick(classes=["3", "8", "0"], image_size="[64, 64]", label_noise=0.2))
    for epoch in range(2):
        scramble(made, epoch)
        keep(made, epoch)
    made.restore()
    return made


def test_every_number_found_of_classes_has_a_meaning(subject):
    names = [name for name in EVALUATIONS if name not in ("reading", "human_agreement")]
    found = {name: load_entry(EVALUATIONS[name])(subject, **QUICKLY.get(name, {})) for name in names}
    assert all(each.words for each in found.values())
    assert {name: missing for name, each in found.items() if (missing := unexplained(name, each))} == {}
    for name, each in found.items():
        for number, finding in each.found.items():
            declared = meaning(name, number)
            assert declared is not None
            assert (finding.unit, finding.digits, finding.better) == (*declared.unit, declared.better), number
    facts = {"checkpoint": "c", "data_fingerprint": "d", "images": 1, "finished": True}
    at = Conditions("a GPU", "32-true", "2026-01-01T00:00:00", {"torch": "2.15.0", "timm": None})
    record = Record(facts, {name: Evaluated({"a": 1}, each, 1.25, at) for name, each in found.items()})
    write_record(record, subject.output)
    read = read_record(subject.output)
    assert read is not None
    assert read.compared() == record.compared()
    for name, each in record.evaluated.items():
        assert (read.evaluated[name].findings.found, read.evaluated[name].conditions) == (each.findings.found, at)
        assert read.evaluated[name].findings.tables == each.findings.tables
        assert read.evaluated[name].findings.pictures == each.findings.pictures
    assert all(number.compared == (name != "heat_map") for name in found for number in found[name].found.values())


def test_every_number_found_of_texts_has_a_meaning(quick, monkeypatch):
    monkeypatch.setattr("training.report.draw_results", lambda *arguments, **options: None)
    monkeypatch.setattr("training.report.draw_augmentations", lambda *arguments: None)
    changes = {"architecture": "lprnet_small", "loss_function": "ConnectionistTemporalLoss", "num_epochs": 1}
    data = {"dataset": "made_up", "data_params": "{like: plates}", "image_size": "[24, 94]"}
    config = quick(**data, **changes, convert_to_grayscale="false")
    subject = open_subject(runner.train(config)[0].path)
    subject.output.mkdir()
    found = load_entry(EVALUATIONS["reading"])(subject, beams=2)
    assert len(found.words) == len(GLOSSARY["reading"])
    assert unexplained("reading", found) == []


def test_every_number_found_of_people_has_a_meaning(quick, monkeypatch, tmp_path):
    made = make_subject(quick())
    monkeypatch.setattr(human_agreement, "SHAPE", (len(made.part), 10))
    np.save(tmp_path / human_agreement.FILE, np.eye(10)[made.data.data.test.labels])
    config = structs.replace(made.config, dataset="cifar10", data_path=str(tmp_path))
    found = human_agreement.human_agreement(dataclasses.replace(made, config=config))
    assert len(found.words) == len(GLOSSARY["human_agreement"])
    assert unexplained("human_agreement", found) == []


@pytest.mark.parametrize("name", EVALUATIONS)
def test_the_docs_have_the_same_words(name):
    section = DOCS.read_text(encoding="utf-8").split(f"\n## {name}\n")[1].split("\n## ")[0]
    assert as_markdown(name) in section


def test_directions_are_those_of_the_number():
    told = {
        "lower": [("calibration", "scaled_ece"), ("classification", "aurc"), ("human_agreement", "kl")],
        "higher": [("classification", "accuracy"), ("cost", "images_per_second"), ("label_noise", "recovered")],
        "": [("calibration", "temperature"), ("representations", "intra_class_distance"), ("attacks", "images")],
    }
    for better, numbers in told.items():
        assert [known.better for name in numbers if (known := meaning(*name))] == [better] * 3
    assert meaning("cost", "unknown") is None
