"""Writes the folders that finished runs leave, without training any."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from utils.configuration.reading import read_configuration
from utils.evaluation.findings import Findings
from utils.evaluation.record import Evaluated, Record, write_record
from utils.identity import fingerprint
from utils.runs import RunFolder, TrialRecord, run_prefix

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
    evaluated: Findings | None = None,
) -> RunFolder:
    """Write a run's folder.

    Args:
        changes: `key=value` of the configuration.
        accuracy: of the test; None leaves the run unfinished. It follows from `right` where that is given.
        right: whether the prediction of each test image is right; None for no predictions.
        targets: classes, by default 0 to 9 in turn, or texts.
        epochs: valid/accuracy of each epoch.
        trial: which trial of a search it is.
        evaluated: what `calibration` found in it.
    """
    config = read_configuration(None, [*COMMON, f"output_path={output}", *changes])
    folder = RunFolder(output / f"{run_prefix(config)}-s{config.seed}-{fingerprint(config, data)}{suffix}")
    folder.path.mkdir(parents=True)
    folder.config.write_text(config.to_yaml())
    folder.environment.write_text(json.dumps({"data_fingerprint": data}))
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
        costs = {"seconds": 2.0, "images_per_second": 100.0, "num_parameters": 10, "flops": 20}
        numbers = {"test/accuracy": accuracy, "test/cross_entropy": 1 - accuracy, **costs, "noisy_labels": None}
        folder.summary.write_text(json.dumps(numbers | dict(summary or {})))
    if evaluated is not None:
        folder.evaluation.mkdir()
        facts = {"checkpoint": "", "data_fingerprint": data, "images": 0, "finished": True}
        write_record(Record(facts, {"calibration": Evaluated({}, evaluated, 1.0)}), folder.evaluation)
    return folder


def _another(label: int | str) -> int | str:
    return f"{label}9" if isinstance(label, str) else (label + 1) % 10
