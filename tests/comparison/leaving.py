"""Writes the folders that finished runs leave, without training any, and compares them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from comparison.formats import to_terminal
from comparison.notes import notes
from comparison.panels import Comparison, Options, compare
from comparison.significance import Contrast
from comparison.sources import find_runs
from comparison.tables import build_tables
from configuration.reading import read_configuration
from evaluation.findings import Findings
from evaluation.record import Conditions, Evaluated, Record, write_record
from runs.folder import RunFolder, TrialRecord, run_prefix
from runs.identity import fingerprint

ENVIRONMENT = {
    **{"device": "cpu", "precision": "32-true", "processor": "A CPU", "threads": 2, "python": "3.12.3", "cuda": None},
    "packages": {"torch": "2.15.0", "torchvision": "0.30.0", "timm": "1.1.0", "numpy": "2.4.0"},
    "git_commit": "0" * 40,
    "git_changed": False,
}
"""Of a run that recorded no code."""
CE, OSM, FOCAL = (f"loss_function={name}" for name in ("CrossEntropyLoss", "OneSidedMarginLoss", "FocalLoss"))
COMMON = ["dataset=digits", "architecture=resnet10t", "trackers=[]", "num_epochs=3"]


def leave(
    output: Path,
    *changes: str,
    accuracy: float | None = 0.9,
    right: Sequence[bool] | None = None,
    targets: Sequence[int] | Sequence[str] | None = None,
    data: str = "0123456789abcdef",
    epochs: Sequence[float] = (),
    suffix: str = "",
    summary: Mapping[str, Any] | None = None,
    trial: TrialRecord | None = None,
    evaluated: Findings | Sequence[Findings] = (),
    environment: Mapping[str, Any] | None = None,
    conditions: Mapping[str, Any] | None = None,
) -> RunFolder:
    """Write a run's folder.

    Args:
        changes: `key=value` of the configuration.
        accuracy: of the test; None leaves the run unfinished. It follows from `right` where that is given.
        right: whether the prediction of each test image is right; None for no predictions.
        targets: classes, by default 0 to 9 in turn, or texts.
        epochs: valid/accuracy of each epoch.
        trial: which trial of a search it is.
        evaluated: what evaluations found in it. conditions: where they were done.
        environment: what its record says otherwise than `ENVIRONMENT`.
    """
    config = read_configuration(None, [*COMMON, f"output_path={output}", *changes])
    folder = RunFolder(output / f"{run_prefix(config)}-s{config.seed}-{fingerprint(config, data)}{suffix}")
    folder.path.mkdir(parents=True)
    folder.config.write_text(config.to_yaml())
    folder.environment.write_text(json.dumps(ENVIRONMENT | {"data_fingerprint": data} | dict(environment or {})))
    if trial is not None:
        folder.write_trial(trial)
    if epochs:
        folder.write_metrics([{"epoch": float(k), "valid/accuracy": value} for k, value in enumerate(epochs)])
    if right is not None:
        accuracy = sum(right) / len(right)
        labels = [k % 10 for k in range(len(right))] if targets is None else list(targets)
        predictions = [label if good else _another(label) for label, good in zip(labels, right, strict=True)]
        table = pa.table({"index": range(len(right)), "target": labels, "prediction": predictions})
        pq.write_table(table, folder.predictions)
    if accuracy is not None:
        costs = {"seconds": 2.0, "images_per_second": 100.0, "num_parameters": 10, "multiply_adds": 20}
        numbers = {"test/accuracy": accuracy, "test/cross_entropy": 1 - accuracy, **costs, "noisy_labels": None}
        folder.summary.write_text(json.dumps(numbers | dict(summary or {})))
    if found := [evaluated] if isinstance(evaluated, Findings) else evaluated:
        folder.evaluation.mkdir()
        facts = {"checkpoint": "", "data_fingerprint": data, "images": 0, "finished": True}
        where: dict[str, Any] = {"device": "A CPU", **(conditions or {})}
        at = Conditions(**where)
        write_record(
            Record(facts, {each.evaluation: Evaluated({}, each, 1.0, at) for each in found}), folder.evaluation
        )
    return folder


def _another(label: int | str) -> int | str:
    return f"{label}9" if isinstance(label, str) else (label + 1) % 10


def study(*places: Path, **options: Any) -> Comparison:
    return compare(find_runs([str(place) for place in places]), Options(**dict[str, Any](two_tests=True) | options))


def text_of(comparison: Comparison) -> str:
    return to_terminal(build_tables(comparison), notes(comparison))


def contrast(comparison: Comparison, row: str) -> Contrast:
    (found,) = [tested for cell, tested in comparison.contrasts if cell.row == row]
    assert found is not None
    return found


def leave_losses(output: Path, seeds: int = 3) -> None:
    """Cross entropy right on 80 of 100 images, the other loss on these and 8 to 10 more."""
    for seed in range(seeds):
        leave(output, CE, f"seed={seed}", right=[k < 80 for k in range(100)])
        leave(output, OSM, f"seed={seed}", right=[k < 88 + seed for k in range(100)])
