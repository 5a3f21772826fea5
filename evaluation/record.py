"""evaluation.json: results of a run's evaluations, kept until its weights change; read without importing torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from evaluation.findings import Figure, Finding, Findings, Table
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
    """One evaluation. Args: params: its parameters. seconds: its duration."""

    params: dict[str, Any]
    findings: Findings
    seconds: float
    conditions: Conditions = field(default_factory=Conditions)


@dataclass
class Record:
    """All evaluations of a run on a part of data.

    Args:
        facts: the run and the part, and the conditions of the last evaluation.
        evaluated: name -> evaluation.
    """

    facts: dict[str, Any]
    evaluated: dict[str, Evaluated] = field(default_factory=dict)

    def compared(self) -> dict[str, Finding]:
        """Return "evaluation/number" -> number, of those that runs are compared by."""
        return {
            f"{name}/{number}": finding
            for name, evaluated in self.evaluated.items()
            for number, finding in evaluated.findings.results.items()
            if finding.compared
        }


SAME = ("checkpoint", "data_fingerprint", "folder", "images")
"""Facts that an earlier evaluation must share to be kept."""


class _FigureInFile(Struct):
    file: str
    caption: str


class _EvaluatedInFile(Struct, omit_defaults=True):
    """One evaluation in the file. Older files hold bare numbers, and `words` that nothing is read from."""

    params: dict[str, Any]
    seconds: float
    numbers: dict[str, Finding | float]
    details: dict[str, Any]
    tables: list[Table]
    pictures: Annotated[list[_FigureInFile], Meta(max_length=100)]
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
    """Return the record in an evaluation's folder, or None.

    Raises: DamagedFile.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    values = read_mapping(path)
    try:
        file = msgspec.convert(values, _File)
        whole = msgspec.convert(values, Conditions)
    except msgspec.ValidationError as error:
        raise DamagedFile(f"{FILE} is not the record of an evaluation: {error}") from None
    del values["evaluations"]
    return Record(values, {name: _evaluated(folder, name, inner, whole) for name, inner in file.evaluations.items()})


def readable_record(folder: Path) -> Record | None:
    """Return the record in an evaluation's folder; None also for a damaged one, which will be replaced."""
    try:
        return read_record(folder)
    except DamagedFile:
        return None


def resume_record(folder: Path, facts: dict[str, Any]) -> Record:
    """Return a record of these facts, with earlier evaluations of the same weights and images."""
    earlier = readable_record(folder)
    if earlier is None or any(earlier.facts.get(name) != facts.get(name) for name in SAME):
        return Record(facts)
    return Record(facts, earlier.evaluated)


def write_record(record: Record, folder: Path) -> None:
    evaluations = {}
    for name, each in record.evaluated.items():
        found, figures = each.findings, [_FigureInFile(each.path.name, each.caption) for each in each.findings.figures]
        numbers: dict[str, Finding | float] = {**found.results}
        values = each.params, round(each.seconds, 3), numbers, {}, found.tables, figures, found.notes
        values = msgspec.to_builtins(_EvaluatedInFile(*values, each.conditions))
        evaluations[name] = values | {"details": found.details}  # which may hold NumPy's numbers
    write_json(folder / FILE, {**record.facts, "evaluations": evaluations})


def _evaluated(folder: Path, name: str, values: _EvaluatedInFile, whole: Conditions) -> Evaluated:
    """Args: whole: the conditions of the whole file, the only ones in older files."""
    results = {
        number: value if isinstance(value, Finding) else Finding.of(name, number, value)
        for number, value in values.numbers.items()
    }
    for figure in values.pictures:
        if figure.file in ("", ".", "..") or Path(figure.file).name != figure.file:
            raise DamagedFile(f"{FILE} names a figure outside its folder: {figure.file}")
    figures = [Figure(folder / figure.file, figure.caption) for figure in values.pictures]
    notes = [*values.notes, *(f"{number}: {text}" for number, text in values.words.items() if number not in results)]
    findings = Findings(name, results, values.details, values.tables, figures, notes)
    return Evaluated(values.params, findings, values.seconds, values.conditions or whole)
