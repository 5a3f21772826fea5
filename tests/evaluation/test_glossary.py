"""Laws over all evaluations: numbers are explained, defaults are in range, every loss is judged, files read back."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from configuration.reading import read_configuration
from evaluation import EVALUATIONS, default_evaluations, evaluation_problems, human_agreement, judges
from evaluation.after_training import AFTER_TRAINING
from evaluation.catalogue import NAME_CHECKS
from evaluation.glossary import as_markdown, glossary, meaning
from evaluation.record import Conditions, Evaluated, Record, read_record, write_record
from evaluation.subject import open_subject
from losses import LOSSES
from tests.evaluation.made_up_subject import LOSSES_OF_CLASSES, TEXTS, keep, make_subject, restore, scramble
from training.checks import check_parameters
from utils.lookup import load_entry
from utils.types import ConfigError

DOCS = Path(__file__).resolve().parents[2] / "docs" / "evaluation.md"
QUICKLY = {
    "stability": {"views": 2, "images": 20, "augmentations": {"RandomHorizontalFlip": {}}},
    "representations": {"images_per_class": 20},
    "grad_cam": {"images": 1},
    "cost": {"repeats": 3, "seconds": 0.01},
    "attacks": {"images": 4, "iterations": 1, "curve": False},
    "test_time_augmentation": {"kinds": ["flips", "shifts"], "views": 1},
    "ensembles": {"sizes": [2]},
    "autoattack": {"images": 2, "eps": 255.0},
    "ood": {"data": "made_up", "far": "made_up"},
}
OF_EVERY_LOSS = {
    "calibration": {},
    "ensembles": {},
    "stability": {"views": 2, "images": 20, "shown": 0},
    "test_time_augmentation": {"kinds": ["flips", "training"], "views": 2},
}


def with_kept_epochs(config):
    subject = make_subject(config)
    for epoch in range(2):
        scramble(subject, epoch)
        keep(subject, epoch)
    restore(subject)
    return subject


def test_every_number_of_classes_has_a_meaning_and_is_read_back(quick):
    subject = with_kept_epochs(quick(classes=["3", "8", "0"], image_size="[64, 64]", label_noise=0.2))
    names = [name for name in EVALUATIONS if name not in ("reading", "human_agreement")]
    found = {name: load_entry(EVALUATIONS[name])(subject, **QUICKLY.get(name, {})) for name in names}
    for name, findings in found.items():
        assert findings.results, name
        for number, finding in findings.results.items():
            declared = meaning(name, number)
            assert declared is not None, (name, number)
            assert (finding.unit, finding.digits, finding.better) == (*declared.unit, declared.better), number
            assert finding.compared == (name != "heat_map")
    facts = {"checkpoint": "c", "data_fingerprint": "d", "images": 1, "finished": True}
    at = Conditions("a GPU", "32-true", "2026-01-01T00:00:00", {"torch": "2.15.0", "timm": None})
    record = Record(facts, {name: Evaluated({"a": 1}, findings, 1.25, at) for name, findings in found.items()})
    for findings in found.values():
        findings.details["mean"] = np.float64(0.5)
    write_record(record, subject.output)
    again = read_record(subject.output)
    assert again is not None
    assert again.compared() == record.compared()
    assert [each.findings.details["mean"] for each in again.evaluated.values()] == [0.5] * len(found)
    for name, findings in found.items():
        read = again.evaluated[name].findings
        assert (read.results, read.tables, read.figures) == (findings.results, findings.tables, findings.figures)
        assert again.evaluated[name].conditions == at


def test_every_number_of_texts_has_a_meaning(trained):
    subject = open_subject(trained(**TEXTS).path)
    subject.output.mkdir()
    assert load_entry(EVALUATIONS["reading"])(subject, beams=2).words.keys() == glossary("reading").keys()


def test_every_number_of_people_has_a_meaning(quick, monkeypatch, tmp_path):
    made = make_subject(quick())
    monkeypatch.setattr(human_agreement, "SHAPE", (len(made.part), 10))
    np.save(tmp_path / human_agreement.FILE, np.eye(10)[made.data.data.test.labels])
    config = structs.replace(made.config, dataset="cifar10", data_path=str(tmp_path))
    found = human_agreement.human_agreement(dataclasses.replace(made, config=config))
    assert found.words.keys() == glossary("human_agreement").keys()


@pytest.mark.parametrize("name", EVALUATIONS)
def test_the_docs_have_the_same_words(name):
    section = DOCS.read_text(encoding="utf-8").split(f"\n## {name}\n")[1].split("\n## ")[0]
    assert as_markdown(name) in section


def test_declarations_are_read_without_importing_the_evaluation():
    assert default_evaluations("sequence") == ("reading", "cost")
    assert "attacks" not in default_evaluations("image")
    assert [name for name in EVALUATIONS if judges(name, "image") and judges(name, "sequence")] == ["cost"]
    assert meaning("cost", "unknown") is None
    assert meaning("unknown", "accuracy") is None


@pytest.mark.parametrize("name", LOSSES_OF_CLASSES)
def test_every_loss_is_evaluated(quick, name, monkeypatch):
    for module in ("evaluation.calibration", "evaluation.stability", "runs.figures"):
        monkeypatch.setattr(f"{module}.write_figure", lambda figure, path, **options: path.touch())
    few = load_entry(LOSSES[name]).num_classes or 4
    augmented = {"augment_images": "true", "image_augmentations": "{RandomAffine: {degrees: 20}}"}
    classes = ["3", "8", "0", "6"][:few]
    subject = with_kept_epochs(quick(loss_function=name, classes=classes, valid_fraction=0.3, **augmented))
    for evaluation, params in OF_EVERY_LOSS.items():
        numbers = load_entry(EVALUATIONS[evaluation])(subject, **params).numbers
        assert numbers
        assert all(math.isfinite(value) for value in numbers.values()), numbers
        if evaluation == "calibration":  # the probabilities of an untrained network are uniform after scaling
            assert numbers["scaled_nll"] < 1.2 * math.log(few)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("classification", {"pairs": 101}, "must be a whole number >= 0 and <= 100, got 101"),
        ("calibration", {"bins": 0}, "must be a whole number >= 1, got 0"),
        ("representations", {"perplexity": 0.0}, "must be a number > 0, got 0.0"),
        ("representations", {"images_per_class": 0}, "must be a whole number >= 1 or null, got 0"),
        ("attacks", {"eps": math.nan}, "must be a number > 0 and <= 255, got nan"),
        ("attacks", {"step": math.inf}, "must be a number > 0 and <= 255, got inf"),
        ("attacks", {"objective": "x"}, "must be 'cross_entropy', 'margin' or 'own', got 'x'"),
        ("ensembles", {"sizes": [2, 0]}, "must be a list of whole numbers >= 1 or null, got [2, 0]"),
    ],
)
def test_a_value_out_of_range_is_reported(name, params, message):
    assert evaluation_problems(name, params) == {next(iter(params)): message}


@pytest.mark.parametrize("name", EVALUATIONS)
def test_defaults_are_within_their_ranges(name):
    assert evaluation_problems(name, {}) == {}


def test_all_mistakes_are_reported_before_training():
    words = ["evaluate=[attacks]", "evaluate_params.attacks.eps=-3", "evaluate_params.stability={views: 0, vews: 1}"]
    with pytest.raises(ConfigError) as raised:
        check_parameters(read_configuration(None, words, NAME_CHECKS), AFTER_TRAINING.checks)
    lines = str(raised.value)
    assert "evaluate_params.attacks.eps: must be a number > 0 and <= 255, got -3" in lines
    assert "evaluate_params.stability.views: must be a whole number >= 2, got 0" in lines
    assert "evaluate_params.stability.vews: unknown parameter; did you mean 'views'?" in lines
