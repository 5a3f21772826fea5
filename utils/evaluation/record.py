"""evaluation.json: what evaluations found in a run, kept until its weights change; read without importing torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.evaluation.findings import Findings, Picture, Table
from utils.runs import DamagedFile, read_mapping, write_json

FILE = "evaluation.json"


@dataclass
class Evaluated:
    """One evaluation. Args: params: that it was given. seconds: that it took."""

    params: dict[str, Any]
    findings: Findings
    seconds: float


@dataclass
class Record:
    """All that is known of a run on a part of data.

    Args:
        facts: what the numbers depend on: run, part, weights, device, precision, versions.
        evaluated: name -> what it found.
    """

    facts: dict[str, Any]
    evaluated: dict[str, Evaluated] = field(default_factory=dict)

    def numbers(self) -> dict[str, float]:
        """Return "evaluation/number" -> value."""
        return {
            f"{name}/{number}": value
            for name, each in self.evaluated.items()
            for number, value in each.findings.numbers.items()
        }


SAME = ("checkpoint", "data_fingerprint", "folder", "images")
"""Facts without which an earlier evaluation is one of something else."""


def read_record(folder: Path) -> Record | None:
    """Return what an evaluation's folder holds; None if there is nothing.

    Raises: DamagedFile.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    values = read_mapping(path)
    try:
        evaluated = {name: _evaluated(folder, each) for name, each in values.pop("evaluations").items()}
    except (KeyError, TypeError, AttributeError):
        evaluated = None
    if evaluated is None or not {*SAME, "finished"} - {"folder"} <= values.keys():
        raise DamagedFile(f"{FILE} is not of an evaluation")
    return Record(values, evaluated)


def go_on(folder: Path, facts: dict[str, Any]) -> Record:
    """Return a record of these facts, with what is known already if it was of the same weights and images."""
    try:
        known = read_record(folder)
    except DamagedFile:
        known = None  # made anew
    if known is None or any(known.facts.get(name) != facts.get(name) for name in SAME):
        return Record(facts)
    return Record(facts, known.evaluated)


def folder_of(path: Path) -> str | None:
    """Return which folder of images was evaluated into a folder; None where none was, or nothing readable is there."""
    try:
        record = read_record(path)
    except DamagedFile:
        return None
    return None if record is None else record.facts.get("folder")


def write_record(record: Record, folder: Path) -> None:
    evaluations = {}
    for name, each in record.evaluated.items():
        pictures = [{"file": picture.path.name, "caption": picture.caption} for picture in each.findings.pictures]
        values = dataclasses.asdict(each.findings) | {"pictures": pictures}
        evaluations[name] = {"params": each.params, "seconds": round(each.seconds, 3), **values}
    write_json(folder / FILE, {**record.facts, "evaluations": evaluations})


def _evaluated(folder: Path, values: dict[str, Any]) -> Evaluated:
    values = dict(values)
    params, seconds = values.pop("params"), values.pop("seconds")
    tables = [
        Table(each["title"], tuple(each["header"]), tuple(map(tuple, each["rows"]))) for each in values.pop("tables")
    ]
    pictures = [Picture(folder / each["file"], each["caption"]) for each in values.pop("pictures")]
    return Evaluated(params, Findings(**values, tables=tables, pictures=pictures), seconds)
