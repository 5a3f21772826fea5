"""evaluation.json: what evaluations found in a run, kept until its weights change; read without importing torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from evaluation.findings import Finding, Findings, Picture, Table
from runs.folder import DamagedFile
from runs.records import read_mapping, write_json

FILE = "evaluation.json"


class Conditions(Struct, frozen=True):
    """The device, date and versions of one evaluation; each keeps its own when others are added later."""

    device: str = ""
    precision: str = ""
    evaluated: str = ""
    packages: dict[str, str | None] = {}

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Conditions:
        return cls(**{name: facts[name] for name in cls.__struct_fields__ if name in facts})


@dataclass
class Evaluated:
    """One evaluation. Args: params: that it was given. seconds: that it took."""

    params: dict[str, Any]
    findings: Findings
    seconds: float
    conditions: Conditions = field(default_factory=Conditions)


@dataclass
class Record:
    """All that is known of a run on a part of data.

    Args:
        facts: what the numbers depend on: run, part, weights, device, precision, versions.
        evaluated: name -> what it found.
    """

    facts: dict[str, Any]
    evaluated: dict[str, Evaluated] = field(default_factory=dict)

    def compared(self) -> dict[str, Finding]:
        """Return "evaluation/number" -> number, of those that runs are compared by."""
        return {
            f"{name}/{number}": finding
            for name, each in self.evaluated.items()
            for number, finding in each.findings.found.items()
            if finding.compared
        }


SAME = ("checkpoint", "data_fingerprint", "folder", "images")
"""Facts without which an earlier evaluation is one of something else."""


class _PictureInFile(Struct):
    file: str
    caption: str


class _EvaluatedInFile(Struct):
    """What the file holds of one evaluation. Older ones hold bare numbers, and `words` that nothing is read from."""

    params: dict[str, Any]
    seconds: float
    numbers: dict[str, Finding | float]
    details: dict[str, Any]
    tables: list[Table]
    pictures: Annotated[list[_PictureInFile], Meta(max_length=100)]
    notes: list[str]
    conditions: Conditions | None = None
    words: dict[str, str] = {}


class _File(Struct):
    checkpoint: str
    data_fingerprint: str
    images: int
    finished: bool
    evaluations: dict[str, _EvaluatedInFile]
    folder: str | None = None


def read_record(folder: Path) -> Record | None:
    """Return what an evaluation's folder holds; None if there is nothing.

    Raises: DamagedFile.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    values = read_mapping(path)
    try:
        known = msgspec.convert(values, _File)
        whole = msgspec.convert(values, Conditions)
    except msgspec.ValidationError as error:
        raise DamagedFile(f"{FILE} is not of an evaluation: {error}") from None
    del values["evaluations"]
    return Record(values, {name: _evaluated(folder, name, each, whole) for name, each in known.evaluations.items()})


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
        evaluations[name] = {
            "params": each.params,
            "seconds": round(each.seconds, 3),
            "conditions": msgspec.to_builtins(each.conditions),
            "numbers": msgspec.to_builtins(each.findings.found),
            "details": each.findings.details,
            "tables": msgspec.to_builtins(each.findings.tables),
            "pictures": pictures,
            "notes": each.findings.notes,
        }
    write_json(folder / FILE, {**record.facts, "evaluations": evaluations})


def _evaluated(folder: Path, name: str, values: _EvaluatedInFile, whole: Conditions) -> Evaluated:
    """Args: whole: the conditions of the whole file, which older ones have alone."""
    found = {
        number: each if isinstance(each, Finding) else Finding.of(name, number, each)
        for number, each in values.numbers.items()
    }
    shown_only = [f"{number}: {text}" for number, text in values.words.items() if number not in found]
    for picture in values.pictures:
        if picture.file in ("", ".", "..") or Path(picture.file).name != picture.file:
            raise DamagedFile(f"{FILE} names a picture outside its folder: {picture.file}")
    pictures = [Picture(folder / each.file, each.caption) for each in values.pictures]
    notes = [*values.notes, *shown_only]
    findings = Findings(name, found, values.details, values.tables, pictures, notes)
    return Evaluated(values.params, findings, values.seconds, values.conditions or whole)
