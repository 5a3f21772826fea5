"""A run is evaluated as it was tested, earlier results are kept, and all mistakes are reported."""

from __future__ import annotations

import base64
import inspect
import json
import re
import shutil
import subprocess
import sys
from html import escape

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import compare
import evaluate
from configuration.reading import read_configuration
from configuration.settings import show
from evaluation import EVALUATIONS
from evaluation.after_training import AFTER_TRAINING
from evaluation.catalogue import NAME_CHECKS
from evaluation.evaluating import evaluate as evaluate_run
from evaluation.record import read_record
from evaluation.requests import Request
from evaluation.subject import open_subject
from losses.contract import REJECTED
from runs.checkpoints import load_checkpoint, save_checkpoint
from runs.folder import RunFolder
from training import runner
from utils.lookup import load_entry
from utils.types import ConfigError, DataError, UserError

pytestmark = pytest.mark.usefixtures("plain_log")
OSM = {"loss_function": "OneSidedMarginLoss", "loss_params": "{lambda_min: 1, lambda_max: 6, reject: true}"}


FOUR = {"classes": ["3", "8", "0", "6"], "num_epochs": 1}


@pytest.fixture
def run(trained) -> RunFolder:
    """A finished run of one epoch on four classes."""
    return trained(**FOUR)


def numbers(folder: RunFolder, *words: str) -> dict[str, float]:
    record = evaluate_run(open_subject(folder.path, *words), only=["classification"], echo=lambda text: None)
    return record.evaluated["classification"].findings.numbers


@pytest.mark.parametrize("loss", [{}, OSM, {"precision": "64-true"}], ids=["logits", "costs", "double"])
def test_a_run_is_judged_as_its_test_judged_it(trained, loss):
    folder = trained(**FOUR, **loss)
    found, summary = numbers(folder), folder.read_summary()
    for name in ("accuracy", "top5_accuracy", "precision", "recall", "f1", "rejected"):
        assert found[name] == pytest.approx(summary[f"test/{name}"], abs=1e-12), name


def test_every_number_is_what_loops_over_the_predictions_count(trained):
    folder = trained(**OSM, num_epochs=1)
    found = numbers(folder)
    table = pq.read_table(folder.predictions).to_pydict()
    pairs = list(zip(table["target"], table["prediction"], strict=True))
    kept = [(t, p) for t, p in pairs if p != REJECTED]
    assert 0 < len(kept) < len(pairs)
    assert found["accuracy_of_not_rejected"] == pytest.approx(sum(t == p for t, p in kept) / len(kept))
    recalls, weights = [], []
    for label in sorted({t for t, _ in pairs}):
        of_label = [p for t, p in pairs if t == label]
        recalls.append(sum(p == label for p in of_label) / len(of_label))
        weights.append(len(of_label))
    assert found["recall"] == pytest.approx(np.mean(recalls))
    assert found["weighted_recall"] == pytest.approx(np.average(recalls, weights=weights))


def test_earlier_results_are_kept_until_the_weights_change(run, monkeypatch):
    monkeypatch.setitem(EVALUATIONS, "again", EVALUATIONS["classification"])
    tell: list[str] = []
    evaluate_run(open_subject(run.path, "test"), only=["classification"], echo=tell.append)
    evaluate_run(open_subject(run.path, "test"), only=["again"], echo=tell.append)
    record = read_record(run.evaluation)
    assert record is not None
    assert [*record.evaluated] == ["classification", "again"]
    assert record.evaluated["again"].findings.numbers == record.evaluated["classification"].findings.numbers
    assert "accuracy" in tell[0]

    checkpoint = load_checkpoint(run.best)
    save_checkpoint(checkpoint | {"value": 0.5}, run.best)
    evaluate_run(open_subject(run.path, "test"), only=["again"], echo=tell.append)
    record = read_record(run.evaluation)
    assert record is not None
    assert [*record.evaluated] == ["again"]


def test_a_folder_of_classes_is_judged_by_their_names(run, tmp_path):
    subject = open_subject(run.path, "test")
    folder = tmp_path / "mine"
    table = subject.data.data.test
    for row in range(40):
        path = folder / subject.classes[table.labels[row]] / f"{row:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.load(row).save(path)
    first = subject.answers.right[:40].double().mean()
    assert numbers(run, str(folder))["accuracy"] == pytest.approx(float(first))
    assert (run.path / "evaluation-mine" / "report.html").is_file()
    assert not run.evaluation.exists()

    (folder / "33").mkdir()
    (folder / "3" / "text.png").write_text("no image")
    with pytest.raises(DataError, match=r"33: no class of this run; did you mean '3'\?\nits 4 classes: 3, 8, 0, 6"):
        open_subject(run.path, str(folder))
    (folder / "33").rmdir()
    with pytest.raises(DataError, match=r"text\.png"):
        open_subject(run.path, str(folder))
    (folder / "3" / "text.png").unlink()
    Image.new("RGBA", (30, 20)).save(folder / "3" / "other.png")  # of another size and kind
    subject = open_subject(run.path, str(folder))
    record = evaluate_run(subject, only=["classification"], echo=(said := []).append)
    note = f"1 of 41 images of {folder} are resized to 8 x 8 pixels, the size of the run's own images "
    assert said[0] == f"note: {note}(image_size: null)"
    assert record.facts["notes"] == [f"{note}(image_size: null)"]
    assert f"<li>{escape(note)}(image_size: null)</li>" in (subject.output / "report.html").read_text()
    assert record.evaluated["classification"].findings.numbers["images"] == 41


def test_folders_of_one_name_are_kept_apart(run, tmp_path):
    subject = open_subject(run.path, "test")
    picture = subject.part.stream.table.load(0)
    for place in ("here", "there", "valid"):
        folder = tmp_path / place / ("photos" if place != "valid" else "") / "3"
        folder.mkdir(parents=True)
        picture.save(folder / "0.png")
    outputs = {}
    for on in (tmp_path / "here" / "photos", tmp_path / "there" / "photos", tmp_path / "valid"):
        for name in ("classification", "cost"):  # the second is added to the first
            subject = open_subject(run.path, str(on))
            record = evaluate_run(subject, only=[name], echo=lambda text: None)
        outputs[subject.output.name] = set(record.evaluated)
    both = {"classification", "cost"}
    assert outputs == {"evaluation-photos": both, "evaluation-photos-2": both, "evaluation-valid-folder": both}
    assert not (run.path / "evaluation-valid").exists()


def test_a_run_that_cannot_be_evaluated_keeps_no_other_from_it(run, trained, capsys):
    other = trained(classes=["3", "8"], num_epochs=1)
    run.best.write_bytes(b"damaged")
    assert evaluate.main([str(run.path), str(other.path), "--only", "classification"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"{run.path}: ")
    assert (other.evaluation / "report.html").is_file()
    assert evaluate.main([str(other.path), "--on", "valid", "--only", "label_noise"]) == 2
    assert not (other.path / "evaluation-valid").exists()


def test_results_with_other_parameters_are_replaced_with_a_line(run, capsys):
    assert evaluate.main([str(run.path), "--only", "representations", "representations.tsne=true"]) == 0
    before = {path.name for path in run.evaluation.glob("features*.png")}
    capsys.readouterr()
    assert evaluate.main([str(run.path), "--only", "representations"]) == 0
    told = "representations: replaces the earlier results with {tsne: true}"
    assert told in capsys.readouterr().out.splitlines()
    assert before - {path.name for path in run.evaluation.glob("features*.png")} == {"features_tsne.png"}


def test_evaluations_of_other_data_are_skipped_with_a_line(run, capsys):
    assert evaluate.main([str(run.path), "--only", "classification", "--also", "reading", "reading.beams=2"]) == 0
    assert "skipped: reading: cannot judge images" in capsys.readouterr().out
    subject = open_subject(run.path, "test", ["evaluate_params.reading.beams=2"])
    record = evaluate_run(subject, only=["classification"], echo=lambda text: None)
    assert record.facts["left_out"] == ["reading: cannot judge images"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name a run folder"),
        (["{run}", "classification.pears=3"], "evaluate_params.classification.pears: unknown parameter; did you mean"),
        (
            ["{run}", "classification.pairs=101"],
            "evaluate_params.classification.pairs: must be a whole number >= 0 and <= 100, got 101",
        ),
        (["{run}/checkpoints"], "not a run folder (no config.yml)"),
        (["{run}", "--only", ""], "--only: names no evaluation"),
        (["{run}", "--also", ","], "--also: names no evaluation"),
        (
            ["{run}", "--only", "calibration", "stability", "cost"],
            "stability: separate evaluations by commas: --only calibration,stability,cost",
        ),
        (["{run}", "--also", "attacks,", "cost"], "cost: separate evaluations by commas: --also attacks,cost"),
        (["{run}", "cost"], "cost: no such folder; to name an evaluation: --only cost"),
        (["{run}", "attacks.eps=3"], "attacks.eps: attacks is not among the requested evaluations; --also attacks"),
        (["{run}", "attaks.eps=3"], "unknown evaluation 'attaks'; did you mean 'attacks'?"),
    ],
)
def test_mistakes_are_reported_with_status_2(run, words, message, capsys):
    assert evaluate.main([word.format(run=run.path) for word in words]) == 2
    assert message in capsys.readouterr().err


def test_mistakes_of_every_kind_are_reported_together(run, capsys):
    words = ["here", str(run.path), "there", "--on", "nowhere", "--only", "calibraton", "--also", "attacks", "cost"]
    changes = ["attacks.foo=1", "calibration.bins=-3", "batchsize=3", "num_epochs=7"]
    assert evaluate.main([*words, *changes]) == 2
    told = capsys.readouterr().err.splitlines()
    assert [re.sub(r"^command line: (evaluate_params\.)?", "", line)[:34] for line in told] == [
        "--only: unknown evaluation 'calibr",
        "here: no such folder",
        "there: no such folder",
        "cost: separate evaluations by comm",
        "--on nowhere: must be test, valid ",
        "batchsize: unknown key; did you me",
        "num_epochs: cannot be changed for ",
        "attacks.foo: unknown parameter (al",
        "calibration.bins: must be a whole ",
    ]


def test_parameters_of_the_run_s_own_evaluations_are_accepted(trained, capsys):
    folder = trained(**FOUR, evaluate="[test_time_augmentation]")
    assert evaluate.main([str(folder.path), "--only", "classification", "classification.pairs=3"]) == 0
    Request([str(folder.path), "test_time_augmentation.views=2"]).check()
    with pytest.raises(ConfigError, match="attacks is not among"):
        Request([str(folder.path), "attacks.eps=2"]).check()


def test_a_run_without_weights_and_one_with_damaged_ones_are_refused(run, capsys):
    run.best.write_bytes(run.best.read_bytes()[:-10])
    assert evaluate.main([str(run.path)]) == 2
    assert "best.ckpt is cut off" in capsys.readouterr().err
    run.best.unlink()
    assert evaluate.main([str(run.path)]) == 2
    assert "no checkpoint checkpoints/best.ckpt: it was deleted" in capsys.readouterr().err
    run.summary.unlink()
    assert evaluate.main([str(run.path)]) == 2
    assert "the run has not completed an epoch yet" in capsys.readouterr().err


def test_an_unfinished_run_is_evaluated_with_a_warning(run, capsys, caplog):
    run.summary.unlink()
    assert evaluate.main([str(run.path), "--only", "classification"]) == 0
    assert "this run is not finished; evaluating its best epoch so far, epoch 1" in capsys.readouterr().err
    assert "warning: the run is not finished" in (run.evaluation / "report.html").read_text()


def test_a_run_with_a_schedule_that_is_refused_today_is_evaluated(run, capsys):
    parts = "{schedulers: [{LinearLR: {}}, {CosineWarmupRestarts: {}}], milestones: [1]}"
    config = run.config.read_text().replace("lr_scheduler: null", "lr_scheduler: SequentialLR")
    run.config.write_text(config.replace("lr_scheduler_params: {}", f"lr_scheduler_params: {parts}"))
    assert evaluate.main([str(run.path), "--only", "classification"]) == 0
    assert "SequentialLR" in run.config.read_text()
    assert "accuracy" in capsys.readouterr().out


def test_weights_of_another_class_count_are_refused(run, trained, capsys):
    shutil.copy(trained(classes=["1", "2", "3", "4", "5"], num_epochs=1).best, run.best)
    assert evaluate.main([str(run.path)]) == 2
    assert "[5], here [4]" in capsys.readouterr().err


def test_compare_accepts_the_numbers_as_metrics(run, capsys):
    found = numbers(run)
    assert compare.main([str(run.path), "--metric", "classification/aurc"]) == 0
    assert f"{found['aurc']:.4f} (1)" in capsys.readouterr().out
    (run.evaluation / "evaluation.json").write_text("{")
    assert compare.main([str(run.path)]) == 2
    assert "evaluation.json is not JSON" in capsys.readouterr().err
    (run.evaluation / "evaluation.json").write_text('{"evaluations": {}}')
    assert compare.main([str(run.path)]) == 2
    assert "evaluation.json is not the record of an evaluation" in capsys.readouterr().err


def test_training_runs_the_evaluations_of_its_configuration_once(run, quick):
    assert not run.evaluation.exists()
    named = FOUR | {"evaluate": "[classification]"}
    assert runner.train(quick(**named), sequel=AFTER_TRAINING)[0] == run  # of a finished run, too
    first = json.loads((run.evaluation / "evaluation.json").read_text())
    runner.train(quick(**named), sequel=AFTER_TRAINING)
    assert json.loads((run.evaluation / "evaluation.json").read_text()) == first
    runner.train(quick(**named, evaluate_params__classification__pairs=2), sequel=AFTER_TRAINING)
    record = read_record(run.evaluation)
    assert record is not None
    assert record.evaluated["classification"].params == {"pairs": 2}


def test_weights_of_chosen_epochs_are_kept(trained):
    folder = trained(num_epochs=3, keep_epochs="[0, 2]")
    assert folder.kept_epochs() == [0, 2]
    subject = open_subject(folder.path, "test")
    selected = {name: tensor.clone() for name, tensor in subject.classifier.state_dict().items()}
    with subject.at_epochs([0]) as members:
        assert [member.epoch for member in members] == [0]
        assert any(not torch.equal(tensor, selected[name]) for name, tensor in subject.classifier.state_dict().items())
    assert all(torch.equal(tensor, selected[name]) for name, tensor in subject.classifier.state_dict().items())


def test_an_epoch_beyond_the_last_cannot_be_kept():
    with pytest.raises(UserError, match=r"keep_epochs: epochs are counted from 0, the last is 4 .* got \[5\]"):
        read_configuration(None, ["num_epochs=5", "keep_epochs=[1, 5]"], NAME_CHECKS)


def test_changed_data_and_a_damaged_record_of_it_are_reported(run, capsys):
    facts = json.loads(run.environment.read_text())
    run.environment.write_text(json.dumps(facts | {"data_fingerprint": "another"}))
    assert evaluate.main([str(run.path), "--only", "classification"]) == 0
    assert "the data is not what this run was trained on" in capsys.readouterr().err
    run.environment.write_text("[" * 10**5)
    assert evaluate.main([str(run.path), "--only", "classification"]) == 2
    assert capsys.readouterr().err.endswith(f"{run.path}: environment.json holds values within too many others\n")


def test_each_evaluation_keeps_its_own_device_date_and_versions(run, monkeypatch):
    evaluate_run(open_subject(run.path), only=["classification"], echo=lambda text: None)
    path = run.evaluation / "evaluation.json"
    values = json.loads(path.read_text())
    elsewhere = {"device": "another device", "evaluated": "2026-01-01T00:00:00+00:00", "packages": {"torch": "2.11.0"}}
    values["evaluations"]["classification"]["conditions"] |= elsewhere
    path.write_text(json.dumps(values | elsewhere))
    evaluate_run(open_subject(run.path), only=["calibration"], echo=lambda text: None)
    record = read_record(run.evaluation)
    assert record is not None
    before, now = (record.evaluated[name].conditions for name in ("classification", "calibration"))
    assert (before.device, before.packages) == ("another device", {"torch": "2.11.0"})
    assert now.device == record.facts["device"] != "another device"
    assert now.packages == record.facts["packages"]
    page = (run.evaluation / "report.html").read_text()
    assert page.count("<img ") == page.count('src="data:image/png;base64,') == 4
    assert not re.search(r"https?://|<script|<link", page)
    assert "weights of epoch 1, " in page
    leads = re.findall(r"<section id=\"(\w+)\"><h2>.*?</h2><p class=lead>[\d.]+ s; (.*?)</p>", page)
    assert [name for name, _ in leads] == ["classification", "calibration"]
    assert leads[0][1] == "another device, 32-true, 2026-01-01T00:00:00+00:00, torch 2.11.0"
    assert escape(now.device) in leads[1][1]


def test_a_file_that_a_foreign_record_names_gets_into_no_page(run, tmp_path, capsys):
    evaluate_run(open_subject(run.path), only=["calibration"], echo=lambda text: None)
    secret = tmp_path / "id_rsa"
    secret.write_text("a private key")
    path = run.evaluation / "evaluation.json"
    values = json.loads(path.read_text())
    foreign = values["evaluations"]["calibration"] | {"pictures": [{"file": str(secret), "caption": "x"}]}
    path.write_text(json.dumps(values | {"evaluations": values["evaluations"] | {"cost": foreign}}))
    assert evaluate.main([str(run.path), "--only", "classification"]) == 0
    page = (run.evaluation / "report.html").read_text()
    assert base64.b64encode(secret.read_bytes()).decode() not in page
    assert "id_rsa" not in page
    assert secret.is_file()


def test_classes_are_kept_with_the_run_and_others_are_refused(run, capsys):
    classes = run.read_classes()
    assert json.loads(run.classes.read_text()) == {"kind": "image", "classes": ["3", "8", "0", "6"]}
    run.write_classes("image", [*classes[:2], "none", *classes[3:]])
    assert evaluate.main([str(run.path), "--only", "classification"]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.endswith("(classes.json): class 2 was 'none', is now '0'")
    run.classes.write_text("{")
    assert evaluate.main([str(run.path), "--only", "classification"]) == 2
    assert "classes.json is not JSON" in capsys.readouterr().err
    for damage in ('{"classes": 5}', '{"classes": ["3", 8]}', f'{{"classes": {"[" * 10**5}'):
        run.classes.write_text(damage)
        assert evaluate.main([str(run.path), "--only", "classification"]) == 2
        assert f"{run.path}: classes.json holds " in capsys.readouterr().err
    run.classes.unlink()  # a run of an earlier version
    assert evaluate.main([str(run.path), "--only", "classification"]) == 0


@pytest.mark.parametrize("option", ["--list", "--help"])
def test_evaluations_are_listed_with_their_parameters_without_torch(option):
    script = f"import sys, evaluate; evaluate.parse(['{option}'])" if option == "--help" else "import sys, evaluate"
    code = f"try:\n    {script}\n    evaluate.main(['--list'])\nfinally:\n    assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name, entry in EVALUATIONS.items():
        _, *parameters = inspect.signature(load_entry(entry)).parameters.values()
        lines = [f"{name}.{parameter.name}={show(parameter.default)}" for parameter in parameters]
        assert re.findall(rf"^ +({name}\..*)", done.stdout, re.MULTILINE) == lines
