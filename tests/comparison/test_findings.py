"""Numbers of evaluate.py keep their unit and direction until they stand in a table, whatever version wrote them."""

from __future__ import annotations

import json

import pytest
from leaving import CE, OSM, leave, study, text_of

from comparison.notes import notes
from comparison.tables import build_tables
from evaluation import EVALUATIONS
from evaluation.findings import Finding, Findings
from evaluation.glossary import GAIN, SHARE, glossary
from evaluation.record import read_record

NUMBERS = [(evaluation, number) for evaluation in EVALUATIONS for number in glossary(evaluation)]


def found(evaluation: str, number: str, value: float) -> Findings:
    findings = Findings(evaluation)
    findings.add_share(number, value, 200)
    return findings


@pytest.mark.parametrize(("evaluation", "pattern"), NUMBERS, ids=[f"{name}/{number}" for name, number in NUMBERS])
def test_every_number_of_every_evaluation_is_shown_in_its_unit_and_ranked_by_its_direction(
    tmp_path, evaluation, pattern
):
    known, number = glossary(evaluation)[pattern], pattern.replace("*", "flips")
    values = {CE: 0.25, OSM: 0.5}
    for loss, value in values.items():
        leave(tmp_path, loss, evaluated=found(evaluation, number, value))
    comparison = study(tmp_path, metric=f"{evaluation}/{number}")
    (heading,) = {table.title for table in build_tables(comparison) if not table.of_all}
    assert heading == f"{evaluation}/{number}{f', {known.unit.name}' if known.unit.name else ''}"
    of_one = known.unit in (SHARE, GAIN)
    for cell in comparison.cells:
        value = values[f"loss_function={cell.row}"]
        assert f"{100 * value if of_one else value:.{known.unit.digits}f} (1)" in text_of(comparison)
    best = {"lower": ["CrossEntropyLoss"], "higher": ["OneSidedMarginLoss"], "": []}[known.better]
    assert [cell.row for cell in comparison.cells if cell.best] == best
    assert bool(comparison.panels[0].improvements) == bool(known.better)


def rewrite(folder, **changes) -> None:
    """Give the one evaluation of a run what an older version wrote."""
    path = folder.evaluation / "evaluation.json"
    values = json.loads(path.read_text())
    ((_, evaluated),) = values["evaluations"].items()
    evaluated |= changes
    evaluated.pop("conditions", None)
    path.write_text(
        json.dumps(values | {"device": "an old CPU", "evaluated": "2025-01-01", "packages": {"torch": "2"}})
    )


def test_numbers_of_an_older_version_have_the_unit_of_their_name(tmp_path):
    folder = leave(tmp_path, evaluated=found("classification", "accuracy", 0.5))
    words = {"accuracy": "50.00 % (95 % interval 43.14 to 56.86)", "gone": "12 km", "shown only": "0.3"}
    rewrite(folder, numbers={"accuracy": 0.5, "gone": 12.0}, words=words)
    record = read_record(folder.evaluation)
    assert record is not None
    evaluated = record.evaluated["classification"]
    assert evaluated.findings.results == {"accuracy": Finding(0.5, "%", 2, "higher"), "gone": Finding(12.0)}
    assert evaluated.findings.notes == ["shown only: 0.3"]
    assert (evaluated.conditions.device, evaluated.conditions.packages) == ("an old CPU", {"torch": "2"})
    assert "classification/accuracy, %\n" in text_of(study(tmp_path, metric="classification/accuracy"))
    assert "classification/gone\n" in text_of(study(tmp_path, metric="classification/gone"))


def test_a_number_in_another_unit_is_averaged_with_no_other(tmp_path):
    for seed, unit in enumerate(("%", "%", "bits")):
        folder = leave(tmp_path, f"seed={seed}", evaluated=found("calibration", "ece", 0.5))
        path = folder.evaluation / "evaluation.json"
        path.write_text(path.read_text().replace('"unit": "%"', f'"unit": "{unit}"'))
    comparison = study(tmp_path, metric="calibration/ece")
    assert [len(cell.group.runs) for cell in comparison.cells] == [2]
    assert f"left out, damaged: {folder.path}: calibration/ece is in 'bits', of others in '%'" in notes(comparison)
    assert [len(cell.group.runs) for cell in study(tmp_path).cells] == [3]


def test_numbers_measured_on_several_devices_are_never_one_mean(tmp_path):
    for seed, device in enumerate(("A CPU", "A GPU")):
        latency = Findings("cost")
        latency.add("latency_ms", 1.0 + seed)
        leave(tmp_path, f"seed={seed}", evaluated=latency, conditions={"device": device})
    assert len(study(tmp_path).cells) == 1
    comparison = study(tmp_path, metric="cost/latency_ms")
    assert [(cell.row, cell.spread and cell.spread.count) for cell in comparison.cells] == [("A CPU", 1), ("A GPU", 1)]
    assert len(study(tmp_path, metric="cost/latency_ms", pool=("device",)).cells) == 1
